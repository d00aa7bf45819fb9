"""Tests of the programs of `nix run`, in a clone and outside of one, and of the image's form.

The environments are stand-ins here; ``test_air_gap.py`` runs the platform on the real ones.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from proto_loc.settings import ROOT

pytestmark = pytest.mark.xdist_group("nix")
LOCKS = ("locks/platform.txt", "locks/build.txt", "locks/uv.txt")
EXPRESSION = """
let
  nixpkgs = (import {nixpkgs}/flake.nix).outputs {{ }};
  inherit (nixpkgs) lib;
  pkgs = nixpkgs.legacyPackages.${{builtins.currentSystem}};
  tools = {{
    onPath = [ pkgs.git ];
    environment.LOC_PYTHON = "/python";
    golden.process-compose = pkgs.git;
  }};
  programs = import {nix}/programs.nix {{
    inherit lib pkgs tools;
    name = "my-shop";
    source = builtins.path {{ path = {source}; name = "source"; }};
    environments = pkgs.runCommand "environments" {{ }} ''
      mkdir -p $out/platform/bin
      ln -s {python} $out/platform/bin/python
      echo '{sums} /store/platform' >$out/platform/.stamp
    '';
  }};
  image = import {nix}/image.nix {{ inherit lib pkgs programs tools; name = "My-Shop"; }};
in
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a version: what makes a project folder, and a launcher that says its name."""
    folder = tmp_path_factory.mktemp("source").resolve()
    for name in (*LOCKS, "golden.toml", *(f"proto_loc/{name}.py" for name in MODULES)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "loc").write_text('#!/bin/sh\necho "$0: $*; $LOC_PYTHON"\n')
    (folder / "loc").chmod(0o755)
    return folder


MODULES = ("__init__", "dotenv", "errors", "files", "settings", "setup/__init__", "setup/project")


@pytest.fixture(scope="module")
def build(nix, offline, source: Path, tmp_path_factory: pytest.TempPathFactory):
    """Builds a part of the expression; returns its path in the store."""
    sums = subprocess.check_output(["cksum", *LOCKS], cwd=source, text=True)
    text = EXPRESSION.format(
        nixpkgs=offline[-1].removeprefix("path:"),
        nix=ROOT / "nix",
        source=source,
        python=sys.executable,
        sums=" ".join(sums.splitlines()),
    )
    folder = tmp_path_factory.mktemp("built").resolve()

    def part(name: str) -> Path:
        link = folder / name
        nix("build", "--impure", "--out-link", str(link), "--expr", text + name, cwd=folder)
        return link

    return part


@pytest.fixture(scope="module")
def platform(build) -> Path:
    return build("programs.packages.default") / "bin/loc"


@pytest.fixture
def loc(nix, tmp_path: Path):
    """Runs a program of `nix run`; returns what the launcher says, and stderr."""

    def run(program: Path, *arguments: str, cwd: Path, code: int = 0, **env: str):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LOC_")}
        done = subprocess.run(
            [program, *arguments],
            cwd=cwd,
            env=kept | nix.environment | {"HOME": f"{tmp_path}/my home", "XDG_DATA_HOME": ""} | env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr
        return done.stdout.strip().split("; "), done.stderr

    return run


def test_outside_of_a_clone_a_project_folder_is_made_once(platform, build, loc, tmp_path: Path):
    project = tmp_path / "my home/.local/share/my-shop"
    started, said = loc(platform, "up", "-d", cwd=tmp_path)
    assert started == [f"{project}/loc: up -d", "/python"]
    assert (project / ".environments/platform/.stamp").exists()
    assert said.startswith(f"loc: made the project folder {project}: ")
    _, said = loc(platform, "up", cwd=tmp_path)
    assert said == f"loc: the project folder is {project}\n"
    shell = build("programs.packages.loc") / "bin/loc"
    for program in (platform, shell):
        started, said = loc(program, "db", "list", cwd=tmp_path)
        assert (started, said) == ([f"{project}/loc: db list", "/python"], "")


def test_the_environments_are_a_root_of_nix(nix, platform, loc, tmp_path: Path):
    loc(platform, "up", cwd=tmp_path, LOC_PROJECT=f"{tmp_path}/elsewhere")
    link = tmp_path / "elsewhere/.environments"
    roots = subprocess.check_output(
        ["nix-store", "--query", "--roots", link.resolve()],
        env=os.environ | nix.environment,
        text=True,
    )
    assert f"{link} -> {link.resolve()}" in roots


def test_a_clone_is_used_as_it_is(platform, loc, source: Path, tmp_path: Path):
    """Bug: `nix run` in a clone with other locks would stop at the launcher."""
    clone = Path(shutil.copytree(source, tmp_path / "a clone"))
    (clone / "docs").mkdir()
    (clone / "locks/build.txt").write_text("another")
    link = clone / ".environments"
    assert loc(platform, "up", cwd=clone / "docs")[0] == [f"{clone}/loc: up", "/python"]
    assert not link.exists(), "which the launcher would take"
    shutil.copy(source / "locks/build.txt", clone / "locks/build.txt")
    loc(platform, "up", cwd=clone / "docs")
    assert (link / "platform/.stamp").exists()
    link.unlink()
    (clone / ".venvs/platform").mkdir(parents=True)
    (clone / ".venvs/platform/.stamp").touch()
    assert loc(platform, "up", cwd=clone)[0][0] == f"{clone}/loc: up"
    assert not link.exists(), "it has its own"
    assert not (tmp_path / "my home").exists()


def test_a_program_without_environments_says_how_to_start(build, loc, tmp_path: Path):
    shell = build("programs.packages.loc") / "bin/loc"
    _, said = loc(shell, "status", cwd=tmp_path, code=1)
    assert said.startswith(f"error: {tmp_path} is not in a clone of proto_loc.")
    assert "fix: cd into a clone, or start without one: nix run REPOSITORY." in said


@pytest.mark.skipif(os.geteuid() != 0, reason="the files of an image have several owners")
def test_the_image_has_a_user_and_everything_it_names(nix, build, tmp_path: Path):
    with tarfile.open(build("image")) as archive:
        archive.extractall(tmp_path, filter="data")
    (entry,) = json.loads((tmp_path / "manifest.json").read_text())
    config = json.loads((tmp_path / entry["Config"]).read_text())["config"]
    assert entry["RepoTags"] == ["my-shop:latest"]
    members = {}
    for layer in entry["Layers"]:
        with tarfile.open(tmp_path / layer) as files:
            members |= {f"/{member.name.removeprefix('./')}": member for member in files}
    assert {config["Entrypoint"][0], "/bin/loc", "/bin/sh", "/usr/bin/env"} <= set(members)
    assert (config["User"], config["Cmd"]) == ("1000:1000", ["up"])
    environment = dict(pair.split("=", 1) for pair in config["Env"])
    for folder in (environment["HOME"], environment["LOC_PROJECT"], *config["Volumes"]):
        assert (members[folder].uid, members[folder].isdir()) == (1000, True), folder
    assert members["/tmp"].mode & 0o7777 == 0o1777
    store = nix.environment["NIX_STORE_DIR"]
    assert {member.uid for path, member in members.items() if path.startswith(f"{store}/")} == {0}
