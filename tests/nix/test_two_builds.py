"""Tests of the comparison of two builds in ``loc lock --check``, with small packages."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from proto_loc.errors import LocError
from proto_loc.setup import nix_builds

SYSTEM = f"{platform.machine().replace('arm64', 'aarch64')}-{sys.platform}"
FLAKE = """{
  outputs = _: {
    packages.%s = builtins.mapAttrs (name: text: derivation {
      inherit name;
      system = "%s";
      builder = "/bin/sh";
      args = [ "-c" text ];
    }) {
      platform = "echo same > $out";
      superset = "read -r number < /proc/sys/kernel/random/uuid; echo $number > $out";
    };
  };
}
"""


@pytest.fixture
def flake(nix, tmp_path: Path, monkeypatch) -> Path:
    """A flake whose package `platform` is always the same, and whose `superset` never is."""
    (tmp_path / "flake.nix").write_text(FLAKE % (SYSTEM, SYSTEM))
    for name, value in nix.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(nix_builds, "ROOT", tmp_path)
    return tmp_path


def test_equal_builds_have_one_hash(flake):
    built = nix_builds.nar_hash("platform")
    assert built.startswith("sha256-")
    out = flake / "out"
    out.write_text("same\n")
    command = ["nix", "--extra-experimental-features", "nix-command", "hash", "path", out]
    assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == built


def test_builds_that_differ_are_named(flake):
    with pytest.raises(LocError, match="Two builds of .#superset differ."):
        nix_builds.nar_hash("superset")


def test_package_that_cannot_be_built(flake):
    with pytest.raises(nix_builds.CannotBuild, match="notebooks"):
        nix_builds.nar_hash("notebooks")


def test_only_a_clone_with_a_flake_has_packages(flake):
    assert {"platform", "superset", "cube"} <= set(nix_builds.packages())
    (flake / "flake.nix").unlink()
    assert nix_builds.packages() == []
