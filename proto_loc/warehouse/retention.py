"""Which versions stay, and why."""

import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from proto_loc.warehouse import lock, store

PROC = Path("/proc/self/fd")
"""There on Linux."""


@dataclass(frozen=True)
class Kept:
    """A version on disk, and what keeps it there."""

    id: int
    bytes: int
    """Of all its files. Where the file system shares blocks between copies, less is free once
    it is gone.
    """
    why: str
    """For a table; empty if nothing keeps it."""


def plan(database: str, *, keep: int, grace: float, most: int, now: bool = False) -> list[Kept]:
    """All versions of a database, oldest first, with what keeps each.

    The newest id always stays, so that ids never come twice; so does a version whose time lies in
    the future (the clock was set back).

    Args:
        keep: how many of the newest stay in any case.
        grace: seconds for which the others stay once they are superseded.
        most: bytes that those in their grace time may take; beyond, the oldest go that no process
            has open.
        now: none has a grace time, and all go that no process has open.
    """
    serving, versions = store.current_id(database), store.versions(database)
    kept, taken = [], 0
    for position, version_id in enumerate(reversed(versions)):
        folder = store.folder(database) / "versions" / store.dirname(version_id)
        try:
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            remaining = grace - (time.time() - folder.stat().st_mtime)
        except FileNotFoundError:
            continue  # another process prunes
        why = ""
        if version_id == serving:
            why = "current"
        elif position < max(keep, 1):
            why = f"one of the newest {keep}"
        elif now or remaining > 0:
            taken += size
            if not now and taken <= most:
                why = (
                    f"superseded less than {grace:g} s ago: {remaining:.0f} s of its grace time are"
                    " left"
                )
            elif readers := readers_of(folder / f"{database}.duckdb"):
                why = f"open in {readers}"
        kept.append(Kept(version_id, size, why))
    return kept[::-1]


def readers_of(path: Path) -> str:
    """Who has a DuckDB file open, for a sentence; empty only if it is certain that nobody has."""
    if not PROC.exists():
        return _listed(path)
    if pids := lock.open_in(path):
        return ", ".join(f"pid {pid}" for pid in pids)
    # DuckDB locks what it reads; of another user's or container's process the lock is seen, and its
    # files are not.
    kind = "hhqqi4x"
    try:
        with path.open("rb") as file:
            answer = fcntl.fcntl(
                file, fcntl.F_GETLK, struct.pack(kind, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            )
    except FileNotFoundError:
        return ""
    except OSError as error:
        return (
            f"a process that cannot be looked for ({os.strerror(error.errno or errno.EIO).lower()})"
        )
    return (
        ""
        if struct.unpack(kind, answer)[0] == fcntl.F_UNLCK
        else "a process of another user or container"
    )


def _listed(path: Path) -> str:
    program = shutil.which("lsof")
    if not program:
        return "a process that cannot be looked for (lsof is not installed)"
    done = subprocess.run([program, "-t", "--", path], capture_output=True, text=True)
    if done.stderr.strip():
        return (
            "a process that cannot be looked for (lsof says:"
            f" {done.stderr.strip().splitlines()[0]})"
        )
    return ", ".join(f"pid {pid}" for pid in done.stdout.split())
