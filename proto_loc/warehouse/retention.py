"""Decides which versions of a database are kept, and why."""

import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from proto_loc.settings import settings
from proto_loc.warehouse import lock, store

PROC = Path("/proc/self/fd")
"""A folder that only Linux has."""


@dataclass(frozen=True)
class Kept:
    """A version on disk, and the reason to keep it."""

    id: int
    bytes: int
    """The size of all its files; on a file system with shared blocks, removal frees less."""
    why: str
    """The reason as text for a table; empty if the version may be removed."""


def kept(
    database: str, *, keep: int | None = None, grace: float | None = None, now: bool = False
) -> list[Kept]:
    """All versions of a database, oldest first, each with the reason to keep it.

    The newest version always stays, so that no id is used twice. A version with a time in the
    future also stays (the clock was set back). Versions in their grace time may take
    ``LOC_GRACE_BYTES``; above it, the oldest of them are removed unless a process has them open.

    Args:
        keep: number of the newest versions that stay, default ``LOC_KEEP_VERSIONS``.
        grace: seconds that other versions stay after they are superseded, default ``LOC_GRACE``.
        now: no grace time; a version stays only if a process has it open.
    """
    config = settings()
    keep = config.keep_versions if keep is None else keep
    grace = config.grace if grace is None else grace
    serving, versions = store.current_id(database), store.versions(database)
    result, taken = [], 0
    for position, version_id in enumerate(reversed(versions)):
        folder = store.folder(database) / "versions" / store.dirname(version_id)
        try:
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            remaining = grace - (time.time() - folder.stat().st_mtime)
        except FileNotFoundError:
            continue  # another process has removed it
        why = ""
        if version_id == serving:
            why = "current"
        elif position < max(keep, 1):
            why = f"one of the newest {keep}"
        elif now or remaining > 0:
            taken += size
            if not now and taken <= config.grace_bytes:
                rest = f"{remaining:.0f} s of its grace time are left"
                why = f"superseded less than {grace:g} s ago: {rest}"
            elif readers := readers_of(folder / f"{database}.duckdb"):
                why = f"open in {readers}"
        result.append(Kept(version_id, size, why))
    return result[::-1]


def readers_of(path: Path) -> str:
    """The processes that have a DuckDB file open, as text; empty if certainly none has."""
    if not PROC.exists():
        return _listed(path)
    if pids := lock.open_in(path):
        return ", ".join(f"pid {pid}" for pid in pids)
    # DuckDB locks the file that it reads. Another user's or container's open files are not visible,
    # but the lock is.
    kind = "hhqqi4x"
    try:
        with path.open("rb") as file:
            answer = fcntl.fcntl(
                file, fcntl.F_GETLK, struct.pack(kind, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            )
    except FileNotFoundError:
        return ""
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO).lower()
        return f"a process that cannot be looked for ({reason})"
    free = struct.unpack(kind, answer)[0] == fcntl.F_UNLCK
    return "" if free else "a process of another user or container"


def _listed(path: Path) -> str:
    program = shutil.which("lsof")
    if not program:
        return "a process that cannot be looked for (lsof is not installed)"
    done = subprocess.run([program, "-t", "--", path], capture_output=True, text=True)
    if errors := done.stderr.strip().splitlines():
        return f"a process that cannot be looked for (lsof says: {errors[0]})"
    return ", ".join(f"pid {pid}" for pid in done.stdout.split())
