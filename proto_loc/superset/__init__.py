"""Superset: its configuration, provisioning, export, and the guarded way to DuckDB."""
