"""Runs queries on one published version, read-only, with limits on memory, time and rows.

The SQL of this package is such that both engines run it with the same result; what they write in
different ways is in the classes of this module.
"""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import duckdb

from proto_loc import warehouse
from proto_loc.errors import LocError
from proto_loc.sql import identifier, value
from proto_loc.warehouse import guard

SAMPLE = 1_000_000
"""Approximate number of rows of a table from which its columns are profiled."""
TIMEOUT = 60.0
"""Seconds that one statement may take."""


class Reading:
    """A locked connection to a version that DuckDB keeps, for the SQL of this package."""

    is_finite, is_nan = "isfinite({})", "isnan({})"
    """Predicates on a double."""
    columns_at_once = 1000
    """Columns of which one statement counts the different values."""

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
        return table in self._tables

    def columns(self, table: str) -> dict[str, str]:
        """The columns of a ``schema.table``, as name to the engine's type, in order."""
        return self._tables[table]

    @cached_property
    def _tables(self) -> dict[str, dict[str, str]]:
        tables: dict[str, dict[str, str]] = {}
        for table, column, kind in self.rows(
            "select schema_name || '.' || table_name, column_name, data_type from duckdb_columns()"
            " where not internal and database_name = 'prod' order by column_index"
        ):
            tables.setdefault(table, {})[column] = kind
        return tables

    def count(self, table: str) -> int:
        return self.rows(f"select count(*) from {table}")[0][0]

    def quantiles(self, relation: str, name: str, shares: Sequence[float]) -> list[float]:
        """Quantiles of a column's finite numbers, interpolated; empty if it has none."""
        number = f"cast({identifier(name)} as double)"
        (found,) = self.rows(
            f"select quantile_cont({number}, {list(shares)!r})"
            f" filter (where {self.is_finite.format(number)}) from {relation}"
        )[0]
        return list(found or ())

    def counts(self, relation: str, sets: Sequence[tuple[str, ...]]) -> list[list[tuple]]:
        """Count the rows by the values of each set of columns: these values, and the number."""
        return [
            self.rows(
                f"select {', '.join(map(identifier, names))}, count(*) from {relation}"
                f" group by {', '.join(map(identifier, names))}"
            )
            for names in sets
        ]

    def sample(self, table: str) -> tuple[str, int]:
        """Return a relation with about :data:`SAMPLE` rows of a table, as SQL, and their number.

        The same version gives the same rows. Rows are drawn one by one (Bernoulli): a sample of an
        exact size computes all rows of a wide view first, which takes twenty times as long.
        """
        rows = self.count(table)
        share = (
            f" using sample {SAMPLE / rows * 100!r} percent (bernoulli, 1)" if rows > SAMPLE else ""
        )
        with self._timed():
            self.con.execute(
                f"create or replace temporary table sampled as select * from {table}{share}"
            )
        return "sampled", self.count("sampled")

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


class ServerReading(Reading):
    """A reader of a version that Trino keeps, for the same SQL."""

    is_finite, is_nan = "is_finite({})", "is_nan({})"
    columns_at_once = 6  # the different values of many columns are more than a node may hold
    SETS = 30  # of columns by whose values one statement counts
    MOST = 10_000_000  # rows of an answer: none of this package comes near

    def __init__(self, version: warehouse.Version) -> None:
        self.version = version
        self.reader = version.keeper.reader(version, schema="marts")

    def close(self) -> None:
        self.reader.close()

    @cached_property
    def _tables(self) -> dict[str, dict[str, str]]:
        return self.version.columns()

    def rows(self, sql: str) -> list[tuple]:
        try:
            return self.reader.run(sql, timeout=TIMEOUT, limit=self.MOST).rows
        except guard.TooLong as error:
            raise LocError(
                "The report was stopped.",
                f"One of its queries ran for {TIMEOUT:g} seconds.",
                "Give Trino more memory or nodes.",
            ) from error

    def quantiles(self, relation: str, name: str, shares: Sequence[float]) -> list[float]:
        number = f"cast({identifier(name)} as double)"
        ordered = (
            f"select {number} as x, row_number() over (order by {number}) as n, count(*) over () as"
            f" m from {relation} where {self.is_finite.format(number)}"
        )
        ends = (
            f"cast({step}((m - 1) * {value(share)}) as bigint) + 1"
            for share in shares
            for step in ("floor", "ceiling")
        )
        found = self.rows(f"select n, x, m from ({ordered}) where n in ({', '.join(ends)})")
        values = {row[0]: row[1] for row in found}
        return [_between(values, (found[0][2] - 1) * share) for share in shares if found]

    def counts(self, relation: str, sets: Sequence[tuple[str, ...]]) -> list[list[tuple]]:
        found: list[list[tuple]] = []
        for start in range(0, len(sets), self.SETS):
            part = sets[start : start + self.SETS]
            names = list(dict.fromkeys(name for names in part for name in names))
            listed = ", ".join(map(identifier, names))
            groups = ", ".join(f"({', '.join(map(identifier, names))})" for names in part)
            by: dict[int, list[tuple]] = {}
            for *values, mask, number in self.rows(
                f"select {listed}, grouping({listed}), count(*) from {relation}"
                f" group by grouping sets ({groups})"
            ):
                by.setdefault(mask, []).append((values, number))
            for own in part:
                mask = sum(1 << at for at, name in enumerate(reversed(names)) if name not in own)
                places = [names.index(name) for name in own]
                found.append(
                    [(*(values[at] for at in places), n) for values, n in by.get(mask, [])]
                )
        return found

    def sample(self, table: str) -> tuple[str, int]:
        """Take the rows by a hash of their first columns, so that each query reads the same."""
        rows = self.count(table)
        if rows <= SAMPLE:
            return table, rows
        names = list(self.columns(table))[:4]
        texts = ", ".join(f"cast({identifier(name)} as varchar)" for name in names)
        digest = f"from_big_endian_64(xxhash64(to_utf8(concat_ws('|', {texts}))))"
        relation = (
            f"(select * from {table} where abs(mod({digest}, 1000000)) <"
            f" {round(SAMPLE / rows * 1_000_000)}) as sampled"
        )
        return relation, self.count(relation)


def _between(values: dict[int, float], place: float) -> float:
    """The value at a place that may lie between two rows, as DuckDB's ``quantile_cont``."""
    low, high = values[math.floor(place) + 1], values[math.ceil(place) + 1]
    return low + (high - low) * (place - math.floor(place))


READINGS = {"duckdb": Reading, "trino": ServerReading}
"""By the engine of the version."""


def of(version: warehouse.Version) -> Reading:
    """Begin to read a version.

    Raises:
        LocError: it cannot be read.
    """
    return READINGS[version.engine](version)
