"""Takes a snapshot of what is backed up, in a folder beside the data, while everything runs.

Files that never change (versions, the lake) become hard links: they need no space, and a prune does
not take them away. Everything else is copied. So the archive is written from files that nobody
changes.
"""

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from proto_loc.backup import databases, workspace
from proto_loc.backup.manifest import DUMP, METADATA, Entry
from proto_loc.errors import LocError, disk_is_full
from proto_loc.settings import ROOT, settings
from proto_loc.warehouse import VersionDamaged, ledger, retention, store

SKIPPED = {".ipynb_checkpoints", "__pycache__", ".virtual_documents"}
OWN = (".replaced-", ".restoring")
"""Beginnings of the names of folders that a restore makes."""
ATTEMPTS = 20


@dataclass
class Snapshot:
    """A folder with the files of a backup, under their paths in the archive."""

    folder: Path
    entries: list[Entry] = field(default_factory=list)
    current: dict[str, int] = field(default_factory=dict)
    """The version that each database serves."""
    missing: list[str] = field(default_factory=list)
    """What could not be taken, as sentences."""

    def take(self) -> None:
        """Take all parts.

        Raises:
            VersionDamaged: a current version or a file of its ledger is damaged.
            LocError: a database cannot be copied.
            OSError: the disk is full.
        """
        self._warehouse()
        self._dagster()
        self._superset()
        self._notebooks()

    def keep(self, name: str) -> None:
        """Add a file that is in the folder already."""
        path = self.folder / name
        self.entries.append(Entry(name, path.stat().st_size, store.checksum(path)))

    def _warehouse(self) -> None:
        for _ in range(ATTEMPTS):
            missing: list[str] = []
            try:
                entries = list(self._versions(missing))
            except FileNotFoundError:  # a version or file was pruned meanwhile
                shutil.rmtree(self.folder / "data", ignore_errors=True)
                continue
            self.entries += entries
            self.missing += missing
            return
        raise LocError(
            "The versions change faster than they can be backed up.",
            f"{ATTEMPTS} attempts met a version that was removed meanwhile.",
            "Raise LOC_GRACE, so that superseded versions stay longer, and try again.",
        )

    def _versions(self, missing: list[str]) -> Iterator[Entry]:
        self.current, chosen = _choose()
        lake: dict[str, Entry] = {}
        for database, numbers in chosen.items():
            serving = self.current[database]
            for number in numbers:
                folder = store.folder(database) / "versions" / store.dirname(number)
                try:
                    version = store.load(database, number).verify()
                    loads = _loads(version)
                except (VersionDamaged, duckdb.IOException) as damage:
                    if not folder.exists():
                        raise FileNotFoundError(folder) from damage
                    if number == serving:
                        raise
                    missing.append(f"Version {number} of {database} is damaged: {damage}")
                    continue
                if not version.is_a_file:
                    missing.append(_elsewhere(version))
                    if number == serving:
                        del self.current[database]  # a restore leaves the database alone
                    continue
                for path in _files(folder):
                    name = str(path.relative_to(folder))
                    yield self._link(path, version.checksums.get(name))
                for load in loads:
                    if load.file not in lake:
                        lake[load.file] = self._link(load.path, load.sha256)
        yield from lake.values()

    def _link(self, path: Path, sha256: str | None) -> Entry:
        name = _name(path, settings().data, "data")
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            store.copy(path, target)  # the file system has no hard links, or it is another one
        return Entry(name, target.stat().st_size, sha256 or store.checksum(target))

    def _dagster(self) -> None:
        """Copy runs first: what their events say later is known when they are restored."""
        home = settings().data / "dagster"
        paths = sorted(_files(home), key=lambda path: path != home / "history/runs.db")
        for path in paths:
            if path.name.endswith((".lock", *databases.ASIDE)) or path.suffix == ".yaml":
                continue  # locks, and what each start writes
            self._copy(path, _name(path, settings().data, "data"))

    def _superset(self) -> None:
        path = settings().superset_sqlite
        if path is None:
            target = self.folder / DUMP
            target.parent.mkdir(parents=True, exist_ok=True)
            databases.dump_postgresql(target)
            self.keep(DUMP)
        elif path.exists():
            self._copy(path, METADATA)

    def _notebooks(self) -> None:
        """Copy what git does not have."""
        known = unchanged_in_git()
        for path in _files(workspace.NOTEBOOKS, self._miss_link):
            parts = path.relative_to(workspace.NOTEBOOKS).parts
            if path in known or SKIPPED & set(parts) or parts[0].startswith(OWN):
                continue
            if path.name.endswith(".wal"):
                continue  # goes with its database
            name = _name(path, workspace.NOTEBOOKS, "notebooks")
            try:
                if path.suffix == ".duckdb":
                    self._scratch(path)
                else:
                    self._copy(path, name)
            except LocError as error:  # a person's SQLite file: damaged, or locked
                if disk_is_full(error):
                    raise
                for end in ("", *databases.ASIDE):
                    (self.folder / f"{name}{end}").unlink(missing_ok=True)
                self._miss(f"{error.what} {error.why}")

    def _scratch(self, path: Path) -> None:
        """Copy a person's DuckDB file, unless a process has it open and may write to it."""
        log = path.with_name(f"{path.name}.wal")
        before = _state(path, log)
        if readers := retention.readers_of(path):
            self._miss(f"{path} is open in {readers}: close it, and it is in the next backup")
            return
        count = len(self.entries)
        for part in (path, log):
            if part.exists():
                self._copy(part, _name(part, workspace.NOTEBOOKS, "notebooks"))
        if _state(path, log) != before or retention.readers_of(path):
            for entry in self.entries[count:]:
                (self.folder / entry.path).unlink()
            del self.entries[count:]
            self._miss(f"{path} was written meanwhile: it is in the next backup")

    def _copy(self, path: Path, name: str) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if databases.is_sqlite(path):
                databases.copy_sqlite(path, target)
            else:
                _copy_still(path, target)
        except FileNotFoundError:
            target.unlink(missing_ok=True)
            return  # it was removed meanwhile
        except PermissionError as error:
            self._miss(f"{path} cannot be read ({error.strerror})")
            return
        self.keep(name)

    def _miss(self, sentence: str) -> None:
        self.missing.append(sentence)

    def _miss_link(self, path: Path) -> None:
        self._miss(f"{path} is a link, and what it leads to is not in the backup")


def _elsewhere(version: store.Version) -> str:
    return (
        f"Version {version.id} of {version.database} is kept by {version.keeper.title}, and its"
        " tables are not in the archive: after a restore, `loc refresh` builds them from raw, but"
        " not the histories of snapshots. docs/trino.md says how to back those up."
    )


def _choose() -> tuple[dict[str, int], dict[str, list[int]]]:
    """Choose the newest versions and the current ones, as they are at one moment."""
    while True:
        serving = _serving()
        listed = {database: store.versions(database) for database in serving}
        if _serving() == serving:
            break
    keep = settings().keep_versions
    return serving, {
        database: sorted({*listed[database][-keep:], number})
        for database, number in serving.items()
    }


def _serving() -> dict[str, int]:
    numbers = {database: store.current_id(database) for database in store.DATABASES}
    return {database: number for database, number in numbers.items() if number is not None}


def _loads(version: store.Version) -> list[ledger.Load]:
    """The loads that a version of ``raw`` reads.

    Raises:
        VersionDamaged: the version, or one of its loads, is damaged.
    """
    if version.database != "raw":
        return []
    loads = ledger.loads_of(version)
    if lost := [load for load in loads if not ledger.whole(load)]:
        raise ledger.damaged(lost)
    return loads


def _files(folder: Path, skip=lambda path: None) -> Iterator[Path]:
    """Yield the plain files in a folder, sorted; call ``skip`` with each link."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in folders:
            if Path(place, name).is_symlink():
                skip(Path(place, name))
        for name in sorted(names):
            path = Path(place, name)
            if path.is_symlink():
                skip(path)
            elif path.is_file():
                yield path


def _name(path: Path, start: Path, place: str) -> str:
    return f"{place}/{path.relative_to(start).as_posix()}"


def _state(*paths: Path) -> list[tuple[int, int] | None]:
    stats = [path.stat() if path.exists() else None for path in paths]
    return [(stat.st_size, stat.st_mtime_ns) if stat else None for stat in stats]


def _copy_still(path: Path, target: Path) -> None:
    """Copy a file; if it is written meanwhile, once more, and then up to the size that it had."""
    for _ in range(3):
        before = _state(path)
        size = path.stat().st_size
        with path.open("rb") as source, target.open("wb") as copy:
            while chunk := source.read(min(1 << 20, size)):
                copy.write(chunk)
                size -= len(chunk)
        if _state(path) == before:
            return
        time.sleep(0.05)


def unchanged_in_git() -> set[Path]:
    """The notebooks that git has as they are; empty without git."""
    try:
        kept, changed = (
            subprocess.run(
                ["git", "-C", ROOT, *command, "-z", "--", "notebooks"],
                capture_output=True,
                check=True,
            ).stdout.split(b"\0")
            for command in (["ls-files"], ["diff", "--relative", "--name-only", "HEAD"])
        )
    except (OSError, subprocess.CalledProcessError):
        return set()
    return {ROOT / os.fsdecode(name) for name in set(kept) - set(changed) if name}
