"""Tells whether a file is still being written, so that no half of it is loaded."""

import fcntl
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

STILL = 10.0
"""Seconds since its last change after which a file is still, where the system cannot tell who has
it open; the sensor of Dagster waits as long."""


def being_written(path: Path, *, by_age: bool) -> str:
    """Why a file may still be written, as the end of a sentence; empty if it is still.

    Linux tells whether a process has the file open for writing, if the file is on a local disk and
    belongs to this user.

    Args:
        by_age: elsewhere, the time of its last change decides.
    """
    with suppress(OSError):
        opened = _open_for_writing(path)
        if opened:
            return "a program has it open for writing"
        if by_age and opened is None and abs(time.time() - path.stat().st_mtime) < STILL:
            return f"it was changed less than {STILL:g} seconds ago, and may still be written"
    return ""


def _open_for_writing(path: Path) -> bool | None:
    """Whether a process has a file open for writing; None where the system does not tell."""
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        # A writer that opens the file meanwhile sends a signal; this one is ignored by default.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    finally:
        os.close(descriptor)


def state(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written: inode, size and time of the last change."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
