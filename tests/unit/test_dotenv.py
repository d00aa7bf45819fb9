"""Tests of ``.env``: it is optional, the environment overrides it, bad lines are named."""

import os
import shutil
import subprocess

import pytest

from proto_loc import dotenv
from proto_loc.errors import UsageError
from proto_loc.settings import ROOT


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {"GIVEN": "by the environment"})
    return tmp_path / ".env"


def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def test_none_is_fine(file):
    dotenv.load(file)
    assert environ() == {"GIVEN": "by the environment"}


def test_the_environment_wins(file):
    file.write_text(
        "# ports\nGIVEN=by the file\n\nLOC_PORT_PREFIX=1\nexport QUOTED='a b' # why\nEMPTY=\n"
    )
    dotenv.load(file)
    assert environ() == {
        "GIVEN": "by the environment",
        "LOC_PORT_PREFIX": "1",
        "QUOTED": "a b",
        "EMPTY": "",
    }


def test_a_fork_s_own_ports_come_after_those_of_the_clone(file):
    """process-compose reads its own options from the same file, which git tracks."""
    file.write_text("LOC_CUBE_PORT=4100\n")
    text = "# ports\nPC_LOG_FILE=x\nLOC_CUBE_PORT=4200\nLOC_DAGSTER_PORT=3200\n"
    file.with_name(".pc_env").write_text(text)
    dotenv.load(file)
    assert environ() == {
        "GIVEN": "by the environment",
        "LOC_CUBE_PORT": "4100",
        "LOC_DAGSTER_PORT": "3200",
    }


@pytest.mark.parametrize(
    "line", ["LOC_PORT_PREFIX", "LOC_PORT_PREFIX: 1", "A='never closed", "=1", "two words=1"]
)
def test_a_bad_line_is_named_and_nothing_is_set(file, line):
    file.write_text(f"GOOD=1\n# a comment\n{line}\n")
    with pytest.raises(UsageError) as refused:
        dotenv.load(file)
    assert f"{file}, line 3" in str(refused.value) and line in str(refused.value)
    assert "GOOD" not in os.environ


@pytest.mark.parametrize("command", [["status"], ["exec", "setup"]], ids=" ".join)
def test_a_command_and_a_service_refuse_it_too(tmp_path, command):
    """The test has its own clone, because the file is beside the launcher."""
    skipped = shutil.ignore_patterns("node_modules", "__pycache__")
    shutil.copytree(ROOT / "proto_loc", tmp_path / "proto_loc", ignore=skipped)
    shutil.copytree(ROOT / "locks", tmp_path / "locks")
    for name in ("loc", "golden.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".env").write_text("LOC_RUN\n")
    (tmp_path / ".venvs").mkdir()
    (tmp_path / ".venvs/platform").symlink_to(ROOT / ".venvs/platform")
    python, package = tmp_path / ".venvs/platform/bin/python", tmp_path / "proto_loc"
    start = ["-I", "-S", package / "services/launch.py", command[-1]]
    line = [python, *(start if command[0] == "exec" else ["-P", "-m", "proto_loc.cli", *command])]
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path}/.env, line 1: this is not a setting.\n")


def test_a_file_that_is_no_text_is_named(file):
    file.write_bytes(b"A=\xff\n")
    with pytest.raises(UsageError, match=rf"{file} cannot be read"):
        dotenv.load(file)
