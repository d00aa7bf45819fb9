"""Reads the ledger ``raw.main.loads``, and checks that the files of loads are unchanged."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb

from proto_loc.settings import settings
from proto_loc.warehouse import store
from proto_loc.warehouse.errors import VersionDamaged

TABLE = """
create table if not exists main.loads (
    load_id bigint,            -- increases with each load, never used twice, below 2^53
    source varchar,            -- folder in the lake and schema of the view
    table_name varchar,        -- the view
    partition varchar,         -- the part of the table that the load replaces, e.g. 2025-01
    origin varchar,            -- synthetic | file | fetched
    file varchar,              -- relative to the lake
    rows bigint,
    bytes bigint,
    input varchar,             -- name of the file that was loaded
    input_sha256 varchar,
    loaded_at timestamp,       -- UTC
    -- false once another load has replaced the partition, or the load was retired
    active boolean
);
-- checksum of the lake's file; null in older ledgers
alter table main.loads add column if not exists sha256 varchar
"""


@dataclass(frozen=True)
class Load:
    """One row of ``raw.main.loads``."""

    load_id: int
    source: str
    table_name: str
    partition: str
    origin: str
    file: str
    rows: int
    bytes: int
    input: str
    input_sha256: str | None
    loaded_at: datetime
    active: bool = True
    sha256: str | None = field(default=None, compare=False)
    """Checksum of the lake's file; None for old loads and for one that is not added yet."""

    @property
    def path(self) -> Path:
        """The file in the lake."""
        return settings().lake / self.file


def loads_of(version: store.Version, *, active: bool = True) -> list[Load]:
    """The loads of a version of ``raw``, oldest first; with ``active=False`` all of them."""
    with version.open() as con:
        return loads_in(con, active=active)


def loads_in(con: duckdb.DuckDBPyConnection, *, active: bool = True) -> list[Load]:
    """The loads of an open ``raw``; the empty first version has no such table."""
    if not con.execute(
        "from duckdb_tables() where schema_name = 'main' and table_name = 'loads'"
    ).fetchone():
        return []
    where = "active" if active else "true"
    return [
        Load(*row)
        for row in con.execute(f"from main.loads where {where} order by load_id").fetchall()
    ]


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def whole(load: Load) -> bool:
    """Whether the load's file is in the lake and has the recorded size."""
    return size(load.path) == load.bytes


def intact(load: Load) -> bool:
    """Whether the load's file has the recorded size and, if one was recorded, checksum."""
    return whole(load) and (load.sha256 is None or store.checksum(load.path) == load.sha256)


def check(loads: Iterable[Load]) -> None:
    """Read the files of these loads in full, 1 to 2 GB per second and core.

    Raises:
        VersionDamaged: a file is lost or changed; the message says how to load it again.
    """
    if lost := _without(intact, list(loads)):
        raise damaged(lost)


def damaged(lost: list[Load]) -> VersionDamaged:
    """The error for loads whose files are lost or changed."""
    first = lost[0]
    files = [load.input for load in lost if load.origin == "file"]
    commands = [f"`loc load {' '.join(files)}` (with the paths of those files)"] if files else []
    sources = sorted({load.source for load in lost if load.origin == "fetched"})
    commands += [f"`loc load {source} --replace`" for source in sources]
    commands += ["`loc load sample`"] if any(load.origin == "synthetic" for load in lost) else []
    return VersionDamaged(
        f"{len(lost)} of raw's loads cannot be read.",
        (
            f"{first.path} is not what was loaded: "
            + (
                "it is not a Parquet file any more."
                if intact(first)
                else "its checksum differs from the ledger's."
            )
            if whole(first)
            else (
                f"{first.path} has {size(first.path):,} bytes, and the catalogue says"
                f" {first.bytes:,}."
            )
        ),
        f"Load again what was lost: {', then '.join(commands)}.",
    )


def _without(condition: Callable[[Load], bool], loads: list[Load]) -> list[Load]:
    with ThreadPoolExecutor(2) as pool:  # hashlib releases the GIL
        return [
            load for load, met in zip(loads, pool.map(condition, loads), strict=True) if not met
        ]
