"""Checks of who has the databases open: writers, what killed writers left, other programs."""

import glob
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import psutil

from proto_loc import services, warehouse
from proto_loc.doctor.finding import Finding, ok
from proto_loc.errors import LocError
from proto_loc.files import try_lock
from proto_loc.settings import settings
from proto_loc.warehouse import lock
from proto_loc.warehouse.retention import PROC
from proto_loc.warehouse.session import tidy

MINE = ("superset/", "dagster/")
"""Folders of the data folder whose SQLite files only services of this clone write."""


def writers() -> Iterator[Finding]:
    """Show who writes each database and since when, and find writers that never end."""
    for database in warehouse.DATABASES:
        path = warehouse.store.folder(database) / "writer.lock"
        if not _is_locked(path):
            yield ok(f"Nobody writes {database}")
            continue
        who, pids = lock.holder(path), lock.open_in(path)
        stopped = [pid for pid in pids if _status(pid) == psutil.STATUS_STOPPED]
        if stopped:
            yield Finding(
                "warn",
                f"The writer of {database} is stopped, so that all others wait: {who}.",
                "Somebody has pressed Ctrl-Z, or a program has sent SIGSTOP.",
                f"kill -CONT {stopped[0]} lets it work on; kill {stopped[0]} ends it, and nothing"
                " is published",
                symptom="A writer waits for another one that never ends",
            )
        elif who.startswith("a child left by"):
            yield Finding(
                "warn",
                f"{database} is locked by {who}.",
                "The writer was killed, and a program that it had started still runs.",
                f"kill {' '.join(map(str, pids))}; nothing of it is published",
                symptom="A writer waits for another one that never ends",
            )
        else:
            yield ok(f"{database} is being written by {who}")


def _is_locked(path: Path) -> bool:
    try:
        with path.open() as file:
            return not try_lock(file, shared=True)
    except OSError:
        return False


def _status(pid: int) -> str:
    try:
        return psutil.Process(pid).status()
    except psutil.Error:
        return ""


def staging() -> Iterator[Finding]:
    """Find what killed writers have left."""
    remains = _remains()
    for database, paths in remains.items():
        files = (file for path in paths for file in path.rglob("*") if file.is_file())
        number = sum(file.stat().st_size for file in files)
        yield Finding(
            "warn",
            f"Killed writers have left {len(paths)} folders of {database}, {number / 1e6:,.1f} MB.",
            f"They are in {paths[0].parent}. Nothing reads them; the next write removes them.",
            "./loc refresh, or ./loc doctor --fix",
            symptom="Disk space is taken by folders of writers that were killed",
            repair=_tidy,
        )
    if not remains:
        yield ok("Nothing is left of killed writers")


def _remains() -> dict[str, list[Path]]:
    """The folders that killed writers have left of each database that nobody writes."""
    return {
        database: paths
        for database in warehouse.DATABASES
        if (paths := warehouse.store.remains(database))
        and not _is_locked(warehouse.store.folder(database) / "writer.lock")
    }


def _tidy() -> str:
    tidy()
    if left := [str(path) for paths in _remains().values() for path in paths]:
        raise LocError(
            f"{', '.join(left)} could not be removed.",
            "It or a folder above is another user's, or cannot be written.",
            "Remove it as that user",
        )
    return "What killed writers had left is removed, except where somebody writes again."


def others() -> Iterator[Finding]:
    """Find programs that do not belong to the platform and have one of its databases open."""
    if not PROC.exists():
        yield ok("Which programs have a database open can be seen on Linux only")
        return
    data = settings().data
    opened = _opened(data)
    writing = {
        pid for pid, paths in opened.items() if any(path.name == "writer.lock" for path in paths)
    }
    sound = True
    for pid, paths in sorted(opened.items()):
        process = _described(pid)
        if pid in writing or not process:
            continue
        names = sorted({path.relative_to(data) for path in paths})
        staged = [name for name in names if "staging" in name.parts]
        private = [name for name in names if str(name).startswith(MINE)]
        own = [name for name in names if str(name) == "warehouse/dev.duckdb"]
        if staged or private:
            sound = False
            yield Finding(
                "warn",
                f"{process} has {', '.join(map(str, staged + private))} of {data} open.",
                "It is no process of this clone; what it locks, the platform cannot write.",
                f"Close that file there, or: kill {pid}",
                symptom="`database is locked`, or a publish says that its file is still open",
            )
        if own:
            sound = False
            yield Finding(
                "warn",
                f"{process} has {data / own[0]} open.",
                "DuckDB lets one process write a file, and nobody reads it meanwhile. The published"
                " data is not concerned.",
                f"Close that connection when it is done, or: kill {pid}",
                symptom="`dbt build` for `dev` says that it could not set a lock",
            )
    if sound:
        yield ok("No other program has a database of the platform open for writing")


def _opened(data: Path) -> dict[int, set[Path]]:
    """The databases and locks below a folder that each process has open (Linux)."""
    paths_by_pid: dict[int, set[Path]] = {}
    prefix = f"{data.resolve()}/"
    for link in glob.iglob("/proc/[0-9]*/fd/*"):
        with suppress(OSError):  # the process has ended, or is another user's
            target = os.readlink(link)
            if target.startswith(prefix) and target.endswith((".duckdb", ".db", "writer.lock")):
                path = data / target.removeprefix(prefix)
                paths_by_pid.setdefault(int(link.split("/")[2]), set()).add(path)
    return paths_by_pid


def _described(pid: int) -> str:
    """A process that is not the platform's own, with its command and start; else empty."""
    try:
        process = psutil.Process(pid)
        mark = process.environ().get(services.MARK, "")
        words = process.cmdline()
        began = datetime.fromtimestamp(process.create_time()).astimezone()
    except psutil.Error:
        return ""
    if pid == os.getpid() or mark.startswith(services.mark()) or "proto_loc." in " ".join(words):
        return ""
    return f"pid {pid} ({' '.join(words)[:80]}), since {began:%Y-%m-%d %H:%M:%S %Z},"
