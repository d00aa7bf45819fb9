"""Finds tracked notebooks that were saved with their output."""

import json
from pathlib import Path

from proto_loc.errors import UsageError
from proto_loc.fork.repository import Repository

CLEAR = ".venvs/notebooks/bin/jupyter-nbconvert --clear-output --inplace"
"""A command that removes the output of the notebooks that follow."""


def with_output(root: Path) -> list[str]:
    """Return the tracked notebooks that hold output or counts of runs.

    JupyterLab saves them without; another editor may not.

    Raises:
        UsageError: a notebook is not JSON; the message names it.
    """
    listing = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = Repository(root).paths(*listing, "--", "notebooks/*.ipynb")
    return sorted({name for name in names if (root / name).exists() and _has_output(root / name)})


def _has_output(path: Path) -> bool:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no notebook.", f"It cannot be read: {error}.", "Mend or remove it."
        ) from error
