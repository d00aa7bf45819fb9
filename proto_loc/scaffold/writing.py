"""Writes the files of a source all at once or not at all, and notes which it wrote."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from proto_loc import files
from proto_loc.errors import LocError, UsageError

NOTE = "pipelines/{}/written.json"
"""What ``loc source add`` wrote for a source: the path of each file, and its SHA-256."""


@contextmanager
def written(root: Path, texts: Mapping[str, str]) -> Iterator[None]:
    """Write new files for the block; if it fails, they and their folders are removed.

    Raises:
        UsageError: one of the files exists; nothing is written.
    """
    refuse_existing(root, texts)
    folders: list[Path] = []
    try:
        for name, text in texts.items():
            path = root / name
            missing = [folder for folder in path.parents if not folder.exists()]
            folders += missing
            files.replace(path, text)
        yield
    except BaseException:
        for name in texts:
            with suppress(OSError):  # such as a plain file where a folder should be
                (root / name).unlink()
        for folder in sorted(set(folders), key=lambda folder: -len(folder.parts)):
            remove_folder(folder)
        raise


def refuse_existing(root: Path, names: Mapping[str, str]) -> None:
    """Refuse to overwrite files.

    Raises:
        UsageError: a file of that name, or of that of its folder, exists; the message names each.
    """
    paths = {root / name: name for name in names}
    taken = [name for path, name in paths.items() if path.exists() or path.is_symlink()]
    folders = {parent for path in paths for parent in path.parents if parent.is_relative_to(root)}
    blocked = (folder for folder in sorted(folders) if folder.exists() and not folder.is_dir())
    taken += [str(folder.relative_to(root)) for folder in blocked]
    if taken:
        raise UsageError(
            f"{taken[0]} is in the way{_others(taken)}.",
            "No file is ever overwritten; nothing was written.",
            "Choose another name, or move what is there.",
        )


def _others(names: list[str]) -> str:
    return f", and {', '.join(names[1:])}" if len(names) > 1 else ""


def remove_folder(folder: Path) -> None:
    """Remove a folder if nothing but Python's cache is in it."""
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= {"__pycache__"}:
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        with suppress(OSError):
            folder.rmdir()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def note(name: str, texts: Mapping[str, str]) -> dict[str, str]:
    """The note of a source's files, as a file to write beside them."""
    listed = {path: digest(text) for path, text in sorted(texts.items())}
    content = {"written_by": "loc source add", "files": listed}
    return {NOTE.format(name): json.dumps(content, indent=2) + "\n"}


def noted(root: Path, name: str) -> dict[str, str]:
    """Path and SHA-256 of the files that ``loc source add`` wrote; empty for another source.

    Raises:
        LocError: the note cannot be read.
    """
    path = root / NOTE.format(name)
    if not path.exists():
        return {}
    try:
        listed = json.loads(path.read_text())["files"]
        inside = all(".." not in Path(name).parts and name[:1] != "/" for name in listed)
        if inside and all(isinstance(sha256, str) for sha256 in listed.values()):
            return {**listed, NOTE.format(name): digest(path.read_text())}
    except (ValueError, KeyError, AttributeError, TypeError):
        pass
    raise LocError(
        f"{path} cannot be read.",
        "It lists the files that `loc source add` wrote.",
        "Restore it from git.",
    )


def changed(root: Path, listed: Mapping[str, str]) -> list[str]:
    """Files that differ from what was written, and that exist."""
    return [
        name
        for name, sha256 in listed.items()
        if (root / name).is_file()
        and hashlib.sha256((root / name).read_bytes()).hexdigest() != sha256
    ]


@contextmanager
def removed(root: Path, names: list[str], keep: Path) -> Iterator[None]:
    """Move files to a folder for the block; if it fails, they are put back."""
    moved = []
    try:
        for name in names:
            (keep / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(root / name, keep / name)
            moved.append(name)
        yield
    except BaseException:
        for name in moved:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(keep / name, root / name)
        raise
    for name in names:
        for folder in (root / name).parents:
            if folder == root:
                break
            remove_folder(folder)
