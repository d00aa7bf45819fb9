"""Checks that the parts of a backup belong together: versions, ledger, lake, current links."""

from pathlib import Path

import duckdb

from proto_loc.backup.manifest import ArchiveRefused, Manifest, damaged
from proto_loc.errors import plain
from proto_loc.sql import open_duckdb
from proto_loc.warehouse import ledger, store


def check_warehouse(path: Path, manifest: Manifest, staged: Path) -> None:
    """Check the unpacked versions and their ledgers against the files of the archive.

    Args:
        path: the archive, for messages.

    Raises:
        ArchiveRefused: a version or a file of a ledger is missing or is another one.
    """
    files = {entry.path: entry for entry in manifest.files}
    for database, serving in manifest.current.items():
        home = staged / "data/warehouse" / database / "versions"
        numbers = {int(folder.name) for folder in home.iterdir()} if home.is_dir() else set()
        if serving not in numbers:
            raise damaged(path, f"version {serving} of {database}, the current one, is missing")
        for number in sorted(numbers):
            folder = home / store.dirname(number)
            name = f"data/warehouse/{database}/versions/{store.dirname(number)}"
            try:
                version = store.of_manifest(folder / "manifest.json")
            except store.UNREADABLE as error:
                raise damaged(path, f"the manifest in {name} cannot be used ({error})") from error
            for part, checksum in version.checksums.items():
                if (entry := files.get(f"{name}/{part}")) is None or entry.sha256 != checksum:
                    raise damaged(path, f"{name}/{part} is not what was published")
            _check_database(path, folder / f"{database}.duckdb", database, files)


def _check_database(path: Path, file: Path, database: str, files: dict) -> None:
    try:
        with open_duckdb(file, read_only=True) as con:
            loads = ledger.loads_in(con) if database == "raw" else []
    except duckdb.Error as error:
        raise ArchiveRefused(
            f"{path} cannot be restored.",
            f"{file.name} in it cannot be opened: {plain(error).splitlines()[0]}",
            "Take an earlier backup. Nothing was changed.",
        ) from error
    for load in loads:
        entry = files.get(f"data/lake/{load.file}")
        if entry is None or entry.bytes != load.bytes:
            raise damaged(path, f"the ledger of raw names {load.file}, and it is not there")
        if load.sha256 not in (None, entry.sha256):
            raise damaged(path, f"{load.file} is not what the ledger of raw names")
