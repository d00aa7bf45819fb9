"""Atomic replacement of files, locks that the kernel releases at a process's end, full disks."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from proto_loc.settings import private_folder

FULL, ENOUGH = 1 << 20, 16 << 20
"""Free bytes below which a disk is taken as full, and from which what waited for room goes on."""


def replace(path: Path, text: str, *, private: bool = False) -> None:
    """Replace a file atomically: a reader sees the old text or the new one.

    Args:
        private: only this user can read the file.

    Raises:
        OSError: the file cannot be written; the old one stays.
    """
    replace_all({path: text}, private=private)


def replace_all(texts: dict[Path, str], *, private: bool = False) -> None:
    """Replace several files; a disk that is full or refuses one of them changes none.

    Args:
        texts: the new text of each file.
        private: only this user can read the files.

    Raises:
        OSError: a file cannot be written; the old ones stay.
    """
    new = {path: path.with_name(f".{path.name}.{os.getpid()}.new") for path in texts}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(
                new[path], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o666
            )
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
        for path in texts:
            new[path].replace(path)
    finally:
        for path in new.values():
            path.unlink(missing_ok=True)


def can_make(folder: Path) -> bool:
    """Whether this user can write to a folder, or make it if it is missing."""
    # Unlike pathlib's, these functions raise nothing below a folder that is closed to this user.
    nearest = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    return os.path.isdir(nearest) and os.access(nearest, os.W_OK | os.X_OK)


def room(folder: Path) -> int:
    """Bytes that this user may still write to the disk of a folder; 0 if no inode is free."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize if disk.f_favail or not disk.f_files else 0


def wait_for_room(folder: Path) -> None:
    """Wait until the disk of a folder has :data:`ENOUGH` room, however long that takes."""
    while room(folder) < ENOUGH:
        time.sleep(1)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file during the block; wait for the process that holds it."""
    private_folder(path.parent)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def try_lock(file: IO | int, *, shared: bool = False) -> bool:
    """Lock an open file and return True; return False if another process holds the lock.

    The lock lasts until the file is closed here and in every child that inherited it.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_within(file: IO | int, seconds: float, *, poll: float = 0.05) -> bool:
    """Wait for the lock on an open file; return whether it was free in time."""
    end = time.monotonic() + seconds
    while not try_lock(file):
        if time.monotonic() >= end:
            return False
        time.sleep(poll)
    return True
