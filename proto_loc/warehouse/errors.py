"""What can go wrong with the warehouse, each with its way out."""

import errno
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from proto_loc.errors import LocError


class WarehouseError(LocError):
    """A read or write of the warehouse failed; what was published stays served."""


class NoData(WarehouseError):
    """Nothing has been published yet."""


class LockTimeout(WarehouseError):
    """Another writer held the database for longer than the wait."""


class PublishError(WarehouseError):
    """The session's file could not become a version."""


class VersionDamaged(WarehouseError):
    """A published version is incomplete, or was written by a DuckDB that this one cannot read."""


@contextmanager
def explained(doing: str, where: Path):
    """Turn the operating system's refusals inside the block into a :class:`WarehouseError` with a way out."""
    try:
        yield
    except OSError as error:
        raise _explain(doing, where, error) from error


def disk_is_full(error: object) -> bool:
    """Whether an error, or another program's text, says that a disk or a quota is full: DuckDB gives no number."""
    return any(words in str(error) for words in ("No space left on device", "Disk quota exceeded"))


def block_is_damaged(error: object) -> bool:
    """Whether DuckDB's error, or another program's text, says that a block of a database's file cannot be read."""
    return any(words in str(error) for words in ("Corrupt database file", "does not match stored checksum"))


def first_line(error: object) -> str:
    """DuckDB's message as one sentence."""
    return f"DuckDB says: {str(error).strip().splitlines()[0].removesuffix('.')}."


def no_space(path: Path) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _explain(doing: str, where: Path, error: OSError) -> WarehouseError:
    path = error.filename or where
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WarehouseError(
            f"{doing} failed: no space left on the disk of {path} ({_free(where)} free).",
            "Nothing was published; the version that was current still is.",
            "Free some space (`loc db prune` removes old versions), then try again.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return WarehouseError(
            f"{doing} failed: {path} cannot be written ({error.strerror.lower()}).",
            "The warehouse can be read from a read-only folder, but not written.",
            f"Give yourself write permission on {where}, or set LOC_DATA to a folder of your own.",
        )
    return WarehouseError(
        f"{doing} failed: {error.strerror or error} ({path}).", "Nothing was published.", "Mend that, then try again."
    )


def _free(where: Path) -> str:
    while not where.exists():
        where = where.parent
    return f"{shutil.disk_usage(where).free / 1e6:,.0f} MB"
