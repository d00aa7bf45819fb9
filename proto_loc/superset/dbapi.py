"""Connections and cursors of Python's DB-API whose statements are checked, and only read."""

from collections.abc import Callable, Sequence

from sqlalchemy import types
from sqlalchemy.engine.url import URL
from sqlalchemy.pool import NullPool

from proto_loc import warehouse
from proto_loc.errors import LocError
from proto_loc.superset import rules, serving
from proto_loc.warehouse import guard

MAX_ROWS = 50_000
"""The maximum number of rows of a statement, in SQL Lab and in a chart."""
_INT64 = 2**63
_NO_DATA = warehouse.NoData(
    "There is no data yet.",
    "Nothing has been published.",
    "Wait for the first load, or run `./loc refresh`.",
)


class Cursor:
    """A DB-API cursor; ``execute`` checks a statement, runs it and fetches its rows."""

    arraysize = 1
    rowcount = -1
    lastrowid = None

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self.description: Sequence[tuple] | None = None
        self.started: Callable[[str], None] = lambda query_id: None
        """Called with the engine's id of a query, if it has one, by which it can be stopped."""
        self._rows: list[tuple] = []

    def execute(
        self, statement: str, parameters: Sequence | None = None, context: object = None
    ) -> None:
        """Run a statement.

        Raises:
            LocError: it is refused or failed, ran out of time or memory, its result is too large,
                or there is no data.
        """
        self.description, self._rows = None, []
        ready = rules.ready(statement)
        try:
            result = self.connection.run(
                serving.version(), ready, list(parameters or []) or None, self.started
            )
        except guard.Refused:
            raise
        except LocError as error:
            if not serving.version().tables:
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
    """A DB-API connection without any state.

    Args:
        run: runs a statement on a version, with its parameters; calls its last argument with the
            engine's id of the query.
    """

    def __init__(
        self,
        run: Callable[[warehouse.Version, str, list | None, Callable[[str], None]], guard.Result],
    ) -> None:
        self.run = run
        self.notices: list[str] = []

    def cursor(self) -> Cursor:
        return Cursor(self)

    def commit(self) -> None:
        """Do nothing, because nothing was written."""

    rollback = close = commit


class ReadOnly:
    """The part of a SQLAlchemy dialect that connects; a subclass sets ``run``."""

    supports_statement_cache = False
    run: Callable

    def connect(self, *arguments: object, **parameters: object) -> Connection:
        return Connection(type(self).run)

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

    def get_indexes(self, *_: object, **__: object) -> list:
        return []

    get_foreign_keys = get_unique_constraints = get_check_constraints = get_indexes

    def get_pk_constraint(self, *_: object, **__: object) -> dict:
        return {"constrained_columns": [], "name": None}


class Named(types.UserDefinedType):
    """A type with the engine's name, by which Superset recognizes numbers and times."""

    cache_ok = True

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def get_col_spec(self, **_: object) -> str:
        return self.kind


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
