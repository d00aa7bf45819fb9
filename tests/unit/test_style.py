"""The Python of the repository is linted and formatted."""

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


def test_no_test_imports_conftest_which_is_another_one_where_several_suites_run():
    """All of them have the one module name, and the last that pytest has loaded wins."""
    found = [path.name for path in (ROOT / "tests").rglob("*.py") if "\nfrom conftest " in path.read_text()]
    assert found == []
