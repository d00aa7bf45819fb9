"""Tests of the project folder, which a platform has that runs outside of a clone."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.setup import project


def version(folder: Path, **files: str) -> Path:
    """Write the files of a version, read only as in the store; ``loc`` can be executed."""
    for name, text in {"loc": "#!/bin/sh\n", **files}.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o555 if name == "loc" else 0o444)
    return folder


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return version(tmp_path / "one", a="1", b="1", dbt__c="1", gone__d="1")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return version(tmp_path / "two", a="2", b="1", dbt__c="2", new__e="2")


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    (tmp_path / "environments").mkdir()
    return tmp_path / "environments"


@pytest.fixture
def folder(one: Path, environments: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "home/my project"
    assert str(folder) in project.provide(one, folder, environments)
    return folder


def texts(folder: Path) -> dict[str, str]:
    """The files of a project folder, without its record and its link."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def test_it_is_made_writable_and_a_second_start_changes_nothing(folder, one, environments):
    assert texts(folder) == texts(one)
    assert os.access(folder / "loc", os.X_OK) and (folder / "a").stat().st_mode & 0o200
    assert (folder / ".environments").resolve() == environments
    (folder / "a").write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert project.provide(one, folder, environments) == f"the project folder is {folder}"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_version_replaces_what_nobody_has_changed(folder, two, environments):
    (folder / "b").write_text("mine")
    (folder / "data").mkdir()
    (folder / "data/warehouse").write_text("data")
    sentence = project.provide(two, folder, environments)
    assert sentence.endswith("3 files replaced, 1 removed; yours stay: b")
    assert texts(folder) == texts(two) | {"b": "mine", "data/warehouse": "data"}
    assert not (folder / "gone").exists()


@pytest.mark.parametrize(
    "change, name",
    [
        (lambda folder: (folder / "a").write_text("mine"), "a"),
        (lambda folder: version(folder, new__e="mine"), "new/e"),
    ],
    ids=["both changed it", "both added it"],
)
def test_a_version_replaces_nothing_that_a_person_has_changed(
    folder, one, two, environments, change, name: str
):
    change(folder)
    before = texts(folder)
    with pytest.raises(LocError, match="cannot move to this version") as refused:
        project.provide(two, folder, environments)
    assert refused.value.why.endswith(f"changed: {name}.") and texts(folder) == before
    assert project.read(folder)["source"] == str(one), "so the version that it has still runs"
    _, *commands = refused.value.fix.splitlines()
    subprocess.run(["sh", "-ec", "\n".join(commands)], check=True)
    assert "moved the project folder" in project.provide(two, folder, environments)
    assert texts(folder) == texts(two) and os.access(folder / name, os.W_OK)


def test_what_a_person_has_removed_stays_away_and_is_not_in_the_way(folder, one, two, environments):
    """Bug: after a removed file, as of the demonstration, no version was accepted any more."""
    (folder / "dbt/c").unlink()
    (folder / "b").unlink()
    sentence = project.provide(two, folder, environments)
    assert sentence.endswith("2 files replaced, 1 removed; 2 that you removed stay away")
    assert texts(folder).keys() == texts(two).keys() - {"b", "dbt/c"}
    project.provide(one, folder, environments)
    assert texts(folder).keys() == texts(one).keys() - {"b", "dbt/c"}, "not later, either"


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_running_stack_keeps_its_version(
    folder, one, two, environments, tmp_path, monkeypatch, place: str
):
    """The run folder's path is longer than a socket's address can be."""
    run = tmp_path / ("long" * 30)
    run.mkdir()
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})
    if place == "environment":
        os.environ["LOC_RUN"] = str(run)
    else:
        (folder / ".env").write_text(f"LOC_RUN='{run}'\n")
    monkeypatch.chdir(run)
    with socket.socket(socket.AF_UNIX) as supervisor:
        supervisor.bind(project.SOCKET)
        supervisor.listen()
        assert "while its services are up" in project.provide(two, folder, environments)
        assert texts(folder) == texts(one)
    assert "moved the project folder" in project.provide(two, folder, environments)
    assert texts(folder) == texts(two)


def test_a_copy_that_was_interrupted_goes_on(folder, one, environments):
    (folder / project.RECORD).write_text(json.dumps({"source": "", "files": {}}))
    (folder / "b").unlink()
    project.provide(one, folder, environments)
    assert texts(folder) == texts(one)


def test_environments_that_are_not_those_of_the_version_are_linked_again(
    folder, one, environments, tmp_path
):
    (folder / project.ENVIRONMENTS).unlink()
    (folder / project.ENVIRONMENTS).symlink_to(tmp_path)
    project.provide(one, folder, environments)
    assert (folder / project.ENVIRONMENTS).resolve() == environments


def test_a_folder_with_something_else_is_refused_and_an_empty_disk_is_not(
    one, environments, tmp_path
):
    folder = tmp_path / "disk"
    (folder / "lost+found").mkdir(parents=True)
    project.provide(one, folder, environments)
    (folder / project.RECORD).unlink()
    with pytest.raises(LocError, match="is not a project folder"):
        project.provide(one, folder, environments)
    other = tmp_path / "other"
    (other / "mine").mkdir(parents=True)
    with pytest.raises(LocError, match="is not a project folder"):
        project.provide(one, other, environments)
    assert [path.name for path in other.iterdir()] == ["mine"], "nothing is written there"


def start(*arguments: Path) -> subprocess.Popen:
    command = [sys.executable, "-P", "-m", "proto_loc.setup.project", *arguments]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.Popen(
        command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_two_starts_at_once_make_one_folder(environments, tmp_path):
    """Bug: `docker run --detach` and `docker exec` took each other's half-made files away."""
    source = version(tmp_path / "many", **{f"dbt__{number}": "1" for number in range(500)})
    folder = tmp_path / "project"
    starts = [start(source, folder, environments) for _ in range(2)]
    said = sorted(process.communicate()[1] for process in starts)
    assert [process.returncode for process in starts] == [0, 0], said
    assert said[0].startswith(f"loc: made the project folder {folder}: ")
    assert said[1] == f"loc: the project folder is {folder}\n"
    assert texts(folder) == texts(source)


def test_the_program_says_where_the_folder_is_or_why_there_is_none(one, environments, tmp_path):
    def run(folder: Path) -> subprocess.CompletedProcess:
        process = start(one, folder, environments)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    done = run(tmp_path / "a")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"loc: made the project folder {tmp_path}/a: ")
    done = run(one / "a/below")
    assert done.returncode == 1 and done.stderr.startswith(
        f"error: Cannot make the project folder {one}/a/below."
    )
