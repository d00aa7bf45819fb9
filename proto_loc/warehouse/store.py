"""Versions of a database on disk: folders, manifests, checksums, and the current one."""

import errno
import hashlib
import json
import logging
import os
import shutil
import threading
import uuid
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from proto_loc import files
from proto_loc.errors import UsageError
from proto_loc.settings import settings
from proto_loc.warehouse.engine import Connection, Engine, named
from proto_loc.warehouse.errors import NoData, VersionDamaged, WarehouseError, explained, no_space
from proto_loc.warehouse.lock import writer_lock

log = logging.getLogger("proto_loc.warehouse")
DATABASES = ("raw", "prod")
UNREADABLE = (OSError, ValueError, TypeError, AttributeError)
"""Exceptions from reading a missing or damaged manifest."""


@dataclass(frozen=True)
class Version:
    """The manifest of a published, immutable version of a database."""

    id: int
    """Increases by one with each publish, independent of the clock."""
    database: str
    published_at: str
    """UTC, ISO 8601."""
    who: str
    duckdb: str
    """The DuckDB release that wrote the file."""
    bytes: int
    tables: dict[str, int]
    """Number of rows by ``schema.table``."""
    based_on: int | None = None
    """The version that the writer copied; None for the first."""
    git_revision: str | None = None
    checks: dict[str, int] = field(default_factory=dict)
    """Results of the audit: number of checks by status."""
    facts: dict = field(default_factory=dict)
    """Further values of the writer, such as the version of raw and fingerprints of models."""
    checksums: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file, by its path in the version's folder; empty for old versions."""
    engine: str = "duckdb"
    """The engine that keeps it, as in ``LOC_ENGINE``; old versions are DuckDB's."""

    @property
    def folder(self) -> Path:
        return folder(self.database) / "versions" / dirname(self.id)

    @property
    def path(self) -> Path:
        """The DuckDB file; Trino keeps a version in none."""
        return self.folder / f"{self.database}.duckdb"

    @property
    def is_a_file(self) -> bool:
        """Whether all of it is in :attr:`folder`."""
        return self.engine == "duckdb"

    @property
    def joined(self) -> dict:
        """The ids of the run that published it, and of that run's invocations of dbt."""
        return {
            name: self.facts[name] for name in ("run_id", "dbt_invocations") if name in self.facts
        }

    def dump(self) -> str:
        """The text of the manifest, with a checksum of its content."""
        fields = json.loads(json.dumps(asdict(self)))
        return json.dumps(fields | {"checksum": _seal(fields)}, indent=2) + "\n"

    @property
    def keeper(self) -> Engine:
        """The engine that keeps the version."""
        return named(self.engine)

    def verify(self) -> "Version":
        """Return the version itself, if it can be read, as far as that costs little to know.

        Raises:
            VersionDamaged: its file is missing or truncated.
        """
        if fault := self.keeper.fault(self):
            raise self.damaged(fault)
        return self

    def check(self, *, values: bool = False) -> "Version":
        """Return the version itself, if all of its content is as its manifest says.

        A version without checksums is checked by :meth:`verify`.

        Args:
            values: also read every value of what is in no file of the version.

        Raises:
            VersionDamaged: a file is missing or changed.
            WarehouseError: the engine that keeps it does not answer.
        """
        self.verify()
        for name, recorded in self.checksums.items():
            path = self.folder / name
            try:
                if checksum(path) != recorded:
                    raise self.damaged(
                        f"{path} is not what was published: its checksum is not the manifest's."
                    )
            except OSError as error:
                raise self.damaged(
                    f"{path} cannot be read: {(error.strerror or str(error)).lower()}."
                ) from error
        if fault := self.keeper.fault(self, content=True, values=values):
            raise self.damaged(fault)
        return self

    def open(self) -> Connection:
        """A read-only connection to this version.

        Raises:
            VersionDamaged: see :meth:`verify`.
        """
        return self.keeper.open(self)

    def columns(self) -> dict[str, dict[str, str]]:
        """The columns of each ``schema.table`` or view, as name to the engine's type, in order.

        Raises:
            VersionDamaged: see :meth:`verify`.
        """
        return self.keeper.columns(self)

    def damaged(self, why: str) -> VersionDamaged:
        what = f"Version {self.id} of {self.database} cannot be read."
        return VersionDamaged(what, why, _way_out(self.database, self.id, self.based_on))


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


def write_lock(database: str, timeout: float | None = None) -> AbstractContextManager[int]:
    """Hold the writer's lock of a database; wait up to ``LOC_LOCK_TIMEOUT`` by default."""
    wait = settings().lock_timeout if timeout is None else timeout
    return writer_lock(folder(database) / "writer.lock", timeout=wait)


def versions(database: str) -> list[int]:
    """Ids of all complete versions, in ascending order."""
    try:
        names = os.listdir(folder(database) / "versions")
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name) for name in names if name.isdecimal())


def current_id(database: str) -> int | None:
    """The id of the current version; None before the first publish.

    It repairs the link ``current`` if the link is lost, or if a copy has turned it into a folder or
    a file. If permissions or a running writer prevent the repair, the result is the same.

    Raises:
        VersionDamaged: the link is lost, and no version is complete.
    """
    linked = _linked(database)
    if linked is not None or not _has_past(database):
        return linked
    try:
        with write_lock(database, timeout=0):
            return heal(database)
    except VersionDamaged:
        raise
    except WarehouseError:
        return _last_served(database)


def heal(database: str) -> int | None:
    """Do the same as :func:`current_id`, for a caller that has the lock; log a repair.

    Raises:
        VersionDamaged: see :func:`current_id`.
        WarehouseError: the folder cannot be written.
    """
    linked = _linked(database)
    if linked is not None or not _has_past(database):
        return linked
    link = folder(database) / "current"
    with explained(f"Putting {link} right", link.parent):
        version_id = _recorded(database)
        if link.is_dir() and version_id and version_id not in versions(database):
            (link.parent / "versions").mkdir(exist_ok=True)
            # This is the only copy of the version.
            link.rename(link.parent / "versions" / dirname(version_id))
        version_id = _last_served(database)
        if link.is_dir():
            set_aside(link)
        swap(database, version_id)
    log.warning(
        "%s did not lead to a version of %s: it leads to version %d again",
        link,
        database,
        version_id,
    )
    return version_id


def set_aside(path: Path) -> Path:
    """Rename a path that may be the only copy to ``<name>.lost-...``; return the new path."""
    aside = path.with_name(f"{path.name}.lost-{uuid.uuid4().hex[:6]}")
    path.rename(aside)
    os.utime(aside)  # the start of its grace time
    return aside


def _linked(database: str) -> int | None:
    """The id in the target of ``current``; None if there is no such link."""
    try:
        return int(os.path.basename(os.readlink(folder(database) / "current")))
    except ValueError:
        return None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL):  # EINVAL: not a link
            return None
        raise


def _has_past(database: str) -> bool:
    return bool(versions(database)) or os.path.lexists(folder(database) / "current")


def _last_served(database: str) -> int:
    """The target of a lost link ``current``: the recorded version, else the newest one."""
    recorded, kept = _recorded(database), versions(database)
    for version_id in sorted(kept, key=lambda other: (other != recorded, -other)):
        if _is_whole(database, version_id):
            return version_id
    raise VersionDamaged(
        f"{database} cannot be read.",
        f"{folder(database) / 'current'} leads to no version, and "
        + (
            f"none of {', '.join(map(str, kept))} is whole." if kept else "there is none beside it."
        ),
        f"Bring {folder(database)} back from a copy; or remove it, and load again.",
    )


def _recorded(database: str) -> int | None:
    """The recorded target of a lost link, from a folder or file ``current`` or from ``served``.

    A copy that follows links turns ``current`` into a folder. A copy without links turns it into a
    text file.
    """
    home = folder(database)
    with suppress(*UNREADABLE, KeyError):
        return int(json.loads((home / "current" / "manifest.json").read_text())["id"])
    for path in (home / "current", home / "served"):
        with suppress(*UNREADABLE):
            return int(os.path.basename(path.read_text().strip()))
    return None


def load(database: str, version_id: int) -> Version:
    path = folder(database) / "versions" / dirname(version_id) / "manifest.json"
    try:
        return of_manifest(path)
    except UNREADABLE as error:
        raise VersionDamaged(
            f"Version {version_id} of {database} cannot be read.",
            f"Its manifest {path} is missing or damaged ({error}).",
            _way_out(database, version_id, None),
        ) from error


def before(database: str, version_id: int) -> int | None:
    """The version that this one was based on, or the next lower id if the manifest is damaged.

    None if that version was removed.
    """
    kept = versions(database)
    try:
        parent = load(database, version_id).based_on
    except VersionDamaged:
        parent = next((other for other in reversed(kept) if other < version_id), None)
    return parent if parent in kept else None


def _way_out(database: str, damaged: int, based_on: int | None) -> str:
    """The next step after a damage: serve a complete version, preferably an earlier one."""
    serving = current_id(database)
    if damaged != serving and serving is not None:
        return (
            f"Version {serving} is served. Name another one; see `loc db history --database"
            f" {database}`."
        )
    others = [other for other in versions(database) if other != damaged]
    for other in sorted(others, key=lambda other: (other != based_on, other > damaged, -other)):
        if _is_whole(database, other):
            return f"Run `loc db rollback {other} --database {database}` to serve version {other}."
    if database == "prod":
        return (
            f"Run `rm -r {folder(database)} && loc refresh` to build it again from raw: no other"
            " version is complete."
        )
    return f"Remove {folder(database)} and load again: no other version is whole."


def _is_whole(database: str, version_id: int) -> bool:
    try:
        version = of_manifest(folder(database) / "versions" / dirname(version_id) / "manifest.json")
        return not version.keeper.fault(version) and all(
            checksum(version.folder / name) == recorded
            for name, recorded in version.checksums.items()
        )
    except UNREADABLE:
        return False


def of_manifest(manifest: Path) -> Version:
    """Read a manifest of a version, in whatever folder its database is.

    Raises:
        one of UNREADABLE: it is missing, changed, or that of another version.
    """
    fields = json.loads(manifest.read_text())
    if fields.pop("checksum", None) not in (None, _seal(fields)):  # None before checksums were kept
        raise ValueError("its content was changed: its checksum differs")
    version = Version(**fields)
    if (version.database, dirname(version.id)) != (manifest.parents[2].name, manifest.parent.name):
        raise ValueError(f"it is of version {version.id} of {version.database}")
    return version


def _seal(fields: dict) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def current(database: str) -> Version:
    """The manifest of the current version.

    Raises:
        NoData: nothing has been published yet.
        VersionDamaged: its manifest is missing or damaged.
    """
    version_id = current_id(database)
    if version_id is None:
        raise NoData(
            f"{database} holds no data yet.",
            f"Nothing has been published in {folder(database)}.",
            "Run `loc refresh`.",
        )
    return load(database, version_id)


def find(database: str, version_id: int) -> Version:
    """The manifest of the version with that id.

    Raises:
        UsageError: there is none; the message lists the ids that exist.
    """
    if version_id not in versions(database):
        kept = ", ".join(map(str, versions(database))) or "none"
        raise UsageError(
            f"{database} has no version {version_id}.", f"Kept are: {kept}.", "Name one of those."
        )
    return load(database, version_id)


def history(database: str) -> list[Version]:
    """All versions with a readable manifest, newest first."""
    manifests = []
    for version_id in reversed(versions(database)):
        try:
            manifests.append(load(database, version_id))
        except VersionDamaged:
            continue  # `current` and `find` report it where it matters
    return manifests


def swap(database: str, version_id: int) -> None:
    """Replace the link ``current`` atomically, and write the change to the disk."""
    home = folder(database)
    before = _linked(database)
    link = home / ".current.new"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("versions") / dirname(version_id))
    os.replace(link, home / "current")
    fsync(home)
    _record(home, version_id)
    if before is not None and before != version_id:
        with suppress(OSError):  # the folder may be removed; the swap is done
            os.utime(home / "versions" / dirname(before))  # the start of its grace time


def _record(home: Path, version_id: int) -> None:
    """Write the target of the link into a file, since a copy may lose the link."""
    try:
        files.replace(home / "served", f"{dirname(version_id)}\n")
    except OSError:  # a full disk: no record is better than an old one
        with suppress(OSError):
            (home / "served").unlink(missing_ok=True)


_removals: list[threading.Thread] = []


def remove(path: Path) -> None:
    """Rename a version's folder, so that it disappears at once, and delete it in a thread.

    Deleting a large file takes a third of the time of copying it. The process does not exit before
    the thread is done; :func:`empty_trash` removes what a killed process leaves.
    """
    gone = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}.gone")
    os.rename(path, gone)
    removal = threading.Thread(target=shutil.rmtree, args=(gone,), kwargs={"ignore_errors": True})
    removal.start()
    _removals.append(removal)


def remains(database: str) -> list[Path]:
    """The folders of write sessions and of removed versions: those of killed writers too."""
    home = folder(database)
    return [*home.glob("staging/*"), *home.glob("versions/.*.gone")]


def empty_trash(database: str) -> None:
    """Wait for the threads of :func:`remove`, and delete what killed processes left."""
    while _removals:
        _removals.pop().join()
    for gone in (folder(database) / "versions").glob(".*.gone"):
        shutil.rmtree(gone, ignore_errors=True)


def fsync(path: Path) -> None:
    """Write the content of a file or folder to the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def checksum(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy(source: Path, target: Path) -> None:
    """Copy a file, with a reflink if the file system has them; the space is checked first.

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
            # FICLONE of Linux (XFS, Btrfs); other file systems refuse it.
            fcntl.ioctl(new.fileno(), 0x40049409, old.fileno())
        except OSError:
            # ext4 writes a copy to the disk at its close if it replaces a file, even an empty one.
            target.unlink()
            return False
        return True
