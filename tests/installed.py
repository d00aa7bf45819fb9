"""Finds installed environments."""

import os
import subprocess
from pathlib import Path

import pytest

from proto_loc.settings import ROOT
from proto_loc.setup import installs

OF_TRINO = ("trino", "trino-client")
"""Environments that nothing but ``LOC_ENGINE=trino`` brings."""


def environment_folder(name: str) -> Path:
    """The folder of an environment; the test is skipped if it is not installed.

    Those of Trino are installed now: most of their packages are those of other environments.
    """
    if name in OF_TRINO:
        online = {key: value for key, value in os.environ.items() if key != "UV_OFFLINE"}
        subprocess.run([ROOT / "loc", "--sync", name], env=online, check=True)
    if not installs.is_installed(name):
        pytest.skip(f".venvs/{name} is not installed: ./loc setup {name}")
    return ROOT / ".venvs" / name
