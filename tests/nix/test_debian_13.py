"""Tests with programs of Debian 13: its Nix is newer than that of Debian 12, on which CI runs.

The other files of the suite use the Nix of the machine, 2.8 in CI; the devcontainer and the job
*nix develop on Linux* have the golden one.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import archives
import pytest
from nix_runner import add, remove, runner

from proto_loc.compose.supervisor import number
from proto_loc.settings import ROOT

pytestmark = pytest.mark.xdist_group("nix")


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files of Debian's packages; it needs no root, as nothing is configured."""
    if not shutil.which("mmdebstrap"):
        pytest.skip("mmdebstrap is not installed (apt-get install mmdebstrap)")
    folder = tmp_path_factory.mktemp("debian").resolve() / "13"
    packages = "--include=nix-bin,apparmor"
    command = ["mmdebstrap", "--quiet", "--variant=extract", packages, "trixie", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"Debian's packages cannot be had: {done.stderr.strip()[-200:]}")
    yield folder
    shutil.rmtree(folder)


def program(debian: Path, name: str, script: Path) -> Path:
    """Write a script that runs a program of this Debian with this Debian's libraries."""
    (loader,) = debian.glob("usr/lib/*-linux-gnu/ld-linux-*.so.*")
    script.parent.mkdir(parents=True, exist_ok=True)
    options = f"--argv0 {script.name} --library-path {loader.parent}"
    script.write_text(f'#!/bin/sh\nexec {loader} {options} {debian}/{name} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture(scope="module")
def newer(debian: Path, release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """Runs the Nix of Debian 13 with a store of its own, in which the archives are."""
    home = tmp_path_factory.mktemp("newer").resolve()
    for name in ("nix", "nix-store"):
        script = program(debian, f"usr/bin/{name}", home / "bin" / name)
    # It would start itself by its own name, which is that of the loader.
    hook = f"build-hook = {home}/bin/nix __build-remote\n"
    run = runner(home, script.with_name("nix"), hook)
    add(run, release, archives.wheel("uv"), archives.wheel("node"))
    yield run
    remove(home)


def test_it_is_a_current_nix(newer, clone: Path):
    version = re.search(r"\d+\.[\d.]+", newer("--version", cwd=clone).stdout)[0]
    assert number(version) >= (2, 26)


def test_the_flake_evaluates_for_every_system_and_has_golden_tools(newer, clone: Path, offline):
    """``flake check`` would build every package; with --no-build, this Nix misses the template."""
    newer("build", "--no-link", f".#checks.{archives.SYSTEM}.golden", *offline, cwd=clone)
    shown = newer("flake", "show", "--json", "--all-systems", ".", *offline, cwd=clone).stdout
    outputs = json.loads(shown)
    for system, shells in outputs["devShells"].items():
        assert set(shells) == {"default", "trino"}
        assert {"default", "loc", "process-compose"} <= set(outputs["packages"][system])
        assert {"default", "up", "test", "doctor"} <= set(outputs["apps"][system])
        assert "golden" in outputs["checks"][system]


def test_the_shell_has_the_tools_and_no_variable_of_a_build(newer, clone: Path, offline):
    script = (
        "for tool in python3.11 uv node process-compose git loc; do command -v $tool; done;"
        ' echo "$LOC_PYTHON"; echo "${TMPDIR-}${SOURCE_DATE_EPOCH-}${PYTHONPATH-}$NODE_PATH"'
    )
    said = newer("develop", ".", *offline, "-c", "bash", "-c", script, cwd=clone).stdout
    *paths, left = said.splitlines()
    assert len(paths) == 7 and left == ""
    assert all(path.startswith(newer.environment["NIX_STORE_DIR"]) for path in paths), paths


def test_an_app_starts_and_a_template_is_made(newer, own_clone: Path, offline, tmp_path: Path):
    (own_clone / "loc").write_text('#!/bin/sh\necho "$*"\n')
    said = newer("run", ".#test", *offline, "--", "unit", cwd=own_clone).stdout
    assert said == "test unit\n"
    fork = tmp_path / "fork"
    fork.mkdir()
    newer("flake", "init", "-t", str(own_clone), cwd=fork)
    assert (fork / "flake.lock").read_bytes() == (own_clone / "flake.lock").read_bytes()


def test_apparmor_accepts_the_profile_of_bubblewrap(debian: Path, tmp_path: Path):
    """The parser of Debian 12 does not know the rule, so this is the oldest one that can tell."""
    parser = program(debian, "usr/sbin/apparmor_parser", tmp_path / "apparmor_parser")
    profile = ROOT / "proto_loc/ai/chatting/apparmor.profile"
    options = ["--base", debian / "etc/apparmor.d", "--skip-kernel-load", "--skip-cache", "--debug"]
    done = subprocess.run([parser, *options, profile], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"Name:\s+loc-bwrap", done.stdout) and "userns," in done.stdout
    wrong = tmp_path / "wrong"
    wrong.write_text(profile.read_text().replace("userns,", "userspaces,"))
    assert subprocess.run([parser, *options, wrong], capture_output=True).returncode != 0
