"""SQLAlchemy dialect that gives Superset checked, read-only access to ``prod``.

It serves every ``duckdb:`` address, so that no address or extra parameter can open DuckDB without
the guard. A request reads one version, the newest at its first query; the next request sees a
publish or a rollback, without a restart.

Statements run in separate processes (:mod:`proto_loc.superset.readers`), so that one that takes too
much memory does not end the server.
"""

import threading
from collections.abc import Sequence

import duckdb
import duckdb_engine
from flask import g, has_app_context
from sqlalchemy import text, types
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.base import PGIdentifierPreparer
from sqlalchemy.engine.url import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from proto_loc import warehouse
from proto_loc.errors import LocError
from proto_loc.settings import settings
from proto_loc.superset import rules
from proto_loc.superset.readers import Readers
from proto_loc.warehouse import guard

URI = "duckdb:///prod"
"""The address of the only database that may be registered."""
MAX_ROWS = 50_000
"""The maximum number of rows of a statement, in SQL Lab and in a chart."""
_INT64 = 2**63


def register() -> None:
    """Register :class:`Dialect` for all ``duckdb:`` addresses of this process."""
    for name in ("duckdb", "duckdb.duckdb_engine"):
        registry.register(name, __name__, "Dialect")


def check_address(address: URL) -> None:
    """Allow only the address :data:`URI`; this is Superset's DB_SQLA_URI_VALIDATOR.

    Raises:
        ArgumentError: it is another address; some drivers of SQLAlchemy open local files.
    """
    if str(address) != URI:
        raise ArgumentError(
            f"The only database here is {URI}, the published data. docs/superset.md says how to add"
            " others."
        )


def version() -> warehouse.Version:
    """The version that this request reads.

    Raises:
        LocError: nothing has been published, or its manifest is damaged.
    """
    if not has_app_context():
        return warehouse.current("prod")
    if "loc_version" not in g:
        g.loc_version = warehouse.current("prod")
    return g.loc_version


def version_key() -> str:
    """The version's part of this request's cache keys; a publish or a rollback changes it."""
    try:
        current = version()
    except LocError:
        return "none"
    return f"{current.id}-{current.published_at}"


_SCHEMAS = "SELECT schema_name FROM duckdb_schemas() WHERE NOT internal ORDER BY ALL"
_COLUMNS = """
    SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns()
    WHERE table_name = :name AND schema_name = :schema AND database_name = current_database() ORDER
        BY column_index
"""
_RESERVED = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"


_readers: Readers | None = None
_readers_lock = threading.Lock()


def readers() -> Readers:
    """The readers of this process."""
    global _readers
    with _readers_lock:
        if _readers is None:
            _readers = Readers()
        return _readers


_NO_DATA = warehouse.NoData(
    "There is no data yet.",
    "Nothing has been published.",
    "Wait for the first load, or run `./loc refresh`.",
)


class Cursor:
    """A DB-API cursor; ``execute`` checks a statement, and fetches its rows from a reader."""

    arraysize = 1
    rowcount = -1
    lastrowid = None

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self.description: Sequence[tuple] | None = None
        self._rows: list[tuple] = []

    def execute(
        self, statement: str, parameters: Sequence | None = None, context: object = None
    ) -> None:
        """Run a statement.

        Raises:
            LocError: it is refused or failed, ran out of time or memory, its result is too large,
                or there is no data.
        """
        bounds = settings()
        self.description, self._rows = None, []
        rules.hold(statement)
        try:
            result = readers().run(
                version().verify().path, statement, list(parameters or []) or None,
                timeout=bounds.query_timeout, limit=MAX_ROWS,
            )  # fmt: skip
        except guard.Refused:
            raise
        except LocError as error:
            if not version().tables:
                raise _NO_DATA from error
            raise
        if result.truncated:
            raise LocError(
                "The result is too large.",
                f"It has more than {MAX_ROWS:,} rows.",
                "Add a LIMIT or aggregate.",
            )
        self.description = [
            (name, kind, None, None, None, None, True)
            for name, kind in zip(result.columns, result.types, strict=True)
        ]
        self._rows = _exact(result.rows)

    def executemany(self, statement: str, parameters: Sequence, context: object = None) -> None:
        raise guard.Refused(
            "Only one statement is allowed.",
            "It came with several sets of values.",
            "Send them singly.",
        )

    def fetchall(self) -> list[tuple]:
        rows, self._rows = self._rows, []
        return rows

    def fetchmany(self, size: int | None = None) -> list[tuple]:
        size = size or self.arraysize
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    def fetchone(self) -> tuple | None:
        return next(iter(self.fetchmany(1)), None)

    def close(self) -> None:
        self._rows = []


class Connection:
    """A DB-API connection without any state."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def cursor(self) -> Cursor:
        return Cursor(self)

    def commit(self) -> None:
        """Do nothing, because nothing was written."""

    rollback = close = commit


def _exact(rows: list[tuple]) -> list[tuple]:
    """Turn columns with integers of more than 64 bits into text, which Superset can hold."""
    wide = {
        place
        for row in rows
        for place, value in enumerate(row)
        if isinstance(value, int) and not -_INT64 <= value < _INT64
    }
    if not wide:
        return rows
    return [
        tuple(
            str(value) if place in wide and value is not None else value
            for place, value in enumerate(row)
        )
        for row in rows
    ]


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


class Dialect(duckdb_engine.Dialect):
    """DuckDB's SQL, on :class:`Connection`."""

    preparer = _Preparer
    supports_statement_cache = False
    _backslash_escapes = False  # a backslash in a DuckDB string is a plain character

    def connect(self, *arguments: object, **parameters: object) -> Connection:
        return Connection()

    def create_connect_args(self, url: URL) -> tuple[tuple, dict]:
        return (), {}

    @classmethod
    def get_pool_class(cls, url: URL) -> type[NullPool]:
        return NullPool

    def do_begin(self, connection: Connection) -> None:
        """Do nothing, because nothing is written."""

    do_commit = do_rollback = do_begin

    def do_ping(self, connection: Connection) -> bool:
        connection.cursor().execute("SELECT 1")
        return True

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
                "type": _Named(kind),
                "nullable": nullable,
                "default": None,
                "comment": comment,
            }
            for name, kind, nullable, comment in rows
        ]

    def get_indexes(self, *_: object, **__: object) -> list:
        return []

    get_foreign_keys = get_unique_constraints = get_check_constraints = get_indexes

    def get_pk_constraint(self, *_: object, **__: object) -> dict:
        return {"constrained_columns": [], "name": None}


class _Named(types.UserDefinedType):
    """A type with DuckDB's name, by which Superset recognizes numbers and times."""

    cache_ok = True

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def get_col_spec(self, **_: object) -> str:
        return self.kind
