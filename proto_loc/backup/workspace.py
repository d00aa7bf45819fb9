"""The folder of backup and restore in the data folder: its lock, and what a killed one left."""

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from proto_loc import files
from proto_loc.errors import LocError
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.warehouse import LockTimeout
from proto_loc.warehouse.lock import holder, writer_lock

NOTEBOOKS = ROOT / "notebooks"


def folder() -> Path:
    """``data/backup``: never part of a backup itself."""
    return settings().data / "backup"


def snapshots() -> Path:
    """The folder of a running backup's snapshot."""
    return folder() / "snapshot"


def staging() -> Path:
    """The folder into which a restore unpacks."""
    return folder() / "restoring"


def journal() -> Path:
    """The list of a restore's moves: it exists from the first one to the last."""
    return folder() / "restore.json"


@contextmanager
def alone() -> Iterator[None]:
    """Keep other backups and restores of this data folder out during the block.

    Raises:
        LocError: another one runs; the message names it.
    """
    path = private_folder(folder()) / "lock"
    with ExitStack() as lock:
        try:
            fd = lock.enter_context(writer_lock(path, timeout=0))
        except LockTimeout as error:
            raise LocError(
                "Another backup or restore of this data folder runs.",
                f"It is {holder(path)}.",
                "Wait for it, or end it; then run the command again.",
            ) from error
        # A child that another thread is just starting has the descriptor until its program runs.
        lock.callback(fcntl.flock, fd, fcntl.LOCK_UN)
        yield


def platform() -> str:
    """The id of this data folder, made at its first backup; a copy or a restore has another.

    It is bound to the folder's path and inode. A disk's number may differ after a reboot.
    """
    path = private_folder(folder()) / "id"
    home = settings().data.resolve()
    place = hashlib.sha256(os.fsencode(f"{home.stat().st_ino} {home}")).hexdigest()
    with suppress(OSError, ValueError):
        name, known = path.read_text().split()
        if known == place:
            return name
    name = uuid.uuid4().hex
    files.replace(path, f"{name} {place}\n", private=True)
    return name


def clear() -> None:
    """Remove what a killed backup or restore left; the caller has the lock.

    What a restore has unpacked stays as long as it has to be put in place.
    """
    if journal().exists():
        return
    for path in (snapshots(), staging()):
        shutil.rmtree(path, ignore_errors=True)


def pending() -> LocError | None:
    """The error for a restore that was ended between its moves; None if there is none."""
    if not journal().exists():
        return None
    return LocError(
        "A restore was ended before it was done.",
        f"{journal()} lists what is still to be put in place; until then the data are of two"
        " states.",
        "Finish it: `loc restore` (it needs no archive for that).",
    )


def prepare() -> None:
    """Before the services start: refuse a restore that runs or is not done; clear the folder.

    Raises:
        LocError: see :func:`pending`; or another process restores, and the message names it.
    """
    if error := pending():
        raise error
    if snapshots().exists() or staging().exists():
        try:
            with alone():
                clear()
        except LocError:
            if staging().exists():
                raise  # a restore, which replaces what services have open; a backup does not
