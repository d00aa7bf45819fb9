"""Makes the backups of ``[backup]`` in ``fork.toml``, and removes old ones."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from proto_loc import fork_file
from proto_loc.backup import make, records, workspace
from proto_loc.backup.archive import read_manifest
from proto_loc.backup.make import Report, Wish
from proto_loc.backup.manifest import ArchiveRefused, Manifest
from proto_loc.backup.records import Record
from proto_loc.errors import LocError, UsageError
from proto_loc.files import try_lock


@dataclass(frozen=True)
class Archive:
    """An archive of this data folder that a schedule wrote."""

    path: Path
    manifest: Manifest


def backup(*, who: str, report: Report = lambda *_: None) -> tuple[Record, list[Path]]:
    """Make the backup that ``fork.toml`` declares, then remove those above its number.

    Returns:
        the record of the backup, and the archives that were removed.

    Raises:
        UsageError: there is no ``[backup]``, or its folder is missing.
        LocError: see :func:`proto_loc.backup.make.backup`; then nothing is removed, and in each
            case a record says why.
    """
    declared = fork_file.read().backup
    if declared is None:
        raise UsageError(
            "No file is named, and fork.toml has no [backup].",
            "It would say where backups go, when, and how many are kept.",
            "Name a file: `loc backup FILE`; or see docs/backup.md for the entry.",
        )
    now = datetime.now(UTC)
    target = declared.folder
    try:
        base = _base(archives(declared.folder), declared.full_every)
        kind = "incremental" if base else "full"
        target = declared.folder / f"{fork_file.name()}-{now:%Y%m%dT%H%M%SZ}-{kind}.tar.zst"
        wish = Wish(
            since=base.path if base else None,
            secrets=bool(declared.secrets),
            recipients=declared.secrets,
        )
        make.check(target, wish)
    except (LocError, OSError) as error:  # nobody sees it: such as a disk that is not mounted
        with suppress(OSError):
            records.add(Record(now.isoformat(timespec="seconds"), 0, who, str(target), str(error)))
        raise
    _clear(declared.folder)
    record = make.backup(target, wish, who=who, report=report)
    return record, _prune(declared.folder, declared.keep)


def archives(folder: Path) -> list[Archive]:
    """The archives of this data folder that schedules wrote, oldest first.

    Others are not touched: those of another clone, with another name, or cut off.
    """
    own = workspace.platform()
    result = []
    for path in sorted(folder.glob("*.tar.zst")):
        if re.fullmatch(_pattern(), path.name):
            try:
                manifest = read_manifest(path)
            except ArchiveRefused:
                continue
            if manifest.platform == own:
                result.append(Archive(path, manifest))
    return result


def _pattern() -> str:
    """The names of the archives that schedules of this fork write."""
    return rf"{re.escape(fork_file.name())}-\d{{8}}T\d{{6}}Z-(full|incremental)\.tar\.zst"


def _clear(folder: Path) -> None:
    """Remove what killed backups left: files without their name yet, which no process writes."""
    for path in folder.glob(".*.tar.zst.part"):
        if re.fullmatch(rf"\.{_pattern()}\.part", path.name):
            with suppress(OSError), path.open("r+b") as file:  # another user's stays
                if try_lock(file):
                    path.unlink()


def _base(before: list[Archive], full_every: int) -> Archive | None:
    """The archive on which the next one is based; None if the next one is whole."""
    if not before or before[-1].manifest.depth + 1 >= full_every:
        return None
    present = {archive.manifest.id for archive in before}
    last = before[-1]
    return last if all(base.id in present for base in last.manifest.bases) else None


def _prune(folder: Path, keep: int) -> list[Path]:
    """Remove the archives that are neither among the newest nor needed by one of them."""
    present = archives(folder)
    newest = present[-keep:]
    needed = {base.id for archive in newest for base in archive.manifest.bases}
    gone = [
        archive.path for archive in present
        if archive not in newest and archive.manifest.id not in needed
    ]  # fmt: skip
    for path in gone:
        path.unlink()
    return gone
