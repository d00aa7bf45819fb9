"""Compares the loads of each declared table with its declaration."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from proto_loc.sources import Load, Table, declared_tables
from proto_loc.warehouse import lake


@dataclass(frozen=True)
class TableState:
    """A declared table with its active loads."""

    source: str
    table: Table
    loads: tuple[Load, ...]
    at: datetime
    """The time of this state, in UTC without a zone."""

    @property
    def rows(self) -> int:
        """Number of rows of all partitions."""
        return sum(load.rows for load in self.loads)

    @property
    def newest(self) -> datetime | None:
        """Time of the newest load, in UTC."""
        return max((load.loaded_at for load in self.loads), default=None)

    @property
    def small(self) -> str:
        """A sentence about partitions with fewer rows than declared; empty if all have enough."""
        small = [load for load in self.loads if load.rows < self.table.min_rows]
        if not small:
            return ""
        names = ", ".join(f"{load.partition} ({load.rows:,} rows)" for load in small[:5])
        more = f" and {len(small) - 5} more" if len(small) > 5 else ""
        return f"Fewer rows than {self.table.min_rows:,} in {names}{more}."

    @property
    def stale(self) -> str:
        """A sentence about a newest load that is older than declared; empty if it is fresh."""
        limit = self.table.fresh_within
        if limit is None or (self.newest and self.at - self.newest <= limit):
            return ""
        age = f"The newest load is of {self.newest:%Y-%m-%d %H:%M}" if self.newest else "No load"
        return f"{age}; the declaration wants one within {limit}."


def table_states(at: datetime) -> Iterator[TableState]:
    """Return the state of every declared table at a time (UTC, without a time zone)."""
    active = lake.loads()
    for (source, name), table in declared_tables().items():
        loads = (load for load in active if (load.source, load.table_name) == (source, name))
        yield TableState(source, table, tuple(loads), at)
