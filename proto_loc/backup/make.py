"""Writes a backup: one archive, complete under its name or not there at all."""

import errno
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tomllib import loads

import duckdb

from proto_loc import fork_file
from proto_loc.backup import encryption, records, workspace
from proto_loc.backup.archive import Writer, read_manifest
from proto_loc.backup.manifest import SECRETS, Base, Entry, Manifest
from proto_loc.backup.records import Record
from proto_loc.backup.snapshot import Snapshot
from proto_loc.errors import LocError, UsageError
from proto_loc.files import try_lock
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.setup.environments import golden
from proto_loc.setup.programs import output
from proto_loc.warehouse import store

Report = Callable[[str, str, int, int], None]
"""Called with the step, what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Wish:
    """What a backup has besides the data."""

    since: Path | None = None
    """An earlier archive: only what it and its own bases do not have is written."""
    secrets: bool = False
    recipients: tuple[str, ...] = ()
    """Public keys for the secrets; without one, they are encrypted with the passphrase."""
    passphrase: str = ""


def backup(target: Path, wish: Wish, *, who: str, report: Report = lambda *_: None) -> Record:
    """Write an archive while everything runs, and a record of it.

    Raises:
        UsageError: the target exists or is in a folder that is backed up; a key is none.
        LocError: another backup runs, the disk is full, or a part cannot be read. No archive is
            left; a record says why.
    """
    target = target.absolute()
    check(target, wish)
    started, clock = datetime.now(UTC), time.monotonic()
    record = Record(
        started_at=started.isoformat(timespec="seconds"), seconds=0, who=who, file=str(target),
        incremental=wish.since is not None, secrets=wish.secrets,
    )  # fmt: skip
    try:
        with workspace.alone():
            if error := workspace.pending():
                raise error
            workspace.clear()
            try:
                manifest = _write(target, wish, started, report)
            finally:
                workspace.clear()
    except BaseException as error:
        record = replace(record, error=str(error) or type(error).__name__)
        raise
    else:
        record = replace(
            record, id=manifest.id, bytes=target.stat().st_size, content=manifest.bytes,
            files=len(manifest.files), missing=manifest.missing,
        )  # fmt: skip
    finally:
        record = replace(record, seconds=round(time.monotonic() - clock, 3))
        with suppress(OSError):  # on a full disk; the archive does not depend on it
            records.add(record)
    return record


def releases() -> dict[str, str]:
    """The releases whose files are in a backup of this clone."""
    packages = golden()["environments"]
    project = loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        "proto_loc": project["version"],
        "duckdb": duckdb.__version__,
        "dagster": packages["platform"]["packages"]["dagster"],
        "superset": packages["superset"]["packages"]["apache-superset"],
    }


def revision() -> str | None:
    """The commit that is checked out, with ``-dirty`` after changes; None without git."""
    command = ["git", "-C", ROOT, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    return output(command) or None


def check(target: Path, wish: Wish) -> None:
    """Refuse a place for an archive, or a key, before anything is taken.

    Raises:
        UsageError: see :func:`backup`; no record is written, since a person is told at once.
    """
    encryption.recipients(wish.recipients)
    if target.is_dir() or os.path.lexists(target):
        raise UsageError(
            f"{target} exists.", "A backup never replaces a file.", "Name another file."
        )
    if not target.parent.is_dir():
        raise UsageError(
            f"There is no folder {target.parent}.",
            "It is not made, so that a backup does not go to this disk if another is not mounted.",
            "Mount or make it, or name another one.",
        )
    parent = target.parent.resolve()
    for folder in (settings().data, settings().run, workspace.NOTEBOOKS):
        if parent.is_relative_to(folder.resolve()):
            raise UsageError(
                f"{target} is in {folder}.",
                "That folder is what a backup is made of or what is lost with it.",
                "Name a file elsewhere, best on another disk.",
            )


def _write(target: Path, wish: Wish, started: datetime, report: Report) -> Manifest:
    part = target.with_name(f".{target.name}.part")
    place = private_folder(workspace.snapshots())
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            if not try_lock(file):
                raise LocError(
                    f"{target} is being written already.",
                    "A backup of another data folder has the same file.",
                    "Name another file.",
                )
            try:
                file.truncate(0)
                place = target.parent
                manifest = _fill(file, wish, started, report)
                file.flush()
                os.fsync(file.fileno())
                _name(part, target)
                store.fsync(target.parent)
            finally:
                part.unlink(missing_ok=True)
    except FileExistsError as error:
        raise UsageError(f"{target} exists by now.", "", "Name another file.") from error
    except OSError as error:
        raise _failure(target, Path(error.filename or place), error) from error
    return manifest


def _name(part: Path, target: Path) -> None:
    """Give a written archive its name; unlike a rename, a link never replaces a file."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # exFAT and others have no hard links
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        part.rename(target)


def _fill(file, wish: Wish, started: datetime, report: Report) -> Manifest:
    report("take", "versions, histories, notebooks", 0, 1)
    snapshot = Snapshot(workspace.snapshots())
    snapshot.take()
    if wish.secrets:
        content = encryption.encrypt(encryption.secrets(), wish.recipients, wish.passphrase)
        path = snapshot.folder / SECRETS
        path.touch(0o600)
        path.write_bytes(content)
        snapshot.keep(SECRETS)
    report("take", "versions, histories, notebooks", 1, 1)
    base = read_manifest(wish.since) if wish.since else None
    entries, bases = _refer(base, wish.since, snapshot.entries)
    manifest = Manifest(
        platform=workspace.platform(),
        fork=fork_file.name(),
        made_at=started.isoformat(timespec="seconds"),
        git_revision=revision(),
        releases=releases(),
        current=snapshot.current,
        files=tuple(entries),
        bases=bases,
        depth=base.depth + 1 if base else 0,
        missing=tuple(snapshot.missing),
    ).seal()  # fmt: skip
    writer = Writer(file, manifest)
    total, done = sum(entry.bytes for entry in manifest.own), 0
    for entry in manifest.own:
        report("write", entry.path, done, total)
        try:
            writer.add(entry, snapshot.folder / entry.path)
        except ValueError as error:
            raise LocError(
                "The backup was not made: a file is damaged.",
                f"{settings().data.parent / entry.path} is not what was published or loaded: its"
                " checksum differs.",
                "See `loc db verify --all`, which names what to do; then back up again.",
            ) from error
        done += entry.bytes
    writer.close()
    report("write", "done", total, total)
    return manifest


def _refer(
    base: Manifest | None, path: Path | None, entries: list[Entry]
) -> tuple[list[Entry], tuple[Base, ...]]:
    """Refer to the files that an earlier archive has; name the archives that are then needed."""
    if base is None:
        return entries, ()
    known = {(entry.sha256, entry.bytes, entry.path): entry.archive or base.id
             for entry in base.files}  # fmt: skip
    entries = [
        replace(entry, archive=known.get((entry.sha256, entry.bytes, entry.path), ""))
        for entry in entries
    ]
    used = {entry.archive for entry in entries}
    bases = (*base.bases, Base(base.id, path.name))
    return entries, tuple(one for one in bases if one.id in used)


def _failure(target: Path, place: Path, error: OSError) -> LocError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = next(path for path in (place, *place.parents) if path.exists())
        free = shutil.disk_usage(place).free
        return LocError(
            f"The backup {target} was not made: the disk is full.",
            f"{place} has {free / 1e6:,.0f} MB free. Databases in use are copied to"
            f" {workspace.folder()} first, and the archive is written beside its final name.",
            "Free some space there, or name a file on another disk. Nothing is left of it.",
        )
    return LocError(
        f"The backup {target} was not made.",
        f"{error.filename or place}: {error.strerror or error}.",
        "Mend that, and back up again. Nothing is left of it.",
    )
