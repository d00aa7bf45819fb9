"""The lake's immutable Parquet files, and ``raw``: the catalogue of those that count now.

``raw`` holds a table ``main.loads`` (one row a load, those superseded too) and, for each table of a source, a view
over exactly the files of its active loads. So a load copies nothing that is there already, and going back is a swap.
"""

import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from proto_loc.settings import private_folder, settings
from proto_loc.warehouse import store
from proto_loc.warehouse.errors import VersionDamaged, WarehouseError, explained
from proto_loc.warehouse.lock import writer_lock
from proto_loc.warehouse.session import Session, write

log = logging.getLogger("proto_loc.warehouse")

LOADS_A_SESSION = 10_000
SESSIONS_OF_AN_ID = 1_000_000

LOADS = """
create table if not exists main.loads (
    load_id bigint,            -- rises with each load, never used twice, below 2^53
    source varchar,            -- folder in the lake and schema of the view
    table_name varchar,        -- the view
    partition varchar,         -- what the load replaces as a whole, e.g. 2025-01
    origin varchar,            -- synthetic | file
    file varchar,              -- relative to the lake
    rows bigint,
    bytes bigint,
    input varchar,             -- name of the file that was loaded
    input_sha256 varchar,
    loaded_at timestamp,       -- UTC
    active boolean             -- false once another load has taken the partition's place
)
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


@dataclass
class Loading:
    """A write session of ``raw``: reserve a file in the lake, write it, add it."""

    session: Session
    con: duckdb.DuckDBPyConnection
    loaded_at: datetime
    first_id: int
    """The session's first load id. Ids of versions begin anew, where the newest or all of them were lost; a random part
    keeps the ids of loads from doing so, since what was built is known by them."""
    added: int = 0

    def loads(self) -> list[Load]:
        """The loads that are active now, oldest first."""
        return _loads(self.con, "active")

    def reserve(self, source: str, table: str, partition: str) -> tuple[int, Path]:
        """A new load id, and the path in the lake to write that load's Parquet file to."""
        self.added += 1
        if self.added >= LOADS_A_SESSION:
            raise WarehouseError(
                f"More than {LOADS_A_SESSION - 1:,} files in one load.",
                "Load ids are made for fewer.",
                "Load the files in several commands.",
            )
        load_id = self.first_id + self.added
        path = settings().lake / source / f"{table}-{partition}-{load_id}.parquet"
        with explained("Writing to the lake", path.parent):
            private_folder(path.parent)
            path.unlink(missing_ok=True)  # the left-over of a session that was killed before it published this id
        return load_id, path

    def give_back(self, path: Path) -> None:
        """Undo the last :meth:`reserve`: nothing is to be loaded there."""
        path.unlink(missing_ok=True)
        self.added -= 1

    def add(self, load: Load) -> None:
        """Make the load the active one of its partition; what was there stays in the ledger, inactive."""
        path = settings().lake / load.file
        with explained("Writing to the lake", path.parent):
            path.chmod(0o444)
            store.fsync(path)
            store.fsync(path.parent)
        self.con.execute(
            "update main.loads set active = false where source = ? and table_name = ? and partition = ?",
            [load.source, load.table_name, load.partition],
        )
        self.con.execute(f"insert into main.loads values ({', '.join('?' * 12)})", list(vars(load).values()))


@contextmanager
def loading(tables: Mapping[str, Mapping[str, str]], *, who: str, timeout: float | None = None) -> Iterator[Loading]:
    """Open a write session of ``raw`` and publish its catalogue at the end, if a load was added or a view changed.

    Args:
        tables: ``source.table`` to its columns, name to DuckDB type; a view stands for each, with or without loads.
        who: who writes, for the history.

    Raises:
        LockTimeout, VersionDamaged, WarehouseError: see :func:`proto_loc.warehouse.write`.
    """
    _set_aside(timeout)
    with write("raw", who=who, timeout=timeout) as session:
        _sweep()
        with session.connect() as con:
            con.execute(LOADS)
            first = (session.id * SESSIONS_OF_AN_ID + secrets.randbelow(SESSIONS_OF_AN_ID)) * LOADS_A_SESSION
            current = Loading(session, con, datetime.now(UTC).replace(tzinfo=None, microsecond=0), first)
            try:
                yield current
                before = _views(con)
                lost = [load for load in _loads(con, "active") if not whole(load)]
                if lost and not current.added:
                    raise _damaged(lost)
                for load in lost:  # they are loaded again one after the other, and until then nothing is built
                    log.warning(
                        "%s is lost from the lake: its rows are missing in raw until it is loaded again", load.input
                    )
                _catalogue(con, tables)
                if not current.added and session.base and before == _views(con):
                    session.discard()
            except BaseException:
                for path in _files(first, first + LOADS_A_SESSION - 1):
                    path.unlink(missing_ok=True)
                raise
            active = _loads(con, "active")
            session.tables = {name: 0 for name in tables}
            for load in active:
                name = f"{load.source}.{load.table_name}"
                session.tables[name] = session.tables.get(name, 0) + load.rows
            session.facts = {
                "lake": str(settings().lake),
                "load_ids": [load.load_id for load in active],
            }


def loads(*, active: bool = True) -> list[Load]:
    """The loads of the current version of ``raw``, oldest first; with ``active=False`` the superseded ones too."""
    return _loads_of(store.current("raw"), active) if store.current_id("raw") is not None else []


def settle(tables: Mapping[str, Mapping[str, str]]) -> store.Version:
    """The current version of ``raw``, with its views as they must be here and now.

    A first, empty version is published where there is none; the catalogue is rebuilt where a source has new columns,
    and where the clone has moved, since views name their files by absolute path.

    Raises:
        VersionDamaged: a lake file of an active load is missing or truncated.
    """
    found = store.current("raw") if store.current_id("raw") is not None else None
    moved = found is not None and found.facts.get("lake") != str(settings().lake)
    if found is None or moved or not _stands(found, tables):
        if moved:
            log.warning("the lake is now in %s: rebuilding the catalogue of raw", settings().lake)
        with loading(tables, who="set-up"):
            pass
        found = store.current("raw")
    if lost := [load for load in _loads_of(found) if not whole(load)]:
        raise _damaged(lost)
    return found


def whole(load: Load) -> bool:
    """Whether the load's file is in the lake, with as many bytes as were loaded."""
    return _size(load) == load.bytes


def sweep() -> list[Path]:
    """Remove the lake's files that no kept version of ``raw`` uses; returns their paths.

    Raises:
        LockTimeout, WarehouseError: see :func:`proto_loc.warehouse.write`.
    """
    with writer_lock(store.folder("raw") / "writer.lock", timeout=settings().lock_timeout):
        return _sweep()


def _size(load: Load) -> int:
    path = settings().lake / load.file
    return path.stat().st_size if path.exists() else 0


def _damaged(lost: list[Load]) -> VersionDamaged:
    first = lost[0]
    files = [load.input for load in lost if load.origin != "synthetic"]
    commands = [f"`loc load {' '.join(files)}` (with the paths of those files)"] if files else []
    commands += ["`loc load sample`"] if len(files) < len(lost) else []
    return VersionDamaged(
        f"{len(lost)} of raw's loads cannot be read.",
        f"{settings().lake / first.file} has {_size(first):,} bytes, and the catalogue says {first.bytes:,}.",
        f"Load again what was lost: {', then '.join(commands)}.",
    )


def _set_aside(timeout: float | None) -> None:
    """Where ``raw`` was removed and the lake was not, keep its files from the sweep: no other copy may be left."""
    home, lake = store.folder("raw"), settings().lake
    if (home / "versions").exists() or not _files():
        return
    with writer_lock(home / "writer.lock", timeout=settings().lock_timeout if timeout is None else timeout):
        if not (home / "versions").exists() and _files():
            aside = lake.with_name(f"lake.lost-{secrets.token_hex(3)}")
            with explained("Setting the old lake aside", lake):
                lake.rename(aside)
            log.warning("raw is gone, so its lake begins anew; the old files are kept in %s", aside)


def _sweep() -> list[Path]:
    """With the lock of ``raw`` held."""
    lake = settings().lake
    made = _files()
    used: set[str] = set()
    for version_id in store.versions("raw"):
        try:
            with store.load("raw", version_id).open() as con:
                used |= {load.file for load in _loads(con, "active")}
        except VersionDamaged:
            used |= {str(path.relative_to(lake)) for path in made}  # it may need any of them
    # Under the lock no load is at work, so a part of a file is the left-over of one that was killed.
    gone = [*(path for path in made if str(path.relative_to(lake)) not in used), *sorted(lake.glob("*/.*.part"))]
    with explained("Sweeping the lake", lake):
        for path in gone:
            path.unlink()
    return gone


def _files(first: int = 0, last: int | None = None) -> list[Path]:
    """The lake's files of loads ``first`` to ``last``, by their names; other files there are not ours."""
    numbered = (
        (path, re.search(r"-(\d+)\.parquet$", path.name)) for path in sorted(settings().lake.glob("*/*.parquet"))
    )
    return [path for path, found in numbered if found and first <= int(found[1]) <= (last or int(found[1]))]


def _loads_of(version: store.Version, active: bool = True) -> list[Load]:
    with version.open() as con:
        return _loads(con, "active" if active else "true")


def _loads(con: duckdb.DuckDBPyConnection, where: str) -> list[Load]:
    if not con.execute("from duckdb_tables() where schema_name = 'main' and table_name = 'loads'").fetchone():
        return []  # the empty first version of set-up
    return [Load(*row) for row in con.execute(f"from main.loads where {where} order by load_id").fetchall()]


def _views(con: duckdb.DuckDBPyConnection) -> list[tuple]:
    # DuckDB quotes a type's name in a view that was just made, and not in one that was read from a file.
    return con.execute(
        "select schema_name, view_name, replace(sql, '\"', '') from duckdb_views() where not internal order by 1, 2"
    ).fetchall()


def _stands(version: store.Version, tables: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether every table's view stands in that version with those columns."""
    with version.open() as con:
        found = con.execute(
            "select schema_name || '.' || table_name, column_name, data_type from duckdb_columns() "
            "where not internal order by column_index"
        ).fetchall()
    return all(
        [(c, t) for name, c, t in found if name == table] == list(columns.items()) for table, columns in tables.items()
    )


def _catalogue(con: duckdb.DuckDBPyConnection, tables: Mapping[str, Mapping[str, str]]) -> None:
    active = [load for load in _loads(con, "active") if whole(load)]
    for name, columns in tables.items():
        source, table = name.split(".")
        files = [settings().lake / load.file for load in active if (load.source, load.table_name) == (source, table)]
        con.execute(f'create schema if not exists "{source}"')
        con.execute(f'create or replace view "{source}"."{table}" as {_select(con, columns, files)}')


def _select(con: duckdb.DuckDBPyConnection, columns: Mapping[str, str], files: list[Path]) -> str:
    """The view's query: every column of the table by name, null where no file has it (yet)."""
    there: set[str] = set()
    origin = "where false"
    if files:
        listed = ", ".join("'" + pattern(path).replace("'", "''") + "'" for path in files)
        origin = f"from read_parquet([{listed}], union_by_name = true)"
        there = {name for name, *_ in con.execute(f"describe select * {origin}").fetchall()}
    names = (f'"{name}"' if name in there else f'null::{kind} as "{name}"' for name, kind in columns.items())
    return f"select {', '.join(names)} {origin}"


def pattern(path: Path) -> str:
    """The path as a glob that matches itself only: DuckDB reads every file name as one."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in os.fspath(path))
