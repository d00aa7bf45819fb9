"""A person's connection to a version on Trino, with the methods of DuckDB's that notebooks use."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from proto_loc.sql import identifier
from proto_loc.warehouse.iceberg import column_types, rows, statements
from proto_loc.warehouse.iceberg.connection import TrinoConnection, explained

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BATCH = 10_000
"""Rows that are written into DuckDB at once."""


class Results:
    """The rows of one statement; they are fetched from Trino as they are asked for."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.description = cursor.description

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return [column[0] for column in self.description or ()]

    @property
    def types(self) -> list[str]:
        """Trino's types of the columns."""
        return [column[1] for column in self.description or ()]

    def fetchone(self) -> tuple | None:
        """The next row; None after the last one."""
        row = self._fetched(self._cursor.fetchone)
        return None if row is None else rows.plain_row(row)

    def fetchmany(self, size: int = 1) -> list[tuple]:
        """The next rows, at most ``size``."""
        return [rows.plain_row(row) for row in self._fetched(self._cursor.fetchmany, size)]

    def fetchall(self) -> list[tuple]:
        """All rows that were not fetched yet."""
        return [rows.plain_row(row) for row in self._fetched(self._cursor.fetchall)]

    def df(self):
        """All rows that were not fetched yet, as a pandas DataFrame; decimals become doubles."""
        return rows.frame(self.columns, self.types, self.fetchall())

    fetchdf = to_df = df

    def keep(self, con: "DuckDBPyConnection", table: str) -> None:
        """Make a table of a DuckDB database of them, in place of one of that name."""
        import pandas as pd

        kinds = ", ".join(
            f"{identifier(name)} {'integer' if kind == 'unknown' else column_types.of_trino(kind)}"
            for name, kind in zip(self.columns, self.types, strict=True)
        )
        con.execute(f"create or replace table {identifier(table)} ({kinds})")
        con.execute(f"set pandas_analyze_sample = {BATCH}")
        while batch := self.fetchmany(BATCH):
            frame = pd.DataFrame(batch, columns=self.columns, dtype="object")
            con.register("loc_kept", frame)
            con.execute(f"insert into {identifier(table)} select * from loc_kept")
        con.execute("drop view if exists loc_kept")

    def close(self) -> None:
        """Cancel the statement, if it still runs."""
        with suppress(Exception):  # the server may be gone
            self._cursor.close()

    def __iter__(self) -> Iterator[tuple]:
        while (row := self.fetchone()) is not None:
            yield row

    def __repr__(self) -> str:
        return f"{len(self.columns)} columns: {', '.join(self.columns)}; .df() or .fetchall()"

    def _fetched(self, fetch, *arguments):
        try:
            with explained():
                return fetch(*arguments)
        except BaseException:  # also a Stop of the kernel
            self.close()
            raise


class PersonsConnection(TrinoConnection):
    """A connection that reads one version, by the catalogue ``prod`` or without naming it.

    JupySQL takes it as a connection of Python's DB-API.
    """

    def __init__(self, identity: str, *, catalog: str, schema: str) -> None:
        super().__init__(identity, catalog=catalog, schema=schema)
        self._results: Results | None = None

    def sql(self, statement: str, parameters: Sequence = ()) -> Results:
        """Run a statement, and return its rows.

        Raises:
            StatementFailed: Trino cannot run it.
            WarehouseError: Trino does not answer.
        """
        cursor = self._connection.cursor()
        try:
            with explained():
                cursor.execute(statements.local(statement), list(parameters) or None)
                return Results(cursor)
        except BaseException:  # also a Stop of the kernel
            with suppress(Exception):
                cursor.cancel()
            raise

    query = sql

    def execute(self, statement: str, parameters: Sequence = (), /) -> "PersonsConnection":
        """Run a statement; its rows are fetched from this connection."""
        if self._results is not None:
            self._results.close()
        self._results = self.sql(statement, parameters)
        self.description = self._results.description
        return self

    def cursor(self) -> "PersonsConnection":
        """Another connection, with the same login."""
        other = object.__new__(PersonsConnection)
        other.__dict__ |= self.__dict__ | {"_results": None, "description": None}
        return other

    def commit(self) -> None:
        """Do nothing: nobody can write."""

    def fetchone(self) -> tuple | None:
        return self._results.fetchone() if self._results else None

    def fetchmany(self, size: int = 1) -> list[tuple]:
        """The next rows of the last statement, at most ``size``."""
        return self._results.fetchmany(size) if self._results else []

    def fetchall(self) -> list[tuple]:
        return self._results.fetchall() if self._results else []

    def df(self):
        """All rows of the last statement that were not fetched yet, as a pandas DataFrame."""
        return self._results.df() if self._results else None

    fetchdf = df
