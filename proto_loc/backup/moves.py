"""Puts unpacked files in place by renames that a kill may interrupt and another start finishes."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from proto_loc import files
from proto_loc.backup import databases, workspace
from proto_loc.settings import private_folder
from proto_loc.warehouse import store


@dataclass(frozen=True)
class Move:
    """One rename: a file or folder to its place, and what was there to a folder beside."""

    source: str
    target: str
    aside: str

    def make(self) -> None:
        """Make the move, or what is left of it; a second call does nothing.

        Raises:
            OSError: a folder cannot be written.
        """
        if not os.path.lexists(self.source):
            return  # it was made
        target = Path(self.target)
        if os.path.lexists(target):
            private_folder(Path(self.aside).parent)
            os.rename(target, self.aside)
            store.fsync(Path(self.aside).parent)
        private_folder(target.parent)
        os.rename(self.source, target)
        store.fsync(target.parent)


def begin(moves: Iterable[Move], dump: Path | None) -> None:
    """Write down what is to be put in place, from where :func:`finish` continues.

    Args:
        dump: Superset's metadata for PostgreSQL, which replaces its database first.

    Raises:
        OSError: the disk is full; nothing was moved.
    """
    content = {"dump": str(dump or ""), "moves": [asdict(move) for move in moves]}
    path = workspace.journal()
    files.replace(path, json.dumps(content, indent=1) + "\n", private=True)
    store.fsync(path)
    store.fsync(path.parent)


def finish() -> None:
    """Make every move that is written down, then forget them.

    Raises:
        LocError: PostgreSQL refuses; nothing was moved, and what was written down is forgotten.
        OSError: a folder cannot be written; a later call continues.
    """
    content = json.loads(workspace.journal().read_text())
    if content["dump"] and Path(content["dump"]).exists():
        databases.restore_postgresql(Path(content["dump"]))
        Path(content["dump"]).unlink()
    for move in content["moves"]:
        Move(**move).make()
    workspace.journal().unlink()
    store.fsync(workspace.folder())


def replaced(moves: Iterable[Move]) -> list[str]:
    """What the moves would set aside."""
    return [move.target for move in moves if os.path.lexists(move.target)]
