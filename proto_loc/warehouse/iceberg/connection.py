"""Statements on Trino, by an interface like that of DuckDB's connections."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from proto_loc.settings import settings
from proto_loc.trino import client, places
from proto_loc.warehouse.errors import WarehouseError

MISSING = {"TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND", "CATALOG_NOT_FOUND", "NOT_FOUND"}


class StatementFailed(WarehouseError):
    """Trino cannot run a statement; its text says why.

    Args:
        why: Trino's message.
        kind: Trino's name of the error, such as ``ICEBERG_BAD_DATA``.
    """

    def __init__(self, why: str, kind: str = "") -> None:
        log = places.log("trino")
        fix = f"Correct it; if it is not the statement's fault, see {log}."
        super().__init__("Trino cannot run a statement.", why, fix)
        self.kind = kind

    def __str__(self) -> str:
        return self.why

    def __reduce__(self):
        return type(self), (self.why, self.kind)


class TableMissing(StatementFailed):
    """A statement names a table, schema or catalogue that is not there."""


class TrinoConnection:
    """A connection as one of the identities; every statement ends before the next begins.

    Args:
        identity: one of :data:`proto_loc.trino.identities.ALL`.
        catalog, schema: those of names without them.
    """

    def __init__(
        self, identity: str, *, catalog: str | None = None, schema: str | None = None
    ) -> None:
        self._connection = client.connect(
            identity, catalog=catalog, schema=schema, request_timeout=60
        )
        self._rows: list = []
        self.description: Any = None

    def execute(self, statement: str, parameters: Sequence = (), /) -> "TrinoConnection":
        """Run a statement to its end.

        Raises:
            StatementFailed: Trino cannot run it.
            WarehouseError: Trino does not answer.
        """
        cursor = self._connection.cursor()
        with explained():
            cursor.execute(statement, list(parameters) or None)
            self._rows = cursor.fetchall()
        self.description = cursor.description
        return self

    def fetchall(self) -> list[tuple]:
        """All rows of the last statement that were not fetched yet."""
        rows, self._rows = self._rows, []
        return [tuple(row) for row in rows]

    def fetchone(self) -> tuple | None:
        """The next row of the last statement; None after the last one."""
        return tuple(self._rows.pop(0)) if self._rows else None

    def close(self) -> None:
        with suppress(Exception):  # the server may be gone
            self._connection.close()

    def __enter__(self) -> "TrinoConnection":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@contextmanager
def explained(*, raw: bool = False) -> Iterator[None]:
    """Raise the client's errors as those of this module.

    Args:
        raw: leave an error of the statement itself as it is.

    Raises:
        StatementFailed: Trino cannot run the statement.
        WarehouseError: Trino does not answer.
    """
    from trino import exceptions

    try:
        yield
    except exceptions.TrinoQueryError as error:
        if raw:
            raise
        kind = TableMissing if error.error_name in MISSING else StatementFailed
        raise kind(error.message, error.error_name) from error
    except (exceptions.Error, OSError) as error:
        raise WarehouseError(
            f"Trino does not answer on port {settings().port('trino')} ({_short(error)}).",
            "It holds the tables of prod.",
            f"See whether it runs with `loc status`; its log is {places.log('trino')}.",
        ) from error


def _short(error: BaseException) -> str:
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0][:200]
