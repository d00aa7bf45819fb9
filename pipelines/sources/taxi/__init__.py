"""Trips of New York's metered taxis: a synthetic sample, and the user's own files of the same shapes."""

from pipelines.sources.taxi.schema import Colour, lake_schema

TABLES: dict[str, dict[str, str]] = {f"taxi.{colour}_trips": lake_schema(colour) for colour in Colour}
"""``source.table`` → column name → DuckDB type."""
