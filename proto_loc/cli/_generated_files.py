"""The files that ``loc generate`` makes: their text, and how the files on disk differ."""

import difflib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from proto_loc import files
from proto_loc.cube import projection
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.metrics.errors import MetricError
from proto_loc.metrics.text import MARK
from proto_loc.superset import datasets

PROJECTIONS: list[tuple[str, str, Callable[[SemanticModel], str]]] = [
    ("cube/model/generated", ".yml", projection.project),
    ("superset/bundle/datasets", ".yaml", datasets.project),
]
"""Folder below the clone's root, suffix, and the function that makes the text of a file."""


def wanted(models: list[SemanticModel]) -> dict[str, str]:
    """Make the text of each generated file, by its path from the root of the clone."""
    return {
        f"{folder}/{model.name}{suffix}": project(model)
        for folder, suffix, project in PROJECTIONS
        for model in models
    }


def present(root: Path) -> dict[str, str]:
    """Read the generated files on disk, without the hand-written files beside them."""
    files = {}
    for folder, suffix, _ in PROJECTIONS:
        for path in sorted((root / folder).glob(f"*{suffix}")):
            text = path.read_text()
            if text.startswith(MARK):
                files[f"{folder}/{path.name}"] = text
    return files


def drift(root: Path, models: list[SemanticModel]) -> str:
    """Return a unified diff from the files on disk to the expected text; empty if they agree."""
    before, after = present(root), wanted(models)
    return "".join(
        line
        for path in sorted(before | after)
        for line in difflib.unified_diff(
            before.get(path, "").splitlines(keepends=True),
            after.get(path, "").splitlines(keepends=True),
            f"{path}, as it is" if path in before else "/dev/null",
            f"{path}, as dbt defines it" if path in after else "/dev/null",
        )
    )


@contextmanager
def cube_model(root: Path, models: list[SemanticModel]) -> Iterator[Path]:
    """Make a copy of Cube's model as :func:`write` would leave it, with hand-written files."""
    home = "cube/model/"
    with tempfile.TemporaryDirectory(prefix="loc-cube-model-") as folder:
        copy = Path(folder, "model")
        copy.mkdir()
        if (root / home).exists():  # git keeps no empty folder
            shutil.copytree(root / home, copy, dirs_exist_ok=True)
        for path in present(root):
            if path.startswith(home):
                (copy / path.removeprefix(home)).unlink()
        for path, text in wanted(models).items():
            if path.startswith(home):
                (copy / path.removeprefix(home)).parent.mkdir(parents=True, exist_ok=True)
                (copy / path.removeprefix(home)).write_text(text)
        yield copy


def write(root: Path, models: list[SemanticModel]) -> list[str]:
    """Write the files, remove generated files without a definition; return one line per change.

    Raises:
        MetricError: a hand-written file has the name of a generated one; nothing is written.
    """
    before, after = present(root), wanted(models)
    done = []
    for path in after.keys() - before.keys():
        if (root / path).exists():
            raise MetricError(
                f"{path} was written by hand, and `loc generate` would write it.",
                f"Its first line does not begin with {MARK.strip()!r}.",
                "Move it beside the generated ones under another name, or remove it.",
            )
    for path, text in after.items():
        if before.get(path) != text:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            files.replace(root / path, text)
            done.append(f"{path}: {'changed' if path in before else 'made'}")
    for path in before.keys() - after.keys():
        (root / path).unlink()
        done.append(f"{path}: removed")
    return sorted(done)
