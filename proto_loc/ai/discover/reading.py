"""Bounded reads of one published version: locked, with a limit to memory, time and rows."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from proto_loc import warehouse
from proto_loc.errors import LocError
from proto_loc.warehouse import guard

SAMPLE = 1_000_000
"""About so many rows of a table its columns are described from; metrics and days are counted over
all of them.
"""
TIMEOUT = 60.0
"""Seconds that one statement may take."""


class Reading:
    """A locked connection to a version. The SQL is this package's own; names in it are quoted."""

    def __init__(self, version: warehouse.Version) -> None:
        self.version = version
        self.con = guard.connect(version.verify().path)

    def close(self) -> None:
        self.con.close()

    def rows(self, sql: str) -> list[tuple]:
        """All rows.

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
        """Make the temporary table ``name`` of about :data:`SAMPLE` rows at most; the same ones for
        the same version.

        Each row is drawn by itself, as it comes by: a reservoir of exactly so many computes all
        rows of a wide view first, which takes twenty times as long.
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
