"""Makes the project folder of a platform that runs outside of a clone, and moves it to a version.

``nix run`` and the image run ``python -m proto_loc.setup.project SOURCE FOLDER ENVIRONMENTS``: the
read-only files of a version become a folder that a person can change. Later, another version
replaces what the person has left as it was, and refuses to replace anything else.
"""

import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from contextlib import chdir, suppress
from dataclasses import dataclass, field
from pathlib import Path

from proto_loc import dotenv, files
from proto_loc.errors import LocError, exit_on_error

RECORD = ".source.json"
"""The file that names the version of a project folder, with the SHA-256 of each of its files."""
ENVIRONMENTS = ".environments"
"""The link to the environments of that version."""
LOCK = ".source.lock"
SOCKET = "process-compose.sock"
LOST = "lost+found"
"""What the empty disk of a container has."""


@dataclass
class Changes:
    """What a move to another version does, by path in the folder."""

    copied: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Files that the person has changed, and that are the same in both versions."""
    absent: list[str] = field(default_factory=list)
    """Files that the person has removed, as those of the demonstration: they do not come back."""
    conflicts: list[str] = field(default_factory=list)
    """Files that differ from both versions."""


def provide(source: Path, folder: Path, environments: Path) -> str:
    """Make the folder, or move it to this version; return one sentence for the person.

    Args:
        source: the files of this version, read only.
        environments: its environments, read only.

    Raises:
        LocError: the folder holds something else, or a person's change is in the way.
    """
    if _names(folder) and LOCK not in _names(folder):
        read(folder)  # nothing is written into a folder with something else
    with files.locked(folder / LOCK):  # two starts at once: the second one finds the folder made
        return _provide(source, folder, environments)


def _provide(source: Path, folder: Path, environments: Path) -> str:
    if made := not _names(folder) - {LOCK}:
        # A copy that is interrupted goes on at the next start.
        files.replace(folder / RECORD, json.dumps({"source": "", "files": {}}))
    record = read(folder)
    linked = (folder / ENVIRONMENTS).resolve() == environments.resolve()
    if record["source"] == str(source) and linked:
        return f"the project folder is {folder}"
    if _is_up(folder):
        return f"the project folder {folder} keeps its version while its services are up"
    changes = compare(source, folder, record["files"])
    if changes.conflicts:
        raise LocError(
            f"{folder} cannot move to this version.",
            "You and the version have both changed: " + ", ".join(changes.conflicts) + ".",
            "Keep copies of your files elsewhere, take the new ones with the commands below, start"
            " again, and put your changes into them. Or set LOC_PROJECT to another folder.\n"
            + "\n".join(
                shlex.join(["cp", str(source / name), str(folder / name)])
                for name in changes.conflicts
            ),
        )
    _move(source, folder, changes)
    _link(folder, environments)
    if made:
        return (
            f"made the project folder {folder}: data, secrets and your changes stay there"
            " (LOC_PROJECT names another)"
        )
    kept = f"; yours stay: {', '.join(changes.kept)}" if changes.kept else ""
    kept += f"; {len(changes.absent)} that you removed stay away" if changes.absent else ""
    done = f"{len(changes.copied)} files replaced, {len(changes.removed)} removed"
    return f"moved the project folder {folder} to this version: {done}{kept}"


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {LOST} if folder.exists() else set()


def read(folder: Path) -> dict:
    """Read the record of a project folder.

    Raises:
        LocError: it has none.
    """
    try:
        record = json.loads((folder / RECORD).read_text())
        return {"source": record["source"], "files": dict(record["files"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LocError(
            f"{folder} is not a project folder.",
            f"It is not empty, and {RECORD}, which names the version, cannot be read.",
            "Set LOC_PROJECT to another folder. A clone is started in itself: cd into it.",
        ) from error


def compare(source: Path, folder: Path, recorded: dict[str, str]) -> Changes:
    """Compare the folder with the version that it has and with the one that it gets."""
    changes, new = Changes(), listing(source)
    for name in sorted(recorded | new):
        had, gets, has = recorded.get(name), new.get(name), digest(folder / name)
        if has == gets:
            continue
        if has == had:
            (changes.copied if gets else changes.removed).append(name)
        elif has is None:
            changes.absent.append(name)
        elif gets in (had, None):
            changes.kept.append(name)
        else:
            changes.conflicts.append(name)
    return changes


def listing(source: Path) -> dict[str, str]:
    """The SHA-256 of each file of a version, by its path."""
    paths = (Path(folder, name) for folder, _, names in os.walk(source) for name in names)
    return {str(path.relative_to(source)): digest(path) for path in paths}


def digest(path: Path) -> str | None:
    """The SHA-256 of a file, or of the target of a link; None if there is none."""
    if path.is_symlink():
        return hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _move(source: Path, folder: Path, changes: Changes) -> None:
    """Replace and remove files, and record the version last, so that a second try completes it."""
    for name in changes.copied:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f".{target.name}.new")
        new.unlink(missing_ok=True)
        shutil.copyfile(source / name, new, follow_symlinks=False)
        if not new.is_symlink():
            new.chmod(0o755 if os.access(source / name, os.X_OK) else 0o644)
        new.replace(target)
    for name in changes.removed:
        (folder / name).unlink()
        with suppress(OSError):  # other files are in it
            (folder / name).parent.rmdir()
    record = {"source": str(source), "files": listing(source)}
    files.replace(folder / RECORD, json.dumps(record, indent=1) + "\n")


def _link(folder: Path, environments: Path) -> None:
    """Link the environments, as a root of Nix where there is Nix: a collection keeps them."""
    link = folder / ENVIRONMENTS
    new = link.with_name(f"{ENVIRONMENTS}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(environments)
    new.replace(link)
    command = ["nix-store", "--realise", environments, "--add-root", link, "--indirect"]
    with suppress(OSError):
        subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)


def _is_up(folder: Path) -> bool:
    """Whether a supervisor of this folder answers; ``.env`` may name its run folder."""
    dotenv.load(folder / ".env")
    run = Path(os.environ.get("LOC_RUN") or folder / ".run")
    if not (run / SOCKET).exists():
        return False
    with socket.socket(socket.AF_UNIX) as client, chdir(run):  # its whole path may be too long
        try:
            client.connect(SOCKET)
        except OSError:
            return False
    return True


if __name__ == "__main__":
    source, folder, environments = (Path(argument).absolute() for argument in sys.argv[1:4])
    with exit_on_error():
        try:
            sentence = provide(source, folder, environments)
        except OSError as error:
            raise LocError(
                f"Cannot make the project folder {folder}.",
                f"{error}.",
                "Make it writable, or set LOC_PROJECT to a folder of your own.",
            ) from error
    print(f"loc: {sentence}", file=sys.stderr, flush=True)
