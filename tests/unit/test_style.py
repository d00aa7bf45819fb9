"""The Python and the shell of the repository pass their linters, and no file names where packages came from."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proto_loc.settings import ROOT

RUFF = Path(sys.executable).parent / "ruff"


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_is_content(command):
    done = subprocess.run([RUFF, *command, "--no-cache", "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_shellcheck_is_content():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not on PATH (apt-get install shellcheck)")
    done = subprocess.run(["shellcheck", "loc", ".ci/run"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
