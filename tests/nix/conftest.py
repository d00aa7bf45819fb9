"""Fixtures of the Nix suite: the real Nix, a clone in git, a stand-in for nixpkgs."""

import os
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import stub

from proto_loc.settings import ROOT

CONFIG = """
experimental-features = nix-command flakes
build-users-group =
sandbox = false
substituters =
flake-registry =
warn-dirty = false
"""


@pytest.fixture(scope="session")
def nix(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess]:
    """Runs Nix in a folder.

    The test fails if Nix fails, or with ``fails``, if Nix does not fail.
    """
    if not shutil.which("nix"):
        pytest.skip("nix is not installed (apt-get install nix-bin)")
    home = tmp_path_factory.mktemp("nix").resolve()
    own = {
        f"NIX_{name}_DIR": f"{home}/{name.lower()}" for name in ("STORE", "STATE", "LOG", "CONF")
    }
    own |= {"NIX_CONFIG": CONFIG, "XDG_CACHE_HOME": f"{home}/cache"}
    own["UV_CACHE_DIR"] = os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache/uv")

    def run(
        *arguments: str, cwd: Path, fails: bool = False, **env: str
    ) -> subprocess.CompletedProcess:
        outside = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LOC_", "NIX_"))
        }
        done = subprocess.run(
            ["nix", *arguments],
            cwd=cwd,
            env=outside | own | env,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done

    run.environment, run.program = own, shutil.which("nix")
    return run


def commit(folder: Path) -> None:
    """Commit all files of a folder that git does not ignore."""
    for arguments in (
        ("init", "--quiet"),
        ("add", "--all"),
        ("commit", "--quiet", "--message", "start"),
    ):
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments],
            cwd=folder,
            check=True,
        )


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository without ignored files, as a git repository. Tests do
    not change it.
    """
    folder = tmp_path_factory.mktemp("clone").resolve() / "proto_loc"
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    git = ["git", f"--git-dir={folder}/.git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run([*git, f"--work-tree={ROOT}", "add", "--all"], check=True)
    subprocess.run(
        [*git, f"--work-tree={folder}", "commit", "--quiet", "--message", "start"], check=True
    )
    subprocess.run([*git, f"--work-tree={folder}", "reset", "--quiet", "--hard"], check=True)
    return folder


@pytest.fixture
def own_clone(clone: Path, tmp_path: Path) -> Path:
    """A copy of the clone that a test may change."""
    return Path(shutil.copytree(clone, tmp_path.resolve() / "proto_loc", symlinks=True))


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments that make Nix use the stand-in for nixpkgs.

    The summary of the test run lists the stand-ins for missing programs.
    """
    for name, what in stub.absent().items():
        warnings.warn(f"{name} is not on this machine; in its place: {what}", stacklevel=1)
    return stub.nixpkgs(tmp_path_factory.mktemp("nixpkgs").resolve())
