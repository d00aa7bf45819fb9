"""Metrics, defined once in dbt: read from its manifest, and projected to what serves them.

``definitions`` reads dbt's manifest and refuses by name what not every door can serve alike.
``figures`` projects the definitions to SQL for what a publish records, ``cube`` and ``superset`` to
the files that those services read, and ``files`` writes these and finds their drift.
"""
