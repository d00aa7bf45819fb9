"""The Dagster code location: one folder a source under ``sources/``, and the dbt assets."""
