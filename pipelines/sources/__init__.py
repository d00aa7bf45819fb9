"""Where data comes from: one folder a source, each with the tables that it loads."""

from pipelines.sources import taxi

TABLES: dict[str, dict[str, str]] = {**taxi.TABLES}
"""``source.table`` in the ``raw`` catalogue → column name → DuckDB type, of every source."""
