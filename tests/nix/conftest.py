"""Fixtures of the Nix suite: the real Nix, a clone in git, a stand-in for nixpkgs."""

import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import stub
from nix_runner import runner

from proto_loc.settings import ROOT


@pytest.fixture(scope="session")
def nix(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess]:
    """Runs the Nix of this machine."""
    if not (program := shutil.which("nix")):
        pytest.skip("nix is not installed (apt-get install nix-bin)")
    return runner(tmp_path_factory.mktemp("nix").resolve(), program)


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
