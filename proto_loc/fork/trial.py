"""Parses the dbt project as it would be, before anything of it is changed."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from proto_loc.dbt import program
from proto_loc.dbt.failures import BuildFailed

IGNORED = shutil.ignore_patterns("target", "logs", "__pycache__")


def parse_without(names: Iterable[str], root: Path) -> None:
    """Parse a copy of the project without these files.

    Args:
        names: paths from the root of the repository.

    Raises:
        BuildFailed: what stays does not parse; dbt's message names the file.
    """
    with tempfile.TemporaryDirectory(prefix="loc-trial-") as folder:
        copy = Path(folder)
        shutil.copytree(root / "dbt", copy / "dbt", ignore=IGNORED)
        for name in names:
            if name.startswith("dbt/"):
                (copy / name).unlink()
        parse(copy, root, "Your own files stay, and they read what would go. Nothing was removed.")


def parse(copy: Path, root: Path, consequence: str) -> dict:
    """Parse the dbt project in the folder ``dbt/`` of a copy; return its manifest.

    Raises:
        BuildFailed: it does not parse; ``consequence`` follows dbt's message.
    """
    (copy / "proto_loc").symlink_to(root / "proto_loc")  # the macros of the platform
    variables = program.environment(
        "prod",
        DBT_PROJECT_DIR=str(copy / "dbt"),
        DBT_PROFILES_DIR=str(copy / "dbt"),
        DBT_TARGET_PATH=str(copy / "target"),
        DBT_LOG_PATH=str(copy / "logs"),
        LOC_VERDICTS="",  # the models of the present project may be gone
    )
    command = [program.DBT, "--quiet", "--no-use-colors", "parse", "--target", "prod"]
    done = subprocess.run(command, cwd=copy, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise BuildFailed(
            "The dbt project would not parse.",
            (done.stdout + done.stderr).strip(),
            f"{consequence} Mend that file, then run it again.",
        )
    return json.loads((copy / "target/manifest.json").read_text())
