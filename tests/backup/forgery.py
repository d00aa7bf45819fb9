"""Makes archives, also forged ones, and checks that a restore refuses them."""

from hashlib import sha256
from pathlib import Path

import pytest

from proto_loc.backup import archive, make, restore
from proto_loc.backup.make import Wish
from proto_loc.backup.manifest import Entry, Manifest
from proto_loc.backup.plan import Terms
from proto_loc.errors import LocError


def backup(target: Path, wish: Wish = Wish()):  # noqa: B008
    return make.backup(target, wish, who="test")


def refused(path: Path, place, reason: str, *, terms: Terms | None = None) -> None:
    """A restore is refused with that reason, and nothing is left or changed."""
    before = place.files()
    with pytest.raises(LocError, match=reason):
        restore.restore(path, terms or Terms())
    assert place.files() == before and place.leftovers() == []


def forge(path: Path, entries: list[Entry], contents: list[bytes], **fields) -> Path:
    """Write an archive with a right checksum of whatever is in it."""
    values = {
        "platform": "x", "fork": "shop", "made_at": "2026-01-01T00:00:00+00:00",
        "git_revision": None, "releases": make.releases(), "current": {},
    }  # fmt: skip
    made = Manifest(**values | fields, files=tuple(entries)).seal()
    with path.open("wb") as file:
        writer = archive.Writer(file, made)
        for number, content in enumerate(contents):
            (path.parent / "content").write_bytes(content)
            writer.add(entries[number], path.parent / "content")
        writer.close()
    return path


def entry(name: str, content: bytes = b"x") -> Entry:
    return Entry(name, len(content), sha256(content).hexdigest())
