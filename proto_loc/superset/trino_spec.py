"""Superset's description of Trino, with one catalogue and a button that stops a query.

It takes types, times and time grains from Superset's own description. The rest of that would ask
Trino for catalogues, partitions, and a procedure, which readers may not reach.
"""

from datetime import datetime

from superset.constants import QUERY_CANCEL_KEY, QUERY_EARLY_CANCEL_KEY
from superset.db_engine_specs.base import BaseEngineSpec
from superset.db_engine_specs.presto import PrestoEngineSpec
from superset.db_engine_specs.trino import TrinoEngineSpec
from superset.extensions import db
from superset.models.sql_lab import Query

from proto_loc.trino.identities import DASHBOARDS
from proto_loc.warehouse.iceberg import reader


class TrinoSpec(BaseEngineSpec):
    """A database with schemas, and without a choice of catalogues."""

    engine = "trino"
    engine_name = "Trino"
    allows_alias_to_source_column = False
    column_type_mappings = TrinoEngineSpec.column_type_mappings
    custom_errors = PrestoEngineSpec.custom_errors
    _time_grain_expressions = {  # noqa: RUF012 - as in its base
        # TIMESTAMP alone has milliseconds, to which it rounds: to the next day, at worst.
        grain: expression.replace("AS TIMESTAMP)", "AS TIMESTAMP(6))")
        for grain, expression in TrinoEngineSpec._time_grain_expressions.items()
    }

    @classmethod
    def convert_dttm(
        cls, target_type: str, dttm: datetime, db_extra: dict | None = None
    ) -> str | None:
        """A time as SQL of the type of a column."""
        return TrinoEngineSpec.convert_dttm(target_type, dttm, db_extra)

    @classmethod
    def epoch_to_dttm(cls) -> str:
        return TrinoEngineSpec.epoch_to_dttm()

    @classmethod
    def execute_with_cursor(cls, cursor, sql: str, query: Query) -> None:
        """Run a statement of SQL Lab, and note Trino's id of it, by which it can be stopped."""

        def note(query_id: str) -> None:
            query.set_extra_json_key(QUERY_CANCEL_KEY, query_id)
            db.session.commit()
            db.session.refresh(query)
            if query.extra.get(QUERY_EARLY_CANCEL_KEY):  # stopped before Trino had it
                reader.stop(DASHBOARDS, query_id)

        cursor.started = note
        cls.execute(cursor, sql, query.database)

    @classmethod
    def prepare_cancel_query(cls, query: Query) -> None:
        """Note that a query is to be stopped as soon as Trino has it."""
        TrinoEngineSpec.prepare_cancel_query(query)

    @classmethod
    def cancel_query(cls, cursor, query: Query, cancel_query_id: str) -> bool:
        """Stop a query on Trino; it may run in another process of this server."""
        return reader.stop(DASHBOARDS, cancel_query_id)
