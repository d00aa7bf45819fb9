"""Installs environments a second time, and compares the two installs byte by byte.

What differs although the bytes of every wheel are the same, and is left out of the comparison:

- the first lines of a program in ``bin``, which name the interpreter by the path of the
  environment, and the rows of these programs in RECORD, which have their hashes;
- the path of the clone in ``bin/activate*``, in ``*.pth`` and in the targets of links;
- bytecode that has the time of its source: Python writes it as modules are used. The bytecode
  that set-up compiles has the hash of its source instead, and is compared;
- ``.stamp`` and ``.settled``, the empty ``.lock`` of uv, and ``.nix/``, by which Nix keeps what is
  used of it.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.setup import settle

NEEDED = ("loc", "golden.toml", "locks", "proto_loc/setup/settle.py", "proto_loc/jupyter")
"""What the launcher reads as it installs an environment."""
INTERPRETER = re.compile(rb"\A(#!/bin/sh\n'''exec' .*\n' '''\n|#!.*\n)")
PROGRAM_ROWS = re.compile(rb"^(\.\./)+bin/.*\n", re.MULTILINE)
SHOWN = 5
"""How many differing files a message names."""


@dataclass(frozen=True)
class Comparison:
    """Two installs of an environment."""

    name: str
    files: int
    digest: str
    """SHA-256 over the paths and the digests of all files: the same on each machine of a kind."""
    differences: list[str]
    """The files that differ, and on which side a file is missing."""


@contextmanager
def copy_of_clone(texts: dict[Path, str] | None = None) -> Iterator[Path]:
    """A folder in which the launcher can install, removed afterwards.

    It is beside the environments, so that uv can link the files of its cache.

    Args:
        texts: files that have other content there.
    """
    (ROOT / ".venvs").mkdir(exist_ok=True)
    (ROOT / ".tools").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".second.", dir=ROOT / ".venvs") as name:
        folder = Path(name)
        for part in NEEDED:
            target = folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, target)
            elif (ROOT / part).exists():
                shutil.copy(ROOT / part, target)
        for path, text in (texts or {}).items():
            target = folder / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        (folder / ".tools").symlink_to(ROOT / ".tools")
        yield folder


def install(clone: Path, name: str, env: dict[str, str] | None = None) -> Path:
    """Install an environment in a copy of the clone, and return its folder.

    Raises:
        LocError: the launcher could not install it; the reason is its own message.
    """
    done = subprocess.run(
        [clone / "loc", "--sync", name],
        env=os.environ | (env or {}) | {"LOC_ENVIRONMENTS": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = done.stderr.replace(str(clone), str(ROOT))
        raise LocError(
            f"A trial install of locks/{name}.txt failed.",
            re.sub(r"^(loc: setting up .*\n)?error: ", "", said).strip(),
            "Mend what is named above, then start again.",
        )
    return clone / ".venvs" / name


def is_installed(name: str) -> bool:
    return (ROOT / ".venvs" / name / ".stamp").exists()


def compare(name: str) -> Comparison:
    """Compare ``.venvs/NAME`` with a second install of its lock.

    Raises:
        LocError: the second install failed, or ``.venvs/NAME`` was made from another lock.
    """
    environment = ROOT / ".venvs" / name
    _, python, *libraries = (environment / ".stamp").read_text().splitlines()
    host = {"LOC_PYTHON": python, "LOC_LIBRARY_PATH": "".join(libraries)}
    with copy_of_clone() as clone:
        second = install(clone, name, host)
        stamps = [
            (folder / ".stamp").read_text().replace(str(root), "")
            for folder, root in ((environment, ROOT), (second, clone))
        ]
        if stamps[0] != stamps[1]:
            raise LocError(
                f".venvs/{name} was not made from locks/{name}.txt as it is.",
                "A lock or the interpreter has changed since.",
                f"./loc setup {name}, then again.",
            )
        known: dict[tuple[int, int], str] = {}
        ours = digests(environment, ROOT, known)
        theirs = digests(second, clone, known)
        unlike = unlike_wheels(second, theirs)
    whole = "".join(f"{path} {theirs[path]}\n" for path in sorted(theirs))
    return Comparison(
        name,
        len(theirs),
        hashlib.sha256(whole.encode()).hexdigest(),
        differences(ours, theirs) + unlike,
    )


def differences(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """The files that differ between two installs, or are only in one of them.

    Bytecode in one of them only is not a difference: Python writes it, or it has a time.
    """
    changed = [path for path in ours if path in theirs and ours[path] != theirs[path]]
    alone = [path for path in ours.keys() ^ theirs.keys() if not path.endswith(".pyc")]
    return sorted([*changed, *(f"{path} (only in one install)" for path in alone)])


def unlike_wheels(environment: Path, digests: dict[str, str]) -> list[str]:
    """The files whose content is not the one that RECORD of their wheel has.

    The hash of a wheel is in the lock, and RECORD is in the wheel. Compiled bytecode takes the
    place of that in a wheel, and settle.py has chosen between the wheels of a shared file.
    """
    result = []
    for site in environment.glob("lib/python3*/site-packages"):
        folder = site.relative_to(environment)
        for path, wheels in settle.owners(site).items():
            ours = digests.get(str(folder / path))
            allowed = {wheel.digest for wheel in wheels if wheel.digest}
            if ours and allowed and not path.endswith(".pyc"):
                code = base64.urlsafe_b64encode(bytes.fromhex(ours)).rstrip(b"=").decode()
                if f"sha256={code}" not in allowed:
                    result.append(f"{folder / path} (not as its wheel has it)")
    return result


def check(name: str) -> Comparison:
    """Compare two installs of an environment.

    Raises:
        LocError: they differ, or cannot be compared.
    """
    comparison = compare(name)
    if comparison.differences:
        more = len(comparison.differences) - SHOWN
        raise LocError(
            f"Two installs of locks/{name}.txt differ.",
            ", ".join(comparison.differences[:SHOWN]) + (f" and {more} more" if more > 0 else ""),
            f"If .venvs/{name} was changed by hand: ./loc down && rm '{ROOT}/.venvs/{name}/.stamp'"
            f" && ./loc setup {name}, then again."
            " Else two wheels ship a file, or a build has a time in it: docs/versions.md.",
        )
    return comparison


def digests(
    environment: Path, clone: Path, known: dict[tuple[int, int], str] | None = None
) -> dict[str, str]:
    """The digest of each file of an environment, by its path, without what may differ.

    Args:
        clone: the folder whose path may be in some files.
        known: digests by device and inode; two installs share the files of uv's cache.
    """
    result: dict[str, str] = {}
    known = {} if known is None else known
    for folder, folders, names in os.walk(environment):
        for name in [*names, *(sub for sub in folders if Path(folder, sub).is_symlink())]:
            path = Path(folder, name)
            relative = str(path.relative_to(environment))
            if relative in (".stamp", ".settled", ".lock") or relative.startswith(".nix/"):
                continue
            if path.is_symlink():
                result[relative] = f"link to {str(path.readlink()).replace(str(clone), '')}"
            elif name == "RECORD" or relative.startswith("bin/") or path.suffix in (".pth", ".cfg"):
                result[relative] = hashlib.sha256(_without_place(path, clone)).hexdigest()
            elif path.suffix != ".pyc" or not has_time(path):
                status = path.stat()
                inode = status.st_dev, status.st_ino
                if inode not in known:
                    with path.open("rb") as file:
                        known[inode] = hashlib.file_digest(file, "sha256").hexdigest()
                result[relative] = known[inode]
    return result


def has_time(bytecode: Path) -> bool:
    """Whether a file of bytecode has the time of its source, and not its hash (PEP 552)."""
    with bytecode.open("rb") as file:
        header = file.read(8)
    return not int.from_bytes(header[4:8], "little") & 1


def _without_place(path: Path, clone: Path) -> bytes:
    content = path.read_bytes()
    if path.name == "RECORD":
        return PROGRAM_ROWS.sub(b"", content)
    return INTERPRETER.sub(b"", content).replace(str(clone).encode(), b"")
