"""Reads the metrics that dbt defines, and projects them to SQL.

``read`` turns dbt's manifest into ``definitions``, and refuses by name what some door cannot serve.
``figures`` makes the SQL for what a publish records.
"""
