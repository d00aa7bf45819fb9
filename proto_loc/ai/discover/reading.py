"""Runs queries on one published version, read-only, with limits on memory, time and rows."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from proto_loc import warehouse
from proto_loc.errors import LocError
from proto_loc.warehouse import guard

SAMPLE = 1_000_000
"""Approximate number of rows of a table from which its columns are profiled."""
TIMEOUT = 60.0
"""Seconds that one statement may take."""


class Reading:
    """A locked connection to a version, for the SQL of this package."""

    def __init__(self, version: warehouse.Version) -> None:
        self.version = version
        self.con = guard.connect(version.verify().path)

    def close(self) -> None:
        self.con.close()

    def rows(self, sql: str) -> list[tuple]:
        """Return all rows of a query.

        Raises:
            LocError: it took longer than :data:`TIMEOUT`, or more memory than ``LOC_QUERY_MEMORY``.
        """
        with self._timed():
            return self.con.execute(sql).fetchall()

    def has(self, table: str) -> bool:
        schema, _, name = table.partition(".")
        return bool(
            self.con.execute(
                "select 1 from information_schema.tables where table_schema = ? and table_name = ?",
                [schema, name],
            ).fetchone()
        )

    def count(self, table: str) -> int:
        return self.rows(f"select count(*) from {table}")[0][0]

    def sample(self, table: str, name: str) -> int:
        """Create the temporary table ``name`` with about :data:`SAMPLE` rows; return their number.

        The same version gives the same rows. Rows are drawn one by one (Bernoulli): a sample of an
        exact size computes all rows of a wide view first, which takes twenty times as long.
        """
        rows = self.count(table)
        share = (
            f" using sample {SAMPLE / rows * 100!r} percent (bernoulli, 1)" if rows > SAMPLE else ""
        )
        with self._timed():
            self.con.execute(
                f"create or replace temporary table {name} as select * from {table}{share}"
            )
        return self.count(name)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        timer = threading.Timer(TIMEOUT, self.con.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        except duckdb.InterruptException as error:
            raise LocError(
                "The report was stopped.",
                f"One of its queries ran for {TIMEOUT:g} seconds.",
                "Raise LOC_QUERY_THREADS.",
            ) from error
        except duckdb.OutOfMemoryException as error:
            raise LocError(
                "The report ran out of memory.",
                f"{error}".split("\n")[0],
                "Raise LOC_QUERY_MEMORY.",
            ) from error
        finally:
            timer.cancel()
            timer.join()
