"""The shipped notebooks run on the real services, and git contains none of their output."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from proto_loc import services
from proto_loc.settings import ROOT

pytestmark = pytest.mark.xdist_group("notebooks")

NOTEBOOKS = sorted(
    ROOT / path
    for path in subprocess.run(
        ["git", "ls-files", "notebooks/*.ipynb"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
)
PYTHON = ROOT / ".venvs/notebooks/bin/python"


def run(notebook: Path, folder: Path, **variables: str) -> tuple[subprocess.CompletedProcess, dict]:
    """Run a notebook with nbmake in the environment of the service; return the notebook afterwards
    too.
    """
    copy = folder / notebook.name
    copy.write_bytes(notebook.read_bytes())
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [
        "-m",
        "pytest",
        "--nbmake",
        "--overwrite",
        "--nbmake-timeout=120",
        "-q",
        "-p",
        "no:cacheprovider",
        copy,
    ]
    _, env = services.start("jupyter")
    env.pop("PYTEST_ADDOPTS", None)  # it is for the outer test run, such as --no-skips
    done = subprocess.run(
        [PYTHON, *command], cwd=folder, env=env | variables, capture_output=True, text=True
    )
    return done, json.loads(copy.read_text())


def shown(notebook: dict) -> str:
    """Return the outputs of all cells as text."""
    return json.dumps([cell.get("outputs", []) for cell in notebook["cells"]])


def test_the_four_that_the_documentation_names_are_there():
    assert {path.stem for path in NOTEBOOKS} >= {
        "start_here", "explore_trips", "ask_your_data", "validate_the_platform",
    }  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_top_to_bottom(notebook, platform, cube, superset, tmp_path):
    done, found = run(notebook, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    kinds = {
        kind
        for cell in found["cells"]
        for out in cell.get("outputs", [])
        for kind in out.get("data", {})
    }
    assert not kinds & {"application/javascript"}, "nothing is a program that a page would load"
    for address in ("cdn.", "unpkg.", "jsdelivr"):
        assert address not in shown(found)


@pytest.mark.slow
def test_it_runs_by_nbconvert_and_papermill_from_any_folder(platform, tmp_path):
    """Bug: outside of the service, proto_loc could not be imported, and SQL cells did not work."""
    known = ("PATH", "LANG", "LOC_DATA", "LOC_RUN", "LOC_PORT_PREFIX")
    env = {name: os.environ[name] for name in known if name in os.environ} | {"HOME": str(tmp_path)}
    shipped, made = ROOT / "notebooks/explore_trips.ipynb", tmp_path / "made.ipynb"
    command = [
        PYTHON.parent / "jupyter-nbconvert",
        "--to",
        "notebook",
        "--execute",
        "--output",
        made,
        shipped,
    ]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "image/png" in shown(json.loads(made.read_text()))
    assert (platform / "run/jupyter/ipc-nbconvert").is_dir(), (
        "its kernel was talked to by Unix sockets there"
    )
    assert list((platform / "run/jupyter/ipc-nbconvert").iterdir()) == []
    own = {
        "cell_type": "code",
        "metadata": {},
        "source": "%%sql\nselect 6 * 7 as answer",
        "outputs": [],
        "id": "a",
    }
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": about,
        "cells": [own | {"execution_count": None}],
    }
    (tmp_path / "own.ipynb").write_text(json.dumps(notebook))
    command = [PYTHON.parent / "papermill", "own.ipynb", "done.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "42" in shown(json.loads((tmp_path / "done.ipynb").read_text()))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_git_holds_no_output_of_it(notebook):
    found = json.loads(notebook.read_text())
    assert [
        cell["id"] for cell in found["cells"] if cell.get("outputs") or cell.get("execution_count")
    ] == []
    assert found["metadata"]["kernelspec"]["name"] == "python3"


def test_without_a_model_the_question_notebook_says_the_one_sentence_once_and_goes_on(
    platform, cube, tmp_path
):
    done, found = run(ROOT / "notebooks/ask_your_data.ipynb", tmp_path)
    assert done.returncode == 0, done.stdout
    assert shown(found).count("Set LOC_LLM_MODEL to a model") == 1


def test_the_validation_fails_where_a_service_is_down_and_says_how_to_start_it(
    platform, port_prefix, tmp_path
):
    done, _ = run(
        ROOT / "notebooks/validate_the_platform.ipynb", tmp_path, LOC_PORT_PREFIX=port_prefix
    )
    assert done.returncode == 1, done.stdout
    assert "does not answer" in done.stdout and "./loc up -d --only" in done.stdout


def test_the_validation_fails_where_a_figure_differs(platform, cube, superset, tmp_path):
    """This is the control of the test above: the same notebook with a figure of one dollar more."""
    changed = json.loads((ROOT / "notebooks/validate_the_platform.ipynb").read_text())
    for cell in changed["cells"]:
        if cell["id"] == "semantic-cell":
            cell["source"] = "".join(cell["source"]).replace(
                "sum(total_amount)", "sum(total_amount) + 1"
            )
    copy = tmp_path / "changed" / "validate.ipynb"
    copy.parent.mkdir()
    copy.write_text(json.dumps(changed))
    done, _ = run(copy, tmp_path)
    assert done.returncode == 1 and "AssertionError" in done.stdout
