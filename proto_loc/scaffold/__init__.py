"""Writes the files of a new source: declaration, dbt models, dashboard, notebook.

It turns an :class:`~proto_loc.sources.inspection.Inspection` into texts by path, and touches no
data. ``loc source``, ``loc metric`` and ``loc dashboard`` write them, load and publish.
"""
