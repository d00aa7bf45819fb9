"""The writer's lock of a database, which a process shares with its children."""

import glob
import json
import logging
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from proto_loc.errors import disk_is_full
from proto_loc.files import try_lock
from proto_loc.settings import private_folder
from proto_loc.warehouse.errors import LockTimeout, WarehouseError, explained

log = logging.getLogger("proto_loc.warehouse")
POLL = 0.05


@contextmanager
def writer_lock(path: Path, *, timeout: float) -> Iterator[int]:
    """Hold a flock on ``path`` and yield its file descriptor, for ``pass_fds`` of a child.

    The kernel releases the lock when the last process with the descriptor ends: a dead writer never
    blocks others, and a child that outlives its parent keeps the lock. The package filelock is not
    used, since it unlocks explicitly (LOCK_UN), also for a child that still writes.

    Raises:
        LockTimeout: another writer held the lock for ``timeout`` seconds; the message names it.
        WarehouseError: the folder cannot be written.
    """
    with explained("Taking the writer's lock", path.parent):
        private_folder(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _wait(fd, path, timeout)
        _sign(fd, path)
        yield fd
    finally:
        os.close(fd)


def lock_is_at(path: Path, fd: int) -> bool:
    """Whether ``fd`` is still the file at ``path``: its folder may be renamed or deleted."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except OSError:
        return False


def holder(path: Path) -> str:
    """The holder of the lock on ``path``: ``pid 123 (loc refresh), since 10:15:00 UTC``.

    A holder that is stopped never ends by itself: the text says so, with the way on.
    """
    try:
        owner = json.loads(path.read_text())
        pid, command, since = owner["pid"], owner["command"], owner["since"]
    except (OSError, ValueError, KeyError):
        return f"an unknown process (see `lsof {path}`)"
    text = f"pid {pid} ({command}), since {since}"
    if state := _state(pid):
        return text + _way_on(pid, state)
    children = [pid for pid in open_in(path) if pid != os.getpid()]
    names = (
        ", ".join(
            f"pid {child} ({_command(child)}){_way_on(child, _state(child))}" for child in children
        )
        or f"see `lsof {path}`"
    )
    return f"a child left by {text}, which has ended: {names}"


def _wait(fd: int, path: Path, timeout: float) -> None:
    end = time.monotonic() + timeout
    announced = False
    while not try_lock(fd):
        database = path.parent.name
        if time.monotonic() >= end:
            raise LockTimeout(
                f"{database} is still being written after a wait of {timeout:g} s.",
                f"The writer is {holder(path)}.",
                "Wait for it or end it, then try again; LOC_LOCK_TIMEOUT sets the wait in seconds.",
            )
        if not announced:
            log.warning(
                "waiting up to %g s for the writer of %s: %s", timeout, database, holder(path)
            )
            announced = True
        time.sleep(POLL)


def _sign(fd: int, path: Path) -> None:
    """Write this process into the lock file, for others to read while they wait."""
    command = shlex.join(
        ["loc", *sys.argv[1:]] if sys.argv[0].endswith(("loc", "cli/__main__.py")) else sys.argv
    )
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    text = json.dumps({"pid": os.getpid(), "command": command[:200], "since": since}).encode()
    try:
        with explained("Taking the writer's lock", path.parent):
            os.pwrite(fd, text, 0)  # reuses the existing block, also on a full disk
            os.ftruncate(fd, len(text))
    except WarehouseError as error:
        if not disk_is_full(error.__cause__):
            raise  # a full disk is no reason to stop: `loc db prune` needs the lock


def _state(pid: int) -> str:
    """The state of a process, ``T`` if it is stopped; empty if it has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "?"
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        asked = ["ps", "-o", "state=", "-p", str(pid)]
        state = subprocess.run(asked, capture_output=True, text=True).stdout[:1] or "?"
    return "" if state == "Z" else state  # a zombie accepts signals, but holds no lock


def _way_on(pid: int, state: str) -> str:
    return f"; it is stopped, and goes on after `kill -CONT {pid}`" if state in ("T", "t") else ""


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()[:80]
    except OSError:
        return "?"


def open_in(path: Path) -> list[int]:
    """The pids of this user's processes that have ``path`` open (Linux; empty elsewhere)."""
    pids = set()
    target = str(path.resolve())
    for link in glob.iglob("/proc/[0-9]*/fd/*"):  # pathlib's glob fails if a process ends
        try:
            if os.readlink(link) == target:
                pids.add(int(link.split("/")[2]))
        except OSError:
            continue  # the process has ended, or is another user's
    return sorted(pids)
