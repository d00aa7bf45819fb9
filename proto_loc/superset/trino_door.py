"""Superset's way to versions of ``prod`` that Trino keeps.

Connections are those of the identity ``dashboards``, whatever the address says. A request reads the
catalogue of one version, the newest at its first query; the next request sees a publish or a
rollback, without a restart. Trino bounds the memory of a query; here its time, rows, bytes and
number are bounded.
"""

import threading
import time
from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.dialects import registry

from proto_loc import warehouse
from proto_loc.settings import settings
from proto_loc.superset import duckdb_door, trino_sql
from proto_loc.superset.dbapi import MAX_ROWS, Named, ReadOnly
from proto_loc.superset.readers import Busy, Places
from proto_loc.trino import client
from proto_loc.trino.identities import DASHBOARDS
from proto_loc.warehouse import guard
from proto_loc.warehouse.iceberg import catalogues
from proto_loc.warehouse.iceberg.reader import SCHEMA, TrinoReader

client.reach()
from trino.sqlalchemy.dialect import TrinoDialect  # noqa: E402 - needs reach()

RUNNING = 8
"""Statements of a process that Trino runs at a time."""
_SCHEMAS = """
    SELECT schema_name FROM information_schema.schemata
    WHERE schema_name NOT IN ('information_schema', 'system') ORDER BY 1
"""
_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = :schema ORDER BY 1"
_COLUMNS = """
    SELECT column_name, data_type, is_nullable, comment FROM information_schema.columns
    WHERE table_schema = :schema AND table_name = :name ORDER BY ordinal_position
"""


class TrinoQueries(Places):
    """The queries of a process; those over :data:`RUNNING` wait for their turn."""

    def __init__(self) -> None:
        super().__init__()
        self._turns = threading.BoundedSemaphore(RUNNING)

    def run(
        self,
        version: warehouse.Version,
        statement: str,
        parameters: list | None,
        started: Callable[[str], None],
    ) -> guard.Result:
        """Run a statement on a version; it calls ``started`` with Trino's id of the query.

        Raises:
            Busy: there are too many queries at work.
            LocError: see :meth:`proto_loc.warehouse.iceberg.reader.TrinoReader.run`.
        """
        timeout = settings().query_timeout
        end = time.monotonic() + timeout
        with self.waiting():
            if not self._turns.acquire(timeout=timeout):
                raise Busy
            reader = TrinoReader(DASHBOARDS, catalogues.of_version(version.id), schema=SCHEMA)
            try:
                return reader.run(
                    statement,
                    parameters,
                    timeout=max(1.0, end - time.monotonic()),
                    limit=MAX_ROWS,
                    started=started,
                )
            finally:
                reader.close()
                self._turns.release()


class TrinoDoor:
    """Implements :class:`proto_loc.superset.doors.Door`."""

    name = "trino"
    address = "trino:///prod"
    sql = trino_sql

    def __init__(self) -> None:
        self._queries = TrinoQueries()

    def register(self) -> None:
        for name in ("trino", "trino.rest"):
            registry.register(name, __name__, "Dialect")
        duckdb_door.DOOR.register()  # no address opens DuckDB without the guard

    def engine_specs(self) -> list[type]:
        from proto_loc.superset.trino_spec import TrinoSpec

        return [TrinoSpec]

    def queries(self) -> TrinoQueries:
        return self._queries


DOOR = TrinoDoor()


class Dialect(ReadOnly, TrinoDialect):
    """Trino's SQL, on :class:`proto_loc.superset.dbapi.Connection`."""

    run = staticmethod(DOOR.queries().run)

    def get_schema_names(self, connection, **_: object) -> list[str]:
        """The schemas of the version."""
        return [name for (name,) in connection.execute(text(_SCHEMAS))]

    def get_table_names(self, connection, schema: str | None = None, **_: object) -> list[str]:
        """The tables of a schema; a version on Trino has no views."""
        rows = connection.execute(text(_TABLES), {"schema": schema or SCHEMA})
        return [name for (name,) in rows]

    def get_view_names(self, *_: object, **__: object) -> list[str]:
        return []

    def has_table(self, connection, table_name: str, schema: str | None = None, **_) -> bool:
        return table_name.lower() in self.get_table_names(connection, schema)

    def get_columns(
        self, connection, table_name: str, schema: str | None = None, **_: object
    ) -> list[dict]:
        """The columns of a table, with Trino's type names."""
        place = {"name": table_name.lower(), "schema": schema or SCHEMA}
        return [
            {
                "name": name,
                "type": Named(kind.upper()),
                "nullable": nullable == "YES",
                "default": None,
                "comment": comment,
            }
            for name, kind, nullable, comment in connection.execute(text(_COLUMNS), place)
        ]

    def get_table_comment(self, *_: object, **__: object) -> dict:
        return {"text": None}

    def _get_default_schema_name(self, connection) -> str:
        return SCHEMA

    def _get_default_catalog_name(self, connection) -> None:
        return None

    def _get_server_version_info(self, connection) -> None:
        return None

    def get_isolation_level(self, connection) -> str:
        return "AUTOCOMMIT"

    def set_isolation_level(self, connection, level: str) -> None:
        """Do nothing, because nothing is written."""
