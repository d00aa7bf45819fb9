"""Restores a backup: reads and checks it whole, unpacks it beside the data, then renames."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from packaging.version import Version as Release

from proto_loc import services, warehouse
from proto_loc.backup import chain, make, moves, workspace
from proto_loc.backup.archive import Reader
from proto_loc.backup.consistency import check_warehouse
from proto_loc.backup.manifest import DUMP, ArchiveRefused, Manifest, damaged
from proto_loc.backup.plan import Plan, Terms
from proto_loc.errors import LocError
from proto_loc.services import launch
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.warehouse import store

Report = Callable[[str, str, int, int], None]


@dataclass
class Restored:
    """What a restore did."""

    manifest: Manifest
    aside: list[str] = field(default_factory=list)
    """Folders with what was there before."""
    notes: list[str] = field(default_factory=list)
    """What a person has to know or do, as sentences."""


def inspect(path: Path, report: Report = lambda *_: None) -> Manifest:
    """Read an archive and those that it needs in full; write nothing.

    Raises:
        ArchiveRefused: one of them is damaged, foreign, missing, or of later tools.
    """
    manifest, archives = chain.find(path)
    _check_releases(path, manifest)
    _read(manifest, archives, None, report)
    return manifest


def restore(path: Path, terms: Terms, report: Report = lambda *_: None) -> Restored:
    """Put a backup in place, whole or not at all.

    Raises:
        ArchiveRefused: the archive is damaged, foreign, or of later tools.
        UsageError: something would be overwritten, or a place is a link.
        LocError: services run, the disk is full, or the secrets cannot be decrypted. In each case
            nothing has changed.
    """
    path = path.absolute()
    with ExitStack() as locks:
        locks.enter_context(workspace.alone())
        if error := workspace.pending():
            raise error
        workspace.clear()
        _check_stopped()
        for database in store.DATABASES:
            locks.enter_context(store.write_lock(database, timeout=0))
        manifest, archives = chain.find(path)
        _check_releases(path, manifest)
        result = Restored(manifest)
        staged = private_folder(workspace.staging())
        own = [workspace.NOTEBOOKS / ".restoring", settings().run / "secrets/.restoring"]
        try:
            for folder in own:
                shutil.rmtree(folder, ignore_errors=True)
            plan = Plan(manifest, staged, *own)
            plan.check(terms.force)
            _check_space(manifest, staged)
            _read(manifest, archives, plan, report)
            check_warehouse(path, manifest, staged)
            plan.make(terms, result.notes)
            _settle_dagster(staged / "data", manifest)
            for folder in (staged, *own):
                _flush(folder)
            _check_stopped()  # once more, as unpacking takes its time
            moves.begin(plan.moves, staged / DUMP if manifest.has(DUMP) else None)
            try:
                moves.finish()
            except LocError:
                workspace.journal().unlink()
                raise
        except OSError as error:
            raise _failure(path, manifest, error) from error
        finally:
            if not workspace.journal().exists():
                for folder in (staged, *own):
                    shutil.rmtree(folder, ignore_errors=True)
        result.aside = plan.asides()
    _after(result)
    return result


def resume() -> bool:
    """Finish a restore that was ended between its moves; return whether there was one.

    Raises:
        LocError: another restore runs, or a folder cannot be written.
    """
    with workspace.alone():
        if not workspace.pending():
            return False
        _check_stopped()
        try:
            moves.finish()
        except OSError as error:
            raise LocError(
                "The restore cannot be finished.",
                f"{error.filename}: {error.strerror}.",
                "Mend that; then `loc restore` again. The files wait in place.",
            ) from error
        workspace.clear()
        for folder in (workspace.NOTEBOOKS, settings().run / "secrets"):
            shutil.rmtree(folder / ".restoring", ignore_errors=True)
    _rebuild_catalogue()
    return True


def _check_stopped() -> None:
    if running := launch.left(services.mark()):
        raise LocError(
            "Services of this clone run.",
            f"They have the files open that a restore replaces ({len(running)} processes).",
            "End them: `loc down`; then restore.",
        )


def _check_releases(path: Path, manifest: Manifest) -> None:
    """Refuse files of later tools; a later platform's are known by the format of its archives."""
    own = make.releases()
    for name, release in manifest.releases.items():
        if name in own and name != "proto_loc" and Release(release) > Release(own[name]):
            raise ArchiveRefused(
                f"{path} cannot be restored by this release.",
                f"It was made with {name} {release}, and this clone has {own[name]}, which may not"
                " read its files.",
                "Update this clone first: `loc fork merge`, or `git pull`. Nothing was changed.",
            )


def _check_space(manifest: Manifest, staged: Path) -> None:
    free = shutil.disk_usage(staged).free
    if free < manifest.bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(staged))


def _read(
    manifest: Manifest, archives: dict[str, Path], staged: Plan | None, report: Report
) -> None:
    """Read archives in full, and unpack the manifest's files; each of them has to come."""
    needed = {(entry.archive or manifest.id, entry.path): entry for entry in manifest.files}
    total, done = len(needed), 0
    for archive, path in archives.items():
        with Reader(path) as reader:
            for entry, content in reader.files():
                wanted = needed.pop((archive, entry.path), None)
                if wanted is None or staged is None:
                    for _ in content:
                        pass
                else:
                    _unpack(*staged.place(entry.path), content)
                if wanted is not None:
                    if (entry.bytes, entry.sha256) != (wanted.bytes, wanted.sha256):
                        raise damaged(path, f"{entry.path} is another one than the backup needs")
                    done += 1
                    report("read", entry.path, done, total)
    if needed:
        raise damaged(next(iter(archives.values())), f"{min(needed)[1]} is missing")


def _unpack(path: Path, mode: int, content: Iterator[bytes]) -> None:
    private_folder(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        for chunk in content:
            file.write(chunk)


def _flush(folder: Path) -> None:
    """Write everything that was unpacked to the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            if not Path(place, name).is_symlink():
                store.fsync(Path(place, name))
        store.fsync(Path(place))


def _settle_dagster(data: Path, manifest: Manifest) -> None:
    """End the runs that were in progress, and bring the history to this release."""
    if not (data / "dagster").is_dir():
        return
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "proto_loc.dagster.restored"),
            *(
                ["upgrade"]
                if manifest.releases.get("dagster") != make.releases()["dagster"]
                else []
            ),
        ],
        cwd=ROOT,
        env=os.environ | {"LOC_DATA": str(data), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise LocError(
            "Dagster's history in the archive cannot be used.",
            (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1],
            "Report it with `loc --debug restore`. Nothing was changed.",
        )


def _after(result: Restored) -> None:
    release, known = result.manifest.releases.get("proto_loc", "0"), make.releases()["proto_loc"]
    if Release(release) > Release(known):
        result.notes.append(
            f"The backup was made by release {release}, and this clone has the older {known}."
        )
    revision = result.manifest.git_revision
    own = make.revision()
    if revision and own and revision.removesuffix("-dirty") != own.removesuffix("-dirty"):
        result.notes.append(
            f"The backup was made from commit {revision[:9]}, and this clone is at {own[:9]}: the"
            " next refresh builds what differs."
        )
    try:
        _rebuild_catalogue()
    except LocError as error:
        result.notes.append(f"The catalogue of raw could not be rebuilt for its new place: {error}")


def _rebuild_catalogue() -> None:
    """Publish raw's views over the files of the lake where they are."""
    from proto_loc import sources
    from proto_loc.warehouse import lake

    if store.current_id("raw") is not None:
        lake.settle(sources.declared_columns())
        warehouse.tidy()


def _failure(path: Path, manifest: Manifest, error: OSError) -> LocError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(settings().data).free
        return LocError(
            f"{path} was not restored: the disk is full.",
            f"It needs {manifest.bytes / 1e6:,.0f} MB in {settings().data}, and"
            f" {free / 1e6:,.0f} MB are free.",
            "Free some space there, or set LOC_DATA to a folder on another disk. Nothing was"
            " changed.",
        )
    if workspace.journal().exists():
        return LocError(
            f"{path} is not restored in full yet.",
            f"{error.filename}: {error.strerror}.",
            "Mend that; then `loc restore` finishes it.",
        )
    return LocError(
        f"{path} was not restored.",
        f"{error.filename or settings().data}: {error.strerror or error}.",
        "Mend that, and restore again. Nothing was changed.",
    )
