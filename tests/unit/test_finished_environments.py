"""Tests of ``LOC_ENVIRONMENTS``: environments from a folder that nothing is written to."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from proto_loc.doctor import clone
from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.setup import environments, node


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A folder with this clone's environment ``platform``, as a package of Nix has it.

    Its Python imports no ``proto_loc`` by itself.
    """
    venv, folder = ROOT / ".venvs/platform", tmp_path / "finished"
    site = "lib/python3.11/site-packages"
    (folder / "platform" / site).mkdir(parents=True)
    for path in [*venv.iterdir(), *(venv / site).iterdir()]:
        target = folder / "platform" / path.relative_to(venv)
        if path.name not in (".stamp", "loc-clone.pth") and not target.exists():
            target.symlink_to(path)
    sums, _, rest = (venv / ".stamp").read_text().partition(f" {ROOT}\n")
    (folder / "platform/.stamp").write_text(f"{sums} /store/platform\n{rest}")
    return folder


def loc(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [cwd / "loc", *arguments]
    return subprocess.run(command, cwd=cwd, env=kept | env, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files of this clone that the command line needs, without environments and tools."""
    folder = tmp_path / "a project"
    for name in ("loc", "golden.toml", "pyproject.toml", "fork.toml"):
        folder.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder)
    for name in ("proto_loc", "locks"):
        ignored = shutil.ignore_patterns("node_modules", "__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


def test_commands_run_and_publish_and_nothing_is_installed(finished: Path, project: Path):
    """Bug: the child that finishes a version found `proto_loc` by a file in the environment."""
    code = (
        "from proto_loc import warehouse\n"
        "with warehouse.write('prod', who='test') as session:\n"
        "    with session.connect() as con:\n"
        "        con.execute('create schema marts; create table marts.a as select 1 as b')\n"
        "print(warehouse.__file__)"
    )
    done = loc("setup", "platform", cwd=project, LOC_ENVIRONMENTS=str(finished))
    assert (done.returncode, done.stdout) == (0, f"ready: {finished}/platform\n"), done.stderr
    env = {"LOC_ENVIRONMENTS": "../finished", "LOC_DATA": f"{project}/data"}
    assert loc("db", "list", cwd=project, **env).returncode == 0, "a folder from here"
    python = subprocess.run(
        [finished / "platform/bin/python", "-P", "-c", code],
        env=env | {"PYTHONPATH": str(project), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert python.stdout == f"{project}/proto_loc/warehouse/__init__.py\n", python.stderr
    made = {path.name for path in project.iterdir()}
    assert not {".venvs", ".tools"} & made and "data" in made


@pytest.mark.parametrize(
    "change, what",
    [
        (lambda _, project: (project / "locks/platform.txt").write_text("x"), "is not made from"),
        (lambda finished, _: (finished / "platform/.stamp").unlink(), "is not made from"),
        (lambda finished, _: shutil.rmtree(finished / "platform"), "There is no environment"),
    ],
    ids=["another lock", "no stamp", "no environment"],
)
def test_an_environment_of_other_locks_is_refused(finished: Path, project: Path, change, what: str):
    change(finished, project)
    done = loc("db", "list", cwd=project, LOC_ENVIRONMENTS=str(finished))
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and what in done.stderr
    assert "LOC_ENVIRONMENTS is set, so nothing is installed." in done.stderr
    assert "fix: " in done.stderr and not (project / ".venvs").exists()


@pytest.fixture
def linked(finished: Path, project: Path) -> Path:
    """A project folder of ``nix run``, with the link to its environments."""
    (project / ".environments").symlink_to(finished)
    (project / ".source.json").touch()
    return project


def test_the_launcher_takes_the_linked_environments(linked: Path):
    """Bug: only the program of Nix knew the link, and `./loc doctor` installed from PyPI."""
    done = loc("setup", "platform", cwd=linked)
    link = linked / ".environments"
    assert (done.returncode, done.stdout) == (0, "ready: .environments/platform\n"), done.stderr
    (linked / "locks/platform.txt").write_text("x")
    done = loc("setup", "platform", cwd=linked)
    assert done.returncode == 1 and "Its .stamp names other checksums" in done.stderr
    assert "fix: Start 'nix run'" in done.stderr and "nset LOC_ENV" not in done.stderr
    link.unlink()
    done = loc("setup", "platform", cwd=linked)
    assert f"There is no environment 'platform' in {link}." in done.stderr
    assert not (linked / ".venvs").exists()


def test_a_clone_with_other_locks_than_the_link_installs(linked: Path):
    """The link is of an earlier `nix run`. A file where .venvs must be stops the installation."""
    (linked / ".git").mkdir()
    assert loc("setup", "platform", cwd=linked).stdout == "ready: .environments/platform\n"
    inherited = {"LOC_ENVIRONMENTS": f"{linked}/.environments"}  # that of a running stack
    (linked / "locks/superset.txt").write_text("x")
    said = loc("--sync", "superset", cwd=linked, **inherited).stderr
    assert f"fix: Let set-up install from the locks: ./loc down; rm '{linked}/.env" in said
    (linked / "locks/platform.txt").write_text("x")
    (linked / ".venvs").touch()
    done = loc("--sync", "platform", cwd=linked)
    assert done.stderr.startswith(f"error: Cannot write to {linked}/.venvs.")
    assert "LOC_ENVIRONMENTS" not in done.stderr


@pytest.mark.parametrize("place", ["project folder", "clone"])
def test_no_advice_names_a_variable_that_nobody_has_set(monkeypatch, tmp_path, place: str):
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setenv("LOC_ENVIRONMENTS", f"{tmp_path}/.environments")
    (tmp_path / (".source.json" if place == "project folder" else ".git")).touch()
    words = " ".join(environments.remedy())
    assert "LOC_ENVIRONMENTS" not in words
    assert ("nix run" in words) == (place == "project folder")
    monkeypatch.setenv("LOC_ENVIRONMENTS", "/elsewhere")
    assert "unset LOC_ENVIRONMENTS" in environments.remedy()[1]


def test_the_doctor_names_an_environment_of_other_locks(finished: Path, monkeypatch):
    monkeypatch.setenv("LOC_ENVIRONMENTS", str(finished))
    first, superset, *_ = clone.environments()
    assert (first.status, superset.status) == ("ok", "fail")
    assert superset.what == f"{finished}/superset does not match its lock."
    assert [finding.status for finding in clone.uv()] == ["ok"]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with finished packages of Cube, those of this clone."""
    folder = tmp_path / "finished/cube"
    folder.mkdir(parents=True)
    (folder / "node_modules").symlink_to(ROOT / "proto_loc/cube/server/node_modules")
    for name, value in {
        "FINISHED": folder, "MODULES": folder / "node_modules",
        "STAMP": folder / "stamp", "ADDON": folder / "node_modules/index.node",
    }.items():  # fmt: skip
        monkeypatch.setattr(node, name, value)
    lock = (node.CUBE / "package-lock.json").read_bytes()
    node.STAMP.write_text(f"{hashlib.sha256(lock).hexdigest()} v24.19.0 linux-x86_64")
    return folder


def test_packages_of_cube_are_compared_with_the_lock(packages: Path, monkeypatch):
    node.install()
    monkeypatch.setenv("LOC_CUBE_NATIVE", "required")
    with pytest.raises(LocError, match="native addon is missing"):
        node.install()
    node.STAMP.write_text("another v24.19.0\n")
    with pytest.raises(LocError, match="is not made from the lock of"):
        node.install()
    (packages / "node_modules").unlink()
    with pytest.raises(LocError, match=r"There is no .*finished/cube/node_modules"):
        node.install()


def test_the_server_of_cube_takes_its_packages_from_there(packages: Path, tmp_path: Path):
    """Packages beside the server, from an earlier installation, are not used."""
    platform = tmp_path / "a project/proto_loc"
    ignored = shutil.ignore_patterns("node_modules")
    shutil.copytree(ROOT / "proto_loc/cube/server", platform / "cube/server", ignore=ignored)
    shutil.copytree(ROOT / "proto_loc/standins", platform / "standins")
    stale = platform / "cube/server/node_modules/yaml/index.js"
    stale.parent.mkdir(parents=True)
    stale.write_text("throw new Error('a stale package is loaded')")
    model = tmp_path / "model"
    model.mkdir()
    (model / "a.yml").write_text("cubes:\n  - name: a\n    sql_table: marts.a\n    measure: []\n")
    server = platform / "cube/server"
    done = subprocess.run(
        [node.program(), "--require", server / "lib/modules.js", server / "check.js", model],
        env={**os.environ, **node.variables(), "CUBE_NATIVE": "off"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "measure" in done.stdout, done.stderr
    assert done.stderr == ""
