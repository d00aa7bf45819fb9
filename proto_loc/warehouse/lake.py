"""The lake's immutable Parquet files, and ``raw``: the catalogue of those that count now.

``raw`` holds a table ``main.loads`` (one row a load, those superseded too) and, for each table of a
source, a view over exactly the files of its active loads. So a load copies nothing that is there
already, and going back is a swap.
"""

import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from proto_loc.errors import UsageError
from proto_loc.settings import private_folder, settings
from proto_loc.sql import exact_glob, literal
from proto_loc.warehouse import ledger, store
from proto_loc.warehouse.errors import VersionDamaged, WarehouseError, explained
from proto_loc.warehouse.ledger import Load, intact, whole
from proto_loc.warehouse.lock import writer_lock
from proto_loc.warehouse.session import Session, write

__all__ = [
    "Load",
    "Loading",
    "intact",
    "loading",
    "loads",
    "matching",
    "settle",
    "sweep",
    "waiting",
    "whole",
]

log = logging.getLogger("proto_loc.warehouse")

LOADS_A_SESSION = 10_000
SESSIONS_OF_AN_ID = 1_000_000
BIN = ".bin"
"""Folder in the lake where files wait that no version uses any more."""


@dataclass
class Loading:
    """A write session of ``raw``: reserve a file in the lake, write it, add it."""

    session: Session
    con: duckdb.DuckDBPyConnection
    loaded_at: datetime
    first_id: int
    """The session's first load id. Ids of versions begin anew, where the newest or all of them were
    lost; a random part keeps the ids of loads from doing so, since what was built is known by
    them."""
    added: int = 0
    changed: bool = False
    """Whether another set of loads counts now."""

    def loads(self) -> list[Load]:
        """The loads that are active now, oldest first."""
        return ledger.loads_in(self.con)

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
            path.unlink(
                missing_ok=True
            )  # the left-over of a session that was killed before it published this id
        return load_id, path

    def give_back(self, path: Path) -> None:
        """Undo the last :meth:`reserve`: nothing is to be loaded there."""
        path.unlink(missing_ok=True)
        self.added -= 1

    def add(self, load: Load) -> None:
        """Make the load the active one of its partition; what was there stays in the
        ledger, inactive.
        """
        path = load.path
        with explained("Writing to the lake", path.parent):
            path.chmod(0o444)
            store.fsync(path)
            store.fsync(path.parent)
            load = replace(load, sha256=store.checksum(path))
        self.con.execute(
            "update main.loads set active = false where source = ? and table_name = ? and"
            " partition = ?",
            [load.source, load.table_name, load.partition],
        )
        self.changed = True
        self.con.execute(
            f"insert into main.loads values ({', '.join('?' * 13)})", list(vars(load).values())
        )

    def retire(self, loads: Iterable[Load]) -> None:
        """Let loads count no more; they stay in the ledger, inactive."""
        self.changed = True
        for load in loads:
            self.con.execute(
                "update main.loads set active = false where load_id = ?", [load.load_id]
            )


@contextmanager
def loading(
    tables: Mapping[str, Mapping[str, str]], *, who: str, timeout: float | None = None
) -> Iterator[Loading]:
    """Open a write session of ``raw`` and publish its catalogue at the end, if a load was added or
    a view changed.

    Args:
        tables: ``source.table`` to its columns, name to DuckDB type; a view stands for each, with
            or without loads.
        who: who writes, for the history.

    Raises:
        LockTimeout, VersionDamaged, WarehouseError: see :func:`proto_loc.warehouse.write`.
    """
    _set_aside(timeout)
    with write("raw", who=who, timeout=timeout) as session:
        _sweep()
        with session.connect() as con:
            con.execute(ledger.TABLE)
            first = (
                session.id * SESSIONS_OF_AN_ID + secrets.randbelow(SESSIONS_OF_AN_ID)
            ) * LOADS_A_SESSION
            current = Loading(
                session, con, datetime.now(UTC).replace(tzinfo=None, microsecond=0), first
            )
            try:
                yield current
                before = _views(con)
                _restore(ledger.loads_in(con))
                lost = _lost(con)
                if lost and not current.changed:
                    raise ledger.damaged(lost)
                for load in (
                    lost
                ):  # they are loaded again one after the other, and until then nothing is built
                    log.warning(
                        "%s is lost from the lake: its rows are missing in raw until it is loaded"
                        " again",
                        load.input,
                    )
                _catalogue(con, tables, lost)
                _drop_undeclared(con, tables)
                if not current.changed and session.base and before == _views(con):
                    session.discard()
            except BaseException:
                for path in _files(first, first + LOADS_A_SESSION - 1):
                    path.unlink(missing_ok=True)
                raise
            active = ledger.loads_in(con)
            session.tables = {name: 0 for name in tables}
            for load in active:
                name = f"{load.source}.{load.table_name}"
                session.tables[name] = session.tables.get(name, 0) + load.rows
            session.facts = {
                "lake": str(settings().lake),
                "load_ids": [load.load_id for load in active],
            }


def loads(*, active: bool = True) -> list[Load]:
    """The loads of the current version of ``raw``, oldest first; with ``active=False`` the
    superseded ones too.
    """
    return (
        ledger.loads_of(store.current("raw"), active=active)
        if store.current_id("raw") is not None
        else []
    )


def matching(source: str, table: str | None = None, partition: str | None = None) -> list[Load]:
    """The active loads of a source, of one of its tables, of one partition.

    Raises:
        UsageError: there is none; the message names what there is.
    """
    active = loads()
    chosen = [
        load
        for load in active
        if load.source == source
        and table in (None, load.table_name)
        and partition in (None, load.partition)
    ]
    if not chosen:
        name = f"{source}.{table}" if table else source
        there = sorted({f"{load.source}.{load.table_name} {load.partition}" for load in active})
        shown = ", ".join(there[:20]) + (", ..." if len(there) > 20 else "")
        raise UsageError(
            f"raw has no load of {name}{f', partition {partition}' if partition else ''}.",
            f"It has: {shown or 'none'}.",
            "Name one of those.",
        )
    return chosen


def settle(tables: Mapping[str, Mapping[str, str]]) -> store.Version:
    """The current version of ``raw``, with its views as they must be here and now.

    A first, empty version is published where there is none; the catalogue is rebuilt where a source
    has new columns, and where the clone has moved, since views name their files by absolute path.

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
    with found.open() as con:
        if any(not whole(load) for load in ledger.loads_in(con)):
            with writer_lock(store.folder("raw") / "writer.lock", timeout=settings().lock_timeout):
                _restore(ledger.loads_in(con))
        if lost := _lost(con):
            raise ledger.damaged(lost)
    return found


def sweep(*, grace: float | None = None) -> list[Path]:
    """Move the lake's files that no kept version of ``raw`` uses into the bin; returns their old
    paths.

    Args:
        grace: seconds that a file waits in the bin before it is removed, default ``LOC_BIN_GRACE``.

    Raises:
        LockTimeout, WarehouseError: see :func:`proto_loc.warehouse.write`.
        VersionDamaged: the ledger is not certain, so that nothing may go.
    """
    with writer_lock(store.folder("raw") / "writer.lock", timeout=settings().lock_timeout):
        gone = _sweep(grace)
        _expire(waiting(), settings().bin_grace if grace is None else grace)
    return gone


def waiting() -> list[Path]:
    """What waits for its removal: files in the lake's bin, and what was set aside
    (``*.lost-*``); oldest first.
    """
    lost = [*settings().data.glob("lake.lost-*"), *settings().warehouse.glob("*/current.lost-*")]
    return sorted(
        [*(settings().lake / BIN).glob("*/*"), *lost], key=lambda path: path.stat().st_mtime
    )


def _set_aside(timeout: float | None) -> None:
    """Where ``raw`` was removed and the lake was not, keep its files from the sweep: no other
    copy may be left.
    """
    home, lake = store.folder("raw"), settings().lake
    if store.current_id("raw") is not None or not _files():
        return
    with writer_lock(
        home / "writer.lock", timeout=settings().lock_timeout if timeout is None else timeout
    ):
        if store.heal("raw") is None and _files():
            with explained("Setting the old lake aside", lake):
                aside = store.set_aside(lake)
            log.warning("raw is gone, so its lake begins anew; the old files are kept in %s", aside)


def _sweep(grace: float | None = None) -> list[Path]:
    """With the lock of ``raw`` held."""
    lake = settings().lake
    grace = settings().bin_grace if grace is None else grace
    if store.heal("raw") is None:
        return []
    store.current("raw").check()
    made = _files()
    used: set[str] = set()
    for version_id in store.versions("raw"):
        try:
            used |= {load.file for load in ledger.loads_of(store.load("raw", version_id).check())}
        except VersionDamaged:
            used |= {str(path.relative_to(lake)) for path in made}  # it may need any of them
    gone = [path for path in made if str(path.relative_to(lake)) not in used]
    with explained("Sweeping the lake", lake):
        # Under the lock no load is at work, so a part of a file is the left-over of one that was
        # killed.
        for part in lake.glob("*/.*.part"):
            part.unlink()
        for path in gone if grace else ():
            _move(path, lake / BIN / path.relative_to(lake))
            os.utime(lake / BIN / path.relative_to(lake))  # since when it waits
        for path in () if grace else gone:
            path.unlink()
    _expire(list((lake / BIN).glob("*/*")), grace)
    return gone


def _expire(waiting: list[Path], grace: float) -> None:
    with explained("Emptying the bin", settings().lake):
        for path in waiting:
            if time.time() - path.stat().st_mtime >= grace:
                path.unlink() if path.is_file() or path.is_symlink() else shutil.rmtree(path)


def _restore(loads: list[Load]) -> None:
    """Bring back what a load lacks and the bin, or a lake that was set aside, still holds; with
    the lock of ``raw``.
    """
    for load in loads:
        for place in (settings().lake / BIN, *settings().data.glob("lake.lost-*")):
            if not whole(load) and ledger.size(place / load.file) == load.bytes:
                _move(place / load.file, load.path)
                log.warning("%s was brought back from %s", load.file, place)


def _move(path: Path, target: Path) -> None:
    private_folder(target.parent)
    path.replace(target)


def _files(first: int = 0, last: int | None = None) -> list[Path]:
    """The lake's files of loads ``first`` to ``last``, by their names; other files there are
    not ours.
    """
    numbered = (
        (path, re.search(r"-(\d+)\.parquet$", path.name))
        for path in sorted(settings().lake.glob("*/*.parquet"))
    )
    return [
        path
        for path, found in numbered
        if found and first <= int(found[1]) <= (last or int(found[1]))
    ]


def _views(con: duckdb.DuckDBPyConnection) -> list[tuple]:
    # DuckDB quotes a type's name in a view that was just made, and not in one that was read from a
    # file.
    return con.execute(
        "select schema_name, view_name, replace(sql, '\"', '') from duckdb_views() where not"
        " internal order by 1, 2"
    ).fetchall()


def _stands(version: store.Version, tables: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether every table's view stands in that version with those columns."""
    with version.open() as con:
        found = con.execute(
            "select schema_name || '.' || table_name, column_name, data_type from duckdb_columns() "
            "where not internal order by column_index"
        ).fetchall()
    return all(
        [(c, t) for name, c, t in found if name == table] == list(columns.items())
        for table, columns in tables.items()
    )


def _lost(con: duckdb.DuckDBPyConnection) -> list[Load]:
    """Active loads whose files are missing, of another size, or no Parquet files any more."""
    active = ledger.loads_in(con)
    there = [load for load in active if whole(load)]
    if not _are_parquet(con, there):
        there = [load for load in there if _are_parquet(con, [load])]
    return [load for load in active if load not in there]


def _are_parquet(con: duckdb.DuckDBPyConnection, loads: list[Load]) -> bool:
    try:
        if loads:
            con.execute(
                "select count(*) from"
                f" parquet_file_metadata({_listed(load.path for load in loads)})"
            )
    except duckdb.Error:
        return False
    return True


def _catalogue(
    con: duckdb.DuckDBPyConnection, tables: Mapping[str, Mapping[str, str]], lost: list[Load]
) -> None:
    active = [load for load in ledger.loads_in(con) if load not in lost]
    for name, columns in tables.items():
        source, table = name.split(".")
        files = [load.path for load in active if (load.source, load.table_name) == (source, table)]
        con.execute(f'create schema if not exists "{source}"')
        con.execute(
            f'create or replace view "{source}"."{table}" as {_select(con, columns, files)}'
        )


def _drop_undeclared(
    con: duckdb.DuckDBPyConnection, tables: Mapping[str, Mapping[str, str]]
) -> None:
    """Drop the views of tables that no source has any more, once no load of theirs counts."""
    loaded = {f"{load.source}.{load.table_name}" for load in ledger.loads_in(con)}
    for schema, view, _ in _views(con):
        if f"{schema}.{view}" not in loaded | tables.keys():
            con.execute(f'drop view "{schema}"."{view}"')


def _select(con: duckdb.DuckDBPyConnection, columns: Mapping[str, str], files: list[Path]) -> str:
    """The view's query: every column of the table by name, null where no file has it (yet)."""
    there: set[str] = set()
    origin = "where false"
    if files:
        origin = f"from read_parquet({_listed(files)}, union_by_name = true)"
        there = {name for name, *_ in con.execute(f"describe select * {origin}").fetchall()}
    names = (
        f'"{name}"' if name in there else f'null::{kind} as "{name}"'
        for name, kind in columns.items()
    )
    return f"select {', '.join(names)} {origin}"


def _listed(files: Iterable[Path]) -> str:
    """The files as a list of SQL."""
    return "[" + ", ".join(literal(exact_glob(path)) for path in files) + "]"
