"""Load packages: the private folders into which dlt writes before the lake adopts the files."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from proto_loc import files
from proto_loc.settings import private_folder, settings
from proto_loc.warehouse import store

COMPLETE = "complete.json"
"""File of a package's folder that is written last: without it, the package is not complete."""


@dataclass(frozen=True)
class Package:
    """A complete load package of a source; its files are not yet in the lake."""

    id: str
    base: str
    """Id of the package that the lake had adopted when this one began; it fits on no other."""
    replace: bool
    """Whether it has everything, so that it takes the place of all earlier loads."""
    tables: dict[str, list[str]]
    """Table → its Parquet files, relative to the folder."""
    parents: dict[str, str]
    """Table → the table in whose rows dlt found it as a list."""
    state: dict[str, str]
    """dlt's records of cursors and schemas: path in its folder → text."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Parquet file → bytes."""


def folder(source: str) -> Path:
    """``data/dlt/<source>``."""
    return settings().data / "dlt" / source


@contextmanager
def exclusive(source: str, timeout: float) -> Iterator[int | None]:
    """Hold the lock of a source's packages, and yield its descriptor for a child to inherit.

    It yields None if another process fetches this source for all of ``timeout`` seconds.
    """
    private_folder(folder(source))
    with (folder(source) / "lock").open("w") as file:
        yield file.fileno() if files.lock_within(file, timeout) else None


def begin(source: str) -> tuple[str, Path]:
    """Make the folder of a new package; return its id and path. Needs the lock."""
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    return name, private_folder(folder(source) / name)


def complete(source: str, package: Package) -> Package:
    """Declare a package complete, once its files are on the disk."""
    home = folder(source) / package.id
    sizes = {}
    for name in sorted(name for names in package.tables.values() for name in names):
        store.fsync(home / name)
        sizes[name] = (home / name).stat().st_size
    package = Package(**{**asdict(package), "sizes": sizes})
    new = home / f".{COMPLETE}"
    new.write_text(json.dumps(asdict(package)))
    store.fsync(new)
    os.replace(new, home / COMPLETE)
    store.fsync(home)
    return package


def waiting(source: str) -> list[Package]:
    """The complete packages that wait for their adoption, oldest first."""
    packages = []
    for path in sorted(folder(source).glob(f"*/{COMPLETE}")):
        package = Package(**json.loads(path.read_text()))
        if all(
            (path.parent / name).is_file() and (path.parent / name).stat().st_size == size
            for name, size in package.sizes.items()
        ):
            packages.append(package)
    return packages


def sweep(source: str, keep: str = "") -> None:
    """Remove the folders of all packages but one. Needs the lock."""
    for path in folder(source).glob("*/"):
        if path.name != keep:
            shutil.rmtree(path, ignore_errors=True)
