"""Finds the archives that an incremental one needs, in its own folder and by their ids."""

from pathlib import Path

from proto_loc.backup.archive import MAGIC, read_manifest
from proto_loc.backup.manifest import ArchiveRefused, Manifest


def find(path: Path) -> tuple[Manifest, dict[str, Path]]:
    """The manifest of an archive, and by id the path of each archive that it needs.

    The ones that it is based on are found in its folder, also if they have another name by now.

    Raises:
        ArchiveRefused: one is missing, damaged or foreign.
    """
    manifest = read_manifest(path)
    archives = {manifest.id: path}
    for base in manifest.bases:
        first = path.with_name(base.name)
        others = (other for other in sorted(path.parent.iterdir()) if other not in (path, first))
        for other in (first, *others):
            if _id(other) == base.id:
                archives[base.id] = other
                break
        else:
            raise ArchiveRefused(
                f"{path} cannot be restored alone.",
                f"It is incremental and needs {base.name}, which is not in {path.parent}, or is"
                " damaged.",
                "Put that archive beside it. Nothing was changed.",
            )
    return manifest, archives


def _id(path: Path) -> str:
    """The id of an archive; empty if the file is none, or is not whole."""
    try:
        if not path.is_file():
            return ""  # a pipe would be waited for
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                return ""
        return read_manifest(path).id
    except (OSError, ArchiveRefused):
        return ""
