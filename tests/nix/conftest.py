"""Fixtures of the Nix suite: the real Nix, a clone in git, a stand-in for nixpkgs."""

import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import archives
import pytest
import stub
from nix_runner import add, remove, runner

from proto_loc import files
from proto_loc.settings import ROOT
from proto_loc.setup.environments import golden


@pytest.fixture(scope="package")  # its removal takes minutes, which the end of a run has not
def nix(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., subprocess.CompletedProcess]]:
    """Runs the Nix of this machine."""
    if not (program := shutil.which("nix")):
        pytest.skip("nix is not installed (apt-get install nix-bin)")
    home = tmp_path_factory.mktemp("nix").resolve()
    yield runner(home, program)
    remove(home)


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
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of process-compose. The summary of the test run says if it is a stand-in."""
    path, real = archives.process_compose(tmp_path_factory.mktemp("release").resolve())
    if not real:
        warnings.warn(
            "the release of process-compose is not here; in its place: proto_loc.compose, which"
            " knows `up` and `version --short` alone",
            stacklevel=1,
        )
    return path


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory, release: Path) -> Path:
    """A copy of this repository without ignored files, as a git repository.

    Its golden.toml has the SHA-256 of the ``release``. Tests do not change it.
    """
    folder = tmp_path_factory.mktemp("clone").resolve() / "proto_loc"
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    git = ["git", f"--git-dir={folder}/.git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run([*git, f"--work-tree={ROOT}", "add", "--all"], check=True)
    subprocess.run([*git, f"--work-tree={folder}", "checkout", "--quiet", "."], check=True)
    path = folder / "golden.toml"
    path.write_text(archives.pin(release, path.read_text()))
    subprocess.run(
        [*git, f"--work-tree={folder}", "commit", "--all", "--quiet", "--message", "start"],
        check=True,
    )
    return folder


@pytest.fixture
def own_clone(clone: Path, tmp_path: Path) -> Path:
    """A copy of the clone that a test may change."""
    return Path(shutil.copytree(clone, tmp_path.resolve() / "proto_loc", symlinks=True))


@pytest.fixture(scope="package")
def offline(nix, release: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments that make Nix use the stand-in for nixpkgs; the archives are in the store."""
    add(nix, release, archives.wheel("uv"), archives.wheel("node"))
    return stub.nixpkgs(tmp_path_factory.mktemp("nixpkgs").resolve())


@pytest.fixture(scope="package")
def prepared(nix, offline: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """``offline``, with the archives of every package in the store."""
    folder = tmp_path_factory.mktemp("npm").resolve()
    sets = {"sha256": archives.of_environments(), "sha512": archives.of_cube(folder)}
    for algorithm, paths in sets.items():
        subprocess.run(
            ["nix-store", "--add-fixed", algorithm, *paths],
            env=os.environ | nix.environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    shutil.rmtree(folder)
    return offline


@pytest.fixture(scope="session")
def formatters() -> dict[str, Path]:
    """The programs nixfmt and deadnix, built once from their crates and kept in ``.tools/``.

    nixfmt itself is written in Haskell; ``nixfmt_rs`` is its port to Rust, with the same output.
    """
    return {name: _built(crate, name) for crate, name in CRATES.items()}


CRATES = {"deadnix": "deadnix", "nixfmt_rs": "nixfmt"}
QUICK = {"OPT_LEVEL": "0", "LTO": "off", "CODEGEN_UNITS": "16", "DEBUG": "false"}
"""Settings that halve the time of a build; the programs read a few small files."""


def _built(crate: str, name: str) -> Path:
    version = golden()["tools"][crate]
    folder = ROOT / f".tools/{name}-{version}"
    program = folder / "bin" / name
    with files.locked(ROOT / f".tools/{name}.lock"):
        if program.exists():
            return program
        if not (cargo := shutil.which("cargo")):
            pytest.skip(f"{name} cannot be built: no cargo (rustup, or Debian's cargo-web)")
        env = {f"CARGO_PROFILE_RELEASE_{name}": value for name, value in QUICK.items()}
        done = subprocess.run(
            [cargo, "install", "--quiet", "--locked", "--root", folder, f"{crate}@{version}"],
            env=os.environ | env,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.skip(f"{name} cannot be built: {done.stderr.strip()[-300:]}")
    return program


@pytest.fixture(scope="package")
def linted(offline, formatters, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments for a stand-in that has nixfmt and deadnix."""
    folder = tmp_path_factory.mktemp("linted").resolve()
    return stub.nixpkgs(folder, programs=formatters)
