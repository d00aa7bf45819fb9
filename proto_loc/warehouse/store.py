"""The versions of a database on disk: where they are, what is in them, which one is current."""

import json
import os
import shutil
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb

from proto_loc.errors import UsageError
from proto_loc.settings import settings
from proto_loc.sql import open_duckdb
from proto_loc.warehouse.errors import NoData, VersionDamaged, explained, no_space

DATABASES = ("raw", "prod")
UNREADABLE = (OSError, ValueError, TypeError)
"""What a manifest that is missing or damaged raises."""


@dataclass(frozen=True)
class Version:
    """One published, immutable version of a database; what its ``manifest.json`` says."""

    id: int
    """Rises by one with each publish, whatever the clock says."""
    database: str
    published_at: str
    """UTC, ISO 8601."""
    who: str
    duckdb: str
    """The DuckDB release that wrote the file."""
    bytes: int
    tables: dict[str, int]
    """Rows by ``schema.table``."""
    based_on: int | None = None
    """The version that the writer started from; None for the first."""
    git_revision: str | None = None
    checks: dict[str, int] = field(default_factory=dict)
    """Outcomes of the audit: how many checks had which status."""
    facts: dict = field(default_factory=dict)
    """What the writer wants to find again: raw version and load ids used, model fingerprints, ..."""

    @property
    def folder(self) -> Path:
        return folder(self.database) / "versions" / dirname(self.id)

    @property
    def path(self) -> Path:
        """The DuckDB file."""
        return self.folder / f"{self.database}.duckdb"

    def dump(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    def verify(self) -> "Version":
        """Itself, if its file is whole and readable by this DuckDB.

        Raises:
            VersionDamaged: the file is missing, truncated, or of another DuckDB release.
        """
        try:
            found = self.path.stat().st_size
        except FileNotFoundError:
            found = 0
        if found != self.bytes:
            raise self.damaged(f"{self.path} has {found:,} bytes, and its manifest says {self.bytes:,}.")
        return self

    def open(self) -> duckdb.DuckDBPyConnection:
        """A read-only connection to this version.

        Raises:
            VersionDamaged: see :meth:`verify`.
        """
        try:
            return open_duckdb(self.verify().path, read_only=True)
        except (
            duckdb.IOException,
            duckdb.InvalidInputException,
            duckdb.SerializationException,
            duckdb.InternalException,
            duckdb.FatalException,
        ) as error:
            if not self.path.exists():
                raise
            raise self.damaged(_reason(error)) from error

    def damaged(self, why: str) -> VersionDamaged:
        what = f"Version {self.id} of {self.database} cannot be read."
        return VersionDamaged(what, why, _way_out(self.database, self.id, self.based_on))


def _reason(error: Exception) -> str:
    first = str(error).strip().splitlines()[0].removesuffix(".")
    if "version number" in first:
        return f"It was written by another DuckDB release than this one, {duckdb.__version__} ({first})."
    return f"DuckDB {duckdb.__version__} says: {first}."


def dirname(version_id: int) -> str:
    return f"{version_id:06d}"


def folder(database: str) -> Path:
    """``data/warehouse/<database>``.

    Raises:
        UsageError: no such database.
    """
    if database not in DATABASES:
        raise UsageError(
            f"There is no database {database!r}.",
            f"The published ones are {' and '.join(DATABASES)}.",
            "Name one of them.",
        )
    return settings().warehouse / database


def versions(database: str) -> list[int]:
    """Ids of all complete versions, lowest first."""
    try:
        names = os.listdir(folder(database) / "versions")
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdecimal())


def current_id(database: str) -> int | None:
    """The id that ``current`` points at, or None before the first publish."""
    try:
        return int(os.path.basename(os.readlink(folder(database) / "current")))
    except FileNotFoundError:
        return None


def load(database: str, version_id: int) -> Version:
    path = folder(database) / "versions" / dirname(version_id) / "manifest.json"
    try:
        return _read(path)
    except UNREADABLE as error:
        raise VersionDamaged(
            f"Version {version_id} of {database} cannot be read.",
            f"Its manifest {path} is missing or damaged ({error}).",
            _way_out(database, version_id, None),
        ) from error


def before(database: str, version_id: int) -> int | None:
    """The version that this one was made from, which is what was served before it; None if it is not kept.

    Where the manifest that says so is damaged, the next lower one.
    """
    kept = versions(database)
    try:
        found = load(database, version_id).based_on
    except VersionDamaged:
        found = next((other for other in reversed(kept) if other < version_id), None)
    return found if found in kept else None


def _way_out(database: str, damaged: int, based_on: int | None) -> str:
    """What to do about a damaged version: serve a whole one, those made or served before it first."""
    serving = current_id(database)
    if damaged != serving and serving is not None:
        return f"Version {serving} is served. Name another one; see `loc db history --database {database}`."
    others = [other for other in versions(database) if other != damaged]
    for other in sorted(others, key=lambda other: (other != based_on, other > damaged, -other)):
        if _is_whole(database, other):
            return f"Run `loc db rollback {other} --database {database}` to serve version {other}."
    return f"Remove {folder(database)} and load again: no other version is left."


def _is_whole(database: str, version_id: int) -> bool:
    try:
        version = _read(folder(database) / "versions" / dirname(version_id) / "manifest.json")
        return version.path.stat().st_size == version.bytes
    except UNREADABLE:
        return False


def _read(manifest: Path) -> Version:
    return Version(**json.loads(manifest.read_text()))


def current(database: str) -> Version:
    """The version that readers get.

    Raises:
        NoData: nothing has been published yet.
        VersionDamaged: its manifest is gone.
    """
    found = current_id(database)
    if found is None:
        raise NoData(
            f"{database} holds no data yet.", f"Nothing has been published in {folder(database)}.", "Run `loc refresh`."
        )
    return load(database, found)


def find(database: str, version_id: int) -> Version:
    """The version with that id.

    Raises:
        UsageError: there is none; the message lists those kept.
    """
    if version_id not in versions(database):
        kept = ", ".join(map(str, versions(database))) or "none"
        raise UsageError(f"{database} has no version {version_id}.", f"Kept are: {kept}.", "Name one of those.")
    return load(database, version_id)


def history(database: str) -> list[Version]:
    """All versions kept whose manifest is whole, newest first."""
    found = []
    for version_id in reversed(versions(database)):
        try:
            found.append(load(database, version_id))
        except VersionDamaged:
            continue  # `current` and `find` report it where it matters
    return found


def swap(database: str, version_id: int) -> None:
    """Make a version the current one, atomically and durably."""
    home = folder(database)
    before = current_id(database)
    link = home / ".current.new"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("versions") / dirname(version_id))
    os.replace(link, home / "current")
    fsync(home)
    if before is not None and before != version_id:
        with suppress(OSError):  # a folder that someone removed; the swap is done
            os.utime(home / "versions" / dirname(before))  # the grace time of what was superseded starts now


def expired(database: str, *, keep: int, grace: float) -> list[int]:
    """Versions that may go: none of the newest ``keep``, not the current one, superseded ``grace`` seconds ago.

    The newest id always stays, so that ids never come twice. A version whose time lies in the future (the clock
    was set back) stays too.
    """
    serving = current_id(database)
    now = time.time()
    return [
        version_id
        for version_id in versions(database)[: -max(keep, 1)]
        if version_id != serving
        and now - (folder(database) / "versions" / dirname(version_id)).stat().st_mtime >= grace
    ]


_removals: list[threading.Thread] = []


def remove(path: Path) -> None:
    """Remove a version's folder so that no one meets it half gone: it is renamed out of the way first, where it is, so
    that a full disk is no obstacle.

    To free the blocks of a large file takes a third of the time of copying it, so that happens in the background; a
    process does not end before it is done. What a killed one leaves goes with :func:`empty_trash`.
    """
    gone = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}.gone")
    os.rename(path, gone)
    removal = threading.Thread(target=shutil.rmtree, args=(gone,), kwargs={"ignore_errors": True})
    removal.start()
    _removals.append(removal)


def empty_trash(database: str) -> None:
    """Wait until what was removed has freed its space, and remove what a killed process left."""
    while _removals:
        _removals.pop().join()
    for gone in (folder(database) / "versions").glob(".*.gone"):
        shutil.rmtree(gone, ignore_errors=True)


def fsync(path: Path) -> None:
    """Have the file's or folder's content on the disk before going on."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def copy(source: Path, target: Path) -> None:
    """Copy a file: a reflink where the file system can, else bytes inside the kernel. What cannot fit is refused before
    it fills the disk.

    Raises:
        WarehouseError: the disk is full, or the folder cannot be written.
    """
    with explained(f"Copying {source.name} ({source.stat().st_size / 1e6:,.0f} MB)", target.parent):
        if not _reflink(source, target):
            if shutil.disk_usage(target.parent).free < source.stat().st_size:
                raise no_space(target.parent)
            shutil.copyfile(source, target)
        target.chmod(0o600)


def _reflink(source: Path, target: Path) -> bool:
    import fcntl

    with source.open("rb") as old, target.open("xb") as new:
        try:
            fcntl.ioctl(new.fileno(), 0x40049409, old.fileno())  # FICLONE of Linux (XFS, Btrfs); others refuse it
        except OSError:
            # A file that was there before, even an empty one, makes ext4 write the whole copy to the disk at its close.
            target.unlink()
            return False
        return True
