"""How Superset reads and rewrites SQL for DuckDB, where the parser that it uses for that is wrong."""

from sqlglot import exp
from sqlglot.dialects import duckdb


class DuckDB(duckdb.DuckDB):
    """sqlglot's DuckDB, with ``USING SAMPLE`` before ``ORDER BY`` and ``LIMIT``, where DuckDB wants it."""

    class Generator(duckdb.DuckDB.Generator):
        AFTER_HAVING_MODIFIER_TRANSFORMS = {  # noqa: RUF012 - as in its base
            **duckdb.DuckDB.Generator.AFTER_HAVING_MODIFIER_TRANSFORMS,
            "sample": lambda self, expression: self.sql(expression, "sample"),
        }

        def after_limit_modifiers(self, expression: exp.Expression) -> list[str]:
            return super().after_limit_modifiers(expression)[:-1]
