"""Reads the metrics that dbt defines, and projects them to SQL.

``read`` turns dbt's manifest into ``definitions``. It refuses a definition that one of the
interfaces (Cube, Superset, ...) cannot serve, and names that interface. ``figures`` makes the SQL
of the metric values that a publish records.
"""
