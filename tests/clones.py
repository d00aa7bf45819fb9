"""Temporary clones with parts of the repository, for tests that change files."""

import shutil
import sys
from pathlib import Path

from proto_loc.settings import ROOT


def borrowing_clone(folder: Path, *names: str) -> None:
    """Copy these files and folders into a folder; link it to this clone's tools and environment."""
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name,
                folder / name,
                ignore=shutil.ignore_patterns("__pycache__", "node_modules"),
            )
        else:
            shutil.copy(ROOT / name, folder / name)
    if (ROOT / ".tools").exists():
        (folder / ".tools").symlink_to(ROOT / ".tools")
    python = folder / ".venvs/platform/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
