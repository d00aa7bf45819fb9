"""Superset's way to versions of ``prod`` in DuckDB's files.

The dialect serves every ``duckdb:`` address, so that no address or extra parameter can open DuckDB
without the guard. A request reads one version, the newest at its first query; the next request sees
a publish or a rollback, without a restart.

Statements run in separate processes (:mod:`proto_loc.superset.readers`), so that one that takes too
much memory does not end the server.
"""

import threading
from collections.abc import Callable

import duckdb
import duckdb_engine
from sqlalchemy import text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.base import PGIdentifierPreparer

from proto_loc import warehouse
from proto_loc.settings import settings
from proto_loc.superset import duckdb_sql
from proto_loc.superset.dbapi import MAX_ROWS, Named, ReadOnly
from proto_loc.superset.readers import Readers
from proto_loc.warehouse import guard

_SCHEMAS = "SELECT schema_name FROM duckdb_schemas() WHERE NOT internal ORDER BY ALL"
_COLUMNS = """
    SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns()
    WHERE table_name = :name AND schema_name = :schema AND database_name = current_database() ORDER
        BY column_index
"""
_RESERVED = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"


def run(
    version: warehouse.Version,
    statement: str,
    parameters: list | None,
    started: Callable[[str], None],
) -> guard.Result:
    """Run a statement in a reader; there is no id by which it could be stopped.

    Raises:
        LocError: it is refused or failed, or ran out of time or memory.
    """
    return DOOR.queries().run(
        version.verify().path,
        statement,
        parameters,
        timeout=settings().query_timeout,
        limit=MAX_ROWS,
    )


def _reserved() -> frozenset[str]:
    with duckdb.connect() as con:
        return frozenset(word for (word,) in con.execute(_RESERVED).fetchall())


class _Preparer(duckdb_engine.DuckDBIdentifierPreparer):
    """Quotes names, with reserved words that are read once.

    duckdb-engine reads them for each engine, from DuckDB's default connection. That is slow, and
    two requests at the same time deadlock: one holds the GIL and waits for the connection, the
    other holds the connection and waits for the GIL.
    """

    WORDS = _reserved()

    def __init__(self, dialect: "Dialect", **options: object) -> None:
        PGIdentifierPreparer.__init__(self, dialect, **options)
        self.reserved_words = self.reserved_words | self.WORDS


class Dialect(ReadOnly, duckdb_engine.Dialect):
    """DuckDB's SQL, on :class:`proto_loc.superset.dbapi.Connection`."""

    preparer = _Preparer
    run = staticmethod(run)
    _backslash_escapes = False  # a backslash in a DuckDB string is a plain character

    def get_schema_names(self, connection, **_: object) -> list[str]:
        """The schemas of the published file."""
        return [name for (name,) in connection.execute(text(_SCHEMAS))]

    def get_columns(
        self, connection, table_name: str, schema: str | None = None, **_: object
    ) -> list[dict]:
        """The columns of a table, with DuckDB's type names."""
        rows = connection.execute(text(_COLUMNS), {"name": table_name, "schema": schema or "main"})
        return [
            {
                "name": name,
                "type": Named(kind),
                "nullable": nullable,
                "default": None,
                "comment": comment,
            }
            for name, kind, nullable, comment in rows
        ]


class DuckDBDoor:
    """Implements :class:`proto_loc.superset.doors.Door`."""

    name = "duckdb"
    address = "duckdb:///prod"
    sql = duckdb_sql

    def __init__(self) -> None:
        self._readers: Readers | None = None
        self._lock = threading.Lock()

    def register(self) -> None:
        for name in ("duckdb", "duckdb.duckdb_engine"):
            registry.register(name, __name__, "Dialect")

    def engine_specs(self) -> list[type]:
        """None: Superset knows DuckDB."""
        return []

    def queries(self) -> Readers:
        """The readers of this process; they start with its first queries."""
        with self._lock:
            if self._readers is None:
                self._readers = Readers()
            return self._readers


DOOR = DuckDBDoor()
