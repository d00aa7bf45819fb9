"""The manifest of an archive: its files with their checksums, and what the archive needs."""

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field, fields

from packaging.version import InvalidVersion
from packaging.version import Version as Release

from proto_loc.errors import LocError

FORMAT = 1
"""Increases when an older release could not restore the archive."""
NAME = "manifest.json"
MAX_BYTES = 256 << 20
"""The largest manifest that is read: about a million files."""
METADATA = "data/superset/superset.db"
"""Superset's metadata, if they are in SQLite, in whatever file of the data folder."""
DUMP = "superset/postgresql.dump"
"""Superset's metadata, if they are in PostgreSQL."""
SECRETS = "secrets.age"
PLACES = {
    r"data/warehouse/(raw|prod)/versions/\d{6,}/[^/]+(/[^/]+)*": "a published version",
    r"data/lake/[^./][^/]*/[^./][^/]*\.parquet": "a file of the lake",
    r"data/dagster/[^/]+(/[^/]+)*": "Dagster's history",
    re.escape(METADATA): "Superset's metadata",
    re.escape(DUMP): "Superset's metadata",
    r"notebooks/[^/]+(/[^/]+)*": "a notebook",
    re.escape(SECRETS): "the encrypted secrets",
}
"""The paths that an archive may hold, as patterns → what they are."""


class ArchiveRefused(LocError):
    """An archive is damaged, changed, or no archive of this platform; nothing was touched."""


@dataclass(frozen=True)
class Entry:
    """A file of the backup."""

    path: str
    bytes: int
    sha256: str
    archive: str = ""
    """Id of the earlier archive that holds the file; empty if this one does."""


@dataclass(frozen=True)
class Base:
    """An earlier archive that an incremental one needs."""

    id: str
    name: str
    """The name of its file when it was used; it may have another one by now."""


@dataclass(frozen=True)
class Manifest:
    """What an archive holds, in the order of its files."""

    platform: str
    """Id of the data folder that was backed up."""
    fork: str
    made_at: str
    """UTC, ISO 8601."""
    git_revision: str | None
    releases: dict[str, str]
    """Releases of the platform and of the tools whose files these are."""
    current: dict[str, int]
    """The version that each database served."""
    files: tuple[Entry, ...]
    bases: tuple[Base, ...] = ()
    depth: int = 0
    """Number of archives since the last whole one."""
    missing: tuple[str, ...] = ()
    """What could not be backed up, as sentences."""
    format: int = FORMAT
    id: str = field(default="", compare=False)
    """SHA-256 of the rest, and so of every checksum: it identifies the content."""

    def seal(self) -> "Manifest":
        """Return the same manifest with its id."""
        content = asdict(self) | {"id": ""}
        return Manifest(**vars(self) | {"id": _digest(json.loads(json.dumps(content)))})

    def dump(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    @property
    def own(self) -> list[Entry]:
        """The files that are in the archive itself."""
        return [entry for entry in self.files if not entry.archive]

    def has(self, path: str) -> bool:
        return any(entry.path == path for entry in self.files)

    @property
    def bytes(self) -> int:
        return sum(entry.bytes for entry in self.files)


def parse(content: bytes, origin: object) -> Manifest:
    """Read a manifest and check its form, its id, and every path.

    Args:
        origin: the archive, for messages.

    Raises:
        ArchiveRefused: it is not what :meth:`Manifest.dump` writes, or is of a later format.
            Whoever can write an archive can give it a right id, so each value is looked at.
    """
    try:
        values = json.loads(content)
        if values["format"] > FORMAT:
            raise ArchiveRefused(
                f"{origin} cannot be restored by this release.",
                f"A later one made it: its format is {values['format']}, and this release knows"
                f" {FORMAT}.",
                "Update this clone first: `loc fork merge`, or `git pull`.",
            )
        if values.keys() != {item.name for item in fields(Manifest)}:
            raise ValueError("it has other fields")
        if _digest(values | {"id": ""}) != values["id"]:
            raise ValueError("its checksum differs")
        _check_words(values)
        files = tuple(Entry(**entry) for entry in values["files"])
        bases = tuple(Base(**base) for base in values["bases"])
        for base in bases:
            _check_base(base)
        for entry in files:
            _check(entry, {base.id for base in bases})
        if len({entry.path for entry in files}) < len(files):
            raise ValueError("it names a file twice")
        if type(values["depth"]) is not int:
            raise ValueError("its depth is no number")
        if not all(
            (database in ("raw", "prod")) and type(number) is int and number > 0
            for database, number in values["current"].items()
        ):
            raise ValueError("it names a version that cannot be")
        missing = tuple(str(sentence) for sentence in values["missing"])
        return Manifest(**values | {"files": files, "bases": bases, "missing": missing})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise damaged(origin, f"its manifest was changed or is damaged ({error})") from error


def damaged(origin: object, reason: str) -> ArchiveRefused:
    """The error for an archive that is not as it was written."""
    return ArchiveRefused(
        f"{origin} cannot be restored.",
        f"It is not as it was written: {reason}.",
        "Take another copy of it, or an earlier backup. Nothing was changed.",
    )


def _check_words(values: dict) -> None:
    for name in ("platform", "fork", "made_at"):
        if type(values[name]) is not str:
            raise ValueError(f"its {name} is no text")
    if type(values["git_revision"]) not in (str, type(None)):
        raise ValueError("its revision is no text")
    for name, release in values["releases"].items():
        try:
            Release(release)
        except (InvalidVersion, TypeError):
            raise ValueError(f"the release of {name}, {release!r}, is none") from None


def _check_base(base: Base) -> None:
    if not re.fullmatch(r"[0-9a-f]{64}", base.id):
        raise ValueError(f"the id of {base.name!r}, which it needs, is none")
    if base.name in (".", "..") or not re.fullmatch(r"[^/\0]+", base.name):
        raise ValueError(f"{base.name!r}, which it needs, is no name of a file")
    os.fsencode(base.name)


def _check(entry: Entry, bases: set[str]) -> None:
    if not any(re.fullmatch(place, entry.path) for place in PLACES):
        raise ValueError(f"{entry.path!r} is no path of a backup")
    if {"", ".", ".."} & set(entry.path.split("/")) or "\0" in entry.path:
        raise ValueError(f"{entry.path!r} leads out of the backup")
    entry.path.encode("utf-8", "surrogateescape")
    if type(entry.bytes) is not int or not 0 <= entry.bytes < 1 << 63:
        raise ValueError(f"the size of {entry.path} is no number")
    if not re.fullmatch(r"[0-9a-f]{64}", entry.sha256):
        raise ValueError(f"the checksum of {entry.path} is none")
    if entry.archive and entry.archive not in bases:
        raise ValueError(f"{entry.path} is in an archive that is not named")


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
