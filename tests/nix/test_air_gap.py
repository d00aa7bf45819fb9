"""A machine without a network: the commands of docs/air-gap.md, and the image as a container.

More than a minute, since both start all services. The other machine is a sandbox of bubblewrap:
an empty store, an empty home, no network, and nothing of this repository.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import archives
import pytest
from running import PROBES

from proto_loc.settings import ROOT

pytestmark = [pytest.mark.xdist_group("nix"), pytest.mark.timeout(900)]
PAGE = ROOT / "docs/air-gap.md"
HIDDEN = (ROOT, Path.home() / ".cache", Path.home() / ".npm")
"""Folders from which packages could come unnoticed."""


def commands(section: str) -> str:
    """The commands of a section of the page, as a script that stops at the first failure."""
    part = re.search(rf"^## {section}$(.*?)(^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (script,) = re.findall(r"^```sh\n(.*?)^```$", part[1], re.DOTALL | re.MULTILINE)
    return f"set -euxo pipefail\n{script}"


def run(command: list, script: str, **options) -> str:
    """Run a script in bash; the test fails with its output if it fails."""
    done = subprocess.run(
        [*command, "bash", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


@pytest.fixture(scope="module")
def bwrap() -> list[str]:
    if not (program := shutil.which("bwrap")):
        pytest.skip("bubblewrap is not installed (apt-get install bubblewrap)")
    return [program, "--die-with-parent", "--unshare-net", "--unshare-pid", "--unshare-ipc"]


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings for the stand-in of process-compose, which needs this repository."""
    _, real = archives.process_compose(tmp_path_factory.mktemp("release"))
    return {} if real else {"LOC_COMPOSE": "runner"}


@pytest.fixture
def outside(nix, prepared, tmp_path: Path) -> dict[str, str]:
    """The environment of the machine with a network: `nix` uses the stand-in for nixpkgs."""
    program = tmp_path / "bin/nix"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {nix.program} "$@" {" ".join(prepared)}\n')
    program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOC_")}
    return kept | nix.environment | {"PATH": f"{program.parent}:{os.environ['PATH']}"}


@pytest.fixture
def inside(nix, bwrap, tmp_path: Path) -> list:
    """The other machine; its folders of Nix are empty."""
    folders = Path(nix.environment["NIX_STORE_DIR"]).parent
    empty = tmp_path / "other nix"
    empty.mkdir()
    hidden = [word for path in HIDDEN if path.exists() for word in ("--tmpfs", path)]
    return [*bwrap, "--dev-bind", "/", "/", "--bind", empty, folders, *hidden, "--proc", "/proc"]


def published(project: Path) -> list[dict]:
    """The manifests of the versions of prod, oldest first."""
    folder = project / "data/warehouse/prod/versions"
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/manifest.json"))]


def assert_ready(text: str) -> None:
    """Check what ``loc status --json`` has said: every service is ready."""
    states = {state["name"]: state["verdict"] for state in json.loads(text)["services"]}
    once = dict.fromkeys(("setup", "first-load", "superset-provision"), "done")
    assert states == dict.fromkeys(PROBES, "ready") | once


@pytest.mark.slow
def test_a_packed_platform_publishes_data_on_a_machine_without_a_network(
    nix, own_clone: Path, outside, inside, supervisor, tmp_path: Path
):
    run([], commands("Pack"), cwd=own_clone, env=outside)
    carried = tmp_path / "a stick"
    carried.mkdir()
    for path in (own_clone / "result-packed").glob("platform.*"):
        path.rename(carried / path.name)
    home = tmp_path / "home"
    home.mkdir()
    env = nix.environment | supervisor | {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    start = commands("Start").replace(
        "./platform/bin/loc status\n", "./platform/bin/loc status --json >status.json\n"
    )
    again = "./platform/bin/loc up -d --only home && ./platform/bin/loc down\n"
    script = commands("Unpack") + f"rm platform.closure\n{start}{again}"
    said = run(inside, script, cwd=carried, env=env, timeout=600)
    project = home / ".local/share/proto_loc"
    assert f"loc: made the project folder {project}: " in said
    assert f"loc: the project folder is {project}\n" in said, "the second start"
    assert_ready((carried / "status.json").read_text())
    last = published(project)[-1]
    assert last["checks"]["pass"] > 0 and last["tables"]["marts.fct_taxi_trips"] > 200_000
    assert not {".venvs", ".tools"} & {path.name for path in project.iterdir()}
    assert not (project / "proto_loc/cube/server/node_modules").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="the files of an image have several owners")
def test_the_image_starts_as_a_container(nix, own_clone, prepared, bwrap, supervisor, tmp_path):
    """The programs of the stand-in for nixpkgs are links to this machine, so it is seen inside."""
    root, project = tmp_path / "root", tmp_path / "volume"
    root.mkdir()
    nix("build", ".#image", "--out-link", f"{tmp_path}/image", *prepared, cwd=own_clone)
    config = unpack(tmp_path / "image", root)
    shutil.copytree(root / "project", project)
    store = nix.environment["NIX_STORE_DIR"]
    python = Path(sys.base_prefix).resolve()
    machine = [path for path in ("/usr", "/lib", "/lib64", str(python)) if Path(path).exists()]
    for path in ("/proc", "/dev", *machine):
        (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
    user, group = config["User"].split(":")
    container = [*bwrap, "--unshare-user", "--uid", user, "--gid", group, "--clearenv"]
    container += ["--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    container += ["--ro-bind", f"{root}{store}", store, "--tmpfs", "/home/loc"]
    container += ["--bind", project, "/project", "--chdir", config["WorkingDir"]]
    for path in machine:
        container += ["--ro-bind", path, path]
    environment = dict(pair.split("=", 1) for pair in config["Env"]) | supervisor
    environment["PATH"] += ":/usr/bin"
    for name, value in environment.items():
        container += ["--setenv", name, value]
    command = " ".join([*config["Entrypoint"], *config["Cmd"]])
    script = f"set -ex\ntest $(id -u) = 1000\n{command} -d\nloc status --json\nloc down\n"
    said = run([*container, "/usr/bin/env"], script, timeout=800)
    assert "loc: made the project folder /project: " in said
    assert_ready(next(line for line in said.splitlines() if line.startswith("{")))
    assert published(project)[-1]["tables"]["marts.fct_taxi_trips"] > 200_000


def unpack(image: Path, root: Path) -> dict:
    """Unpack the layers of an image into a folder; return the configuration of its containers."""
    with tarfile.open(image) as archive:
        (entry,) = json.load(archive.extractfile("./manifest.json"))
        for layer in entry["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(f"./{layer}")) as files:
                files.extractall(root, filter="tar")
        return json.load(archive.extractfile(f"./{entry['Config']}"))["config"]
