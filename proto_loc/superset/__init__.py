"""Superset: its configuration, provisioning and export, and its read-only access to DuckDB."""
