"""Builds the packages of the environments twice with Nix, and compares their NAR hashes."""

import json
import shutil
import subprocess

from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.setup import environments

NIX = ("nix", "--extra-experimental-features", "nix-command flakes")


class CannotBuild(Exception):
    """Nix is here and cannot build a package; its own message."""


def packages() -> list[str]:
    """The packages of the flake that are made from locks; none without a flake or without Nix."""
    if not (ROOT / "flake.nix").exists() or not shutil.which("nix"):
        return []
    return [*environments.names(), *(["cube"] if "npm" in environments.golden() else [])]


def nar_hash(package: str) -> str:
    """Build a package of the flake twice, and return the NAR hash of both builds.

    Raises:
        LocError: the two builds differ.
        CannotBuild: Nix cannot build it, as without network.
    """
    (built,) = json.loads(_nix("build", f".#{package}", "--no-link", "--json"))
    try:
        _nix("build", f".#{package}", "--no-link", "--rebuild")
    except CannotBuild as error:
        if "deterministic" not in str(error):
            raise
        raise LocError(
            f"Two builds of .#{package} differ.",
            str(error),
            f"nix build .#{package} --rebuild --keep-failed keeps the second one: compare them.",
        ) from None
    info = json.loads(_nix("path-info", "--json", built["outputs"]["out"]))
    (entry,) = info.values() if isinstance(info, dict) else info  # a list before Nix 2.19
    return entry["narHash"]


def _nix(*arguments: str) -> str:
    done = subprocess.run(
        [*NIX, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error:" in line]
        raise CannotBuild((lines or done.stderr.splitlines() or ["no message"])[-1].strip())
    return done.stdout
