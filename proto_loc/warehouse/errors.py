"""Errors of the warehouse, and their explanations for a person."""

import errno
import os
from contextlib import contextmanager
from pathlib import Path

from proto_loc.errors import LocError
from proto_loc.settings import settings


class WarehouseError(LocError):
    """A read or write of the warehouse failed; the published version is still served."""


class NoData(WarehouseError):
    """Nothing has been published yet."""


class LockTimeout(WarehouseError):
    """Another writer held the lock for longer than the timeout."""


class PublishError(WarehouseError):
    """The file of a write session could not be published."""


class VersionDamaged(WarehouseError):
    """A published version is incomplete, or has the format of another DuckDB release."""


@contextmanager
def explained(doing: str, where: Path):
    """Turn an :class:`OSError` of the block into a :class:`WarehouseError`."""
    try:
        yield
    except OSError as error:
        raise explain(doing, where, error) from error


def block_is_damaged(error: object) -> bool:
    """Whether the text of an error says that a block of a database is damaged."""
    return any(
        words in str(error) for words in ("Corrupt database file", "does not match stored checksum")
    )


def first_line(error: object) -> str:
    """DuckDB's message as one sentence."""
    return f"DuckDB says: {str(error).strip().splitlines()[0].removesuffix('.')}."


def no_space(*places: Path) -> OSError:
    """The system's error for a full disk, with the path whose disk has the least space."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(min(places, key=_room)))


def explain(doing: str, where: Path, error: OSError) -> WarehouseError:
    """Explain an error of the operating system, with the next step.

    Args:
        doing: what failed, as the subject of a sentence.
        where: the path, if the error has none.
    """
    path = Path(error.filename2 or error.filename or where)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        files, room = _room(path)
        lack, fix = (
            f"no space left on the disk of {path} ({room / 1e6:,.0f} MB free)",
            "Free some space there",
        )
        if not files:
            lack = (
                f"the disk of {path} can hold no more files (no inode is free, {room / 1e6:,.0f} MB"
                " are)"
            )
            fix = "Remove files there"
        elif not path.is_relative_to(settings().run):
            fix = "Free some space (`loc db prune --now` removes old versions)"
        if path.is_relative_to(settings().run):
            fix += ", or set LOC_RUN to a folder on another disk"
        return WarehouseError(
            f"{doing} failed: {lack}.",
            "Nothing was published; the version that was current still is.",
            f"{fix}, then try again.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return WarehouseError(
            f"{doing} failed: {path} cannot be written ({error.strerror.lower()}).",
            "The warehouse can be read from a read-only folder, but not written.",
            f"Give yourself write permission on {where}, or set LOC_DATA to a folder of your own.",
        )
    return WarehouseError(
        f"{doing} failed: {error.strerror or error} ({path}).",
        "Nothing was published.",
        "Mend that, then try again.",
    )


def _room(path: Path) -> tuple[bool, int]:
    """Whether the disk of a path has a free inode, and how many free bytes."""
    disk = os.statvfs(next(place for place in (path, *path.absolute().parents) if place.exists()))
    return not disk.f_files or disk.f_favail > 0, disk.f_bavail * disk.f_frsize
