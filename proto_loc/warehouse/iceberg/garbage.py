"""Removes the files of tables that no branch and no tag of Nessie holds any more."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from proto_loc.settings import settings
from proto_loc.trino import places
from proto_loc.warehouse.iceberg import nessie


def collect() -> list[Path]:
    """Remove the folders of tables that nothing refers to; needs the writer's lock.

    A table that is built anew gets a folder of its own, so a pruned version's tables go whole.
    Files that an incremental model has replaced within its table stay as long as the table. In an
    object store nothing is removed: that is for Nessie's own tool; see docs/scale.md.

    Returns:
        The folders that were removed.
    """
    if settings().iceberg_warehouse:
        return []
    root = places.local_root()
    used = {
        root / table.folder
        for reference in nessie.references()
        for table in nessie.tables(reference.name)
    }
    home = root / urlsplit(places.warehouse()).path.lstrip("/")
    gone = [folder for folder in sorted(home.glob("*/*")) if folder.is_dir() and folder not in used]
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    for schema in home.glob("*"):
        if schema.is_dir() and not any(schema.iterdir()):
            schema.rmdir()
    return gone
