"""Reads the metrics that dbt defines, and projects them to SQL, Cube and Superset.

``read`` turns dbt's manifest into ``definitions``, and refuses by name what some door cannot serve.
``figures`` makes the SQL for what a publish records. ``files`` writes the files that Cube and
Superset read, and finds where they differ from the definitions.
"""
