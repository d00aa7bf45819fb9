"""Writes the immutable Parquet files of the lake, and ``raw``, their catalogue.

``raw`` has a table ``main.loads`` with one row per load, including superseded loads. For each table
of a source, ``raw`` has a view over the files of the active loads. So a load does not copy data
that is in the lake already, and a rollback only replaces the link ``current``.
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
from proto_loc.sql import exact_glob, identifier, literal
from proto_loc.warehouse import ledger, store
from proto_loc.warehouse.errors import VersionDamaged, WarehouseError, explained
from proto_loc.warehouse.ledger import Load, whole
from proto_loc.warehouse.session import Session, write

log = logging.getLogger("proto_loc.warehouse")

LOADS_A_SESSION = 10_000
SESSIONS_OF_AN_ID = 1_000_000
BIN = ".bin"
"""Folder in the lake for unused files, which are removed after a grace time."""
REJECTS = "_rejects"
"""End of the name of a table that has the rejected rows of another, with ``_reason``."""


@dataclass
class Loading:
    """A write session of ``raw``, in which a caller reserves a file, writes it, and adds it."""

    session: Session
    con: duckdb.DuckDBPyConnection
    loaded_at: datetime
    first_id: int
    """The first load id of the session. Load ids must never repeat, since they identify what was
    built. Version ids repeat after a loss of versions, so a random number is part of a load id."""
    tables: dict[str, Mapping[str, str]]
    """The columns of each ``source.table``; a caller may add to them."""
    added: int = 0
    changed: bool = False
    """Whether the set of active loads has changed."""

    def loads(self) -> list[Load]:
        """The active loads, oldest first."""
        return ledger.loads_in(self.con)

    def reserve(self, source: str, table: str, partition: str) -> tuple[int, Path]:
        """Return a new load id, and the path in the lake for its Parquet file."""
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
            path.unlink(missing_ok=True)  # a file that a killed session left with this id
        return load_id, path

    def give_back(self, path: Path) -> None:
        """Undo the last :meth:`reserve`."""
        path.unlink(missing_ok=True)
        self.added -= 1

    def add(self, load: Load) -> None:
        """Make a load the active one of its partition; the former load stays as inactive."""
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
        """Make loads inactive; they stay in the ledger."""
        self.changed = True
        for load in loads:
            self.con.execute(
                "update main.loads set active = false where load_id = ?", [load.load_id]
            )

    def restore(self, loads: Iterable[Load]) -> None:
        """Make loads active again, in place of later ones that are retired."""
        self.changed = True
        for load in loads:
            self.con.execute(
                "update main.loads set active = true where load_id = ?", [load.load_id]
            )


@contextmanager
def loading(
    tables: Mapping[str, Mapping[str, str]], *, who: str, timeout: float | None = None
) -> Iterator[Loading]:
    """Open a write session of ``raw``, and publish it if a load or a view has changed.

    Args:
        tables: the columns of each ``source.table``, as name to DuckDB type; each gets a view.
        who: the writer's name for the history.

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
                session,
                con,
                datetime.now(UTC).replace(tzinfo=None, microsecond=0),
                first,
                dict(tables),
            )
            try:
                yield current
                before = _views(con)
                _restore(ledger.loads_in(con))
                lost = _lost(con)
                if lost and not current.changed:
                    raise ledger.damaged(lost)
                # The lost files can be loaded again one by one; until then no build runs.
                for load in lost:
                    log.warning(
                        "%s is lost from the lake: its rows are missing in raw until it is loaded"
                        " again",
                        load.input,
                    )
                _catalogue(con, current.tables, lost)
                _drop_undeclared(con, current.tables)
                if not current.changed and session.base and before == _views(con):
                    session.discard()
            except BaseException:
                for path in _files(first, first + LOADS_A_SESSION - 1):
                    path.unlink(missing_ok=True)
                raise
            active = ledger.loads_in(con)
            session.tables = {name: 0 for name in current.tables}
            for load in active:
                name = f"{load.source}.{load.table_name}"
                session.tables[name] = session.tables.get(name, 0) + load.rows
            session.facts = {
                "lake": str(settings().lake),
                "load_ids": [load.load_id for load in active],
            }


def loads(*, active: bool = True) -> list[Load]:
    """The loads of the current ``raw``, oldest first; with ``active=False`` all of them."""
    if store.current_id("raw") is None:
        return []
    return ledger.loads_of(store.current("raw"), active=active)


def matching(source: str, table: str | None = None, partition: str | None = None) -> list[Load]:
    """The active loads of a source, or of one of its tables or partitions.

    Raises:
        UsageError: there is none; the message lists the loads that exist.
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
        names = sorted({f"{load.source}.{load.table_name} {load.partition}" for load in active})
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise UsageError(
            f"raw has no load of {name}{f', partition {partition}' if partition else ''}.",
            f"It has: {shown or 'none'}.",
            "Name one of those.",
        )
    return chosen


def settle(tables: Mapping[str, Mapping[str, str]]) -> store.Version:
    """The current version of ``raw``, after an update of its views.

    An empty first version is published if there is none. The catalogue is rebuilt if a source has
    other columns or the clone has moved, since views contain absolute paths of files.

    Raises:
        VersionDamaged: a lake file of an active load is missing or truncated.
    """
    version = store.current("raw") if store.current_id("raw") is not None else None
    moved = version is not None and version.facts.get("lake") != str(settings().lake)
    if version is None or moved or not _is_up_to_date(version, tables):
        if moved:
            log.warning("the lake is now in %s: rebuilding the catalogue of raw", settings().lake)
        with loading(tables, who="set-up"):
            pass
        version = store.current("raw")
    with version.open() as con:
        if any(not whole(load) for load in ledger.loads_in(con)):
            with store.write_lock("raw"):
                _restore(ledger.loads_in(con))
        if lost := _lost(con):
            raise ledger.damaged(lost)
    return version


def sweep(*, grace: float | None = None) -> list[Path]:
    """Move files that no version of ``raw`` uses to the lake's bin; return their old paths.

    Args:
        grace: seconds that a file stays in the bin, default ``LOC_BIN_GRACE``.

    Raises:
        LockTimeout, WarehouseError: see :func:`proto_loc.warehouse.write`.
        VersionDamaged: the ledger is damaged, so that nothing is removed.
    """
    with store.write_lock("raw"):
        gone = _sweep(grace)
        _expire(waiting(), settings().bin_grace if grace is None else grace)
    return gone


def waiting() -> list[Path]:
    """Files in the bin and folders that were set aside (``*.lost-*``), oldest first."""
    lost = [*settings().data.glob("lake.lost-*"), *settings().warehouse.glob("*/current.lost-*")]
    return sorted(
        [*(settings().lake / BIN).glob("*/*"), *lost], key=lambda path: path.stat().st_mtime
    )


def _set_aside(timeout: float | None) -> None:
    """Rename the lake if ``raw`` was removed: the sweep must not delete the only copy of files."""
    lake = settings().lake
    if store.current_id("raw") is not None or not _files():
        return
    with store.write_lock("raw", timeout):
        if store.heal("raw") is None and _files():
            with explained("Setting the old lake aside", lake):
                aside = store.set_aside(lake)
            log.warning("raw is gone, so a new lake is made; the old files are kept in %s", aside)


def _sweep(grace: float | None = None) -> list[Path]:
    """Do the same as :func:`sweep`, for a caller that has the lock of ``raw``."""
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
            used |= {str(path.relative_to(lake)) for path in made}  # the version may need any file
    gone = [path for path in made if str(path.relative_to(lake)) not in used]
    with explained("Sweeping the lake", lake):
        # The lock excludes other loads, so a partial file belongs to a load that was killed.
        for part in lake.glob("*/.*.part"):
            part.unlink()
        for path in gone:
            if grace:
                _move(path, lake / BIN / path.relative_to(lake))
                os.utime(lake / BIN / path.relative_to(lake))  # the start of its grace time
            else:
                path.unlink()
    _expire(list((lake / BIN).glob("*/*")), grace)
    return gone


def _expire(waiting: list[Path], grace: float) -> None:
    with explained("Emptying the bin", settings().lake):
        for path in waiting:
            if time.time() - path.stat().st_mtime >= grace:
                path.unlink() if path.is_file() or path.is_symlink() else shutil.rmtree(path)


def _restore(loads: list[Load]) -> None:
    """Restore missing files from the bin or an old lake; needs the lock of ``raw``."""
    for load in loads:
        for place in (settings().lake / BIN, *settings().data.glob("lake.lost-*")):
            if not whole(load) and ledger.size(place / load.file) == load.bytes:
                _move(place / load.file, load.path)
                log.warning("%s was brought back from %s", load.file, place)


def _move(path: Path, target: Path) -> None:
    private_folder(target.parent)
    path.replace(target)


def _files(first: int = 0, last: int | None = None) -> list[Path]:
    """The lake's files whose names have a load id from ``first`` to ``last``, sorted."""
    numbered = (
        (path, re.search(r"-(\d+)\.parquet$", path.name))
        for path in sorted(settings().lake.glob("*/*.parquet"))
    )
    return [
        path
        for path, load_id in numbered
        if load_id and first <= int(load_id[1]) <= (last or int(load_id[1]))
    ]


def _views(con: duckdb.DuckDBPyConnection) -> list[tuple]:
    # DuckDB quotes the name of a type in a new view, and not in one that it read from a file.
    return con.execute(
        "select schema_name, view_name, replace(sql, '\"', '') from duckdb_views() where not"
        " internal order by 1, 2"
    ).fetchall()


def _is_up_to_date(version: store.Version, tables: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a version has a view with these columns for every table."""
    actual = version.columns()
    return "main.rejects" in actual and all(
        list(actual.get(table, {}).items()) == list(columns.items())
        for table, columns in tables.items()
    )


def _lost(con: duckdb.DuckDBPyConnection) -> list[Load]:
    """Find active loads whose files are missing, have another size, or are not Parquet."""
    active = ledger.loads_in(con)
    readable = [load for load in active if whole(load)]
    if not _are_parquet(con, readable):
        readable = [load for load in readable if _are_parquet(con, [load])]
    return [load for load in active if load not in readable]


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
    con.execute(f"create or replace view main.rejects as {_rejects(tables)}")


def _rejects(tables: Mapping[str, Mapping[str, str]]) -> str:
    """The query that counts rejected rows by load and reason, from every table of rejects.

    A load without a rejected row has one row, with 0. The reason ends before the value.
    """
    queries = [
        "select null::bigint as load_id, null::varchar as source, null::varchar as table_name,"
        " null::varchar as reason, null::bigint as rows where false"
    ]
    for name, columns in tables.items():
        source, table = name.split(".")
        if table.endswith(REJECTS) and "_reason" in columns:
            queries.append(
                f"select loads.load_id, {literal(source)}, {literal(table.removesuffix(REJECTS))},"
                " split_part(_reason, ':', 1), count(_load_id) from main.loads"
                f" left join {identifier(source, table)} on _load_id = load_id"
                f" where active and source = {literal(source)} and table_name = {literal(table)}"
                " group by all"
            )
    return " union all ".join(queries)


def _drop_undeclared(
    con: duckdb.DuckDBPyConnection, tables: Mapping[str, Mapping[str, str]]
) -> None:
    """Drop the views of tables that no source declares and that have no active load."""
    loaded = {f"{load.source}.{load.table_name}" for load in ledger.loads_in(con)}
    for schema, view, _ in _views(con):
        if f"{schema}.{view}" not in {"main.rejects", *loaded, *tables}:
            con.execute(f'drop view "{schema}"."{view}"')


def _select(con: duckdb.DuckDBPyConnection, columns: Mapping[str, str], files: list[Path]) -> str:
    """The query of a view: every column of the table by name, null if no file has it."""
    existing: set[str] = set()
    origin = "where false"
    if files:
        origin = f"from read_parquet({_listed(files)}, union_by_name = true)"
        existing = {name for name, *_ in con.execute(f"describe select * {origin}").fetchall()}
    names = (
        f'"{name}"' if name in existing else f'null::{kind} as "{name}"'
        for name, kind in columns.items()
    )
    return f"select {', '.join(names)} {origin}"


def _listed(files: Iterable[Path]) -> str:
    """The files as an SQL list."""
    return "[" + ", ".join(literal(exact_glob(path)) for path in files) + "]"
