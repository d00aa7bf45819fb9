"""Doctor on Nix: its libraries, features, store, and what the flake needs."""

import os
import shutil
import subprocess
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest
from troubles import findings, on_path, only, program

from proto_loc import doctor


@pytest.mark.trouble("libraries", "Programs crash with symbol or version errors of a library")
def test_exported_libraries(monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nix/store/x/lib")
    assert only("libraries").what == "LD_LIBRARY_PATH=/nix/store/x/lib is exported."


@pytest.mark.trouble("libraries", "Programs crash with symbol or version errors of a library")
def test_libraries_that_are_gone(tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_LIBRARY_PATH", f"{tmp_path}:/nix/store/gone/lib")
    assert only("libraries").what == "LOC_LIBRARY_PATH names /nix/store/gone/lib."


NO_LOADER = pytest.mark.trouble("loader", "On NixOS, `loc db shell` or a linter does not start")
NO_STORE = pytest.mark.trouble("store", "`nix` is not found, or `nix develop` does not work")


@pytest.mark.parametrize(
    "loader, status",
    [
        ("ld.so", "ok"),
        pytest.param("stub-ld", "warn", marks=NO_LOADER),
        pytest.param("", "warn", marks=NO_LOADER),
    ],
)
def test_loader_of_nixos(tmp_path, monkeypatch, loader: str, status: str):
    mark, path = tmp_path / "NIXOS", tmp_path / "ld-linux"
    mark.touch()
    if loader:
        (tmp_path / loader).touch()
        path.symlink_to(tmp_path / loader)
    monkeypatch.setattr(doctor.nix, "NIXOS", mark)
    monkeypatch.setattr(doctor.nix, "LOADER", path)
    assert [finding.status for finding in findings("loader")] == [status]


@pytest.mark.parametrize(
    "script, lacks",
    [
        ("echo 'experimental-features = flakes nix-command'", ""),
        ("echo 'experimental-features = nix-command'", "flakes"),
        ("exit 1", "flakes and nix-command"),
    ],
)
def test_nix_features(tmp_path, monkeypatch, script: str, lacks: str):
    on_path(program(tmp_path / "nix", script), monkeypatch)
    if lacks:
        assert only("nix").what == f"Nix has {lacks} turned off."
    else:
        assert [finding.status for finding in findings("nix")] == ["ok"]


@pytest.mark.trouble("nix", "`nix` is not found, or `nix develop` does not work")
def test_nix_that_this_shell_has_not_found(root, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    (tmp_path / "profile.sh").touch()
    monkeypatch.setattr(doctor.nix, "PROFILE", tmp_path / "profile.sh")
    assert only("nix").what == "Nix is installed, but not on PATH."


@pytest.mark.parametrize(
    "script, why",
    [
        ("exit 0", ""),
        (
            """[ "$4" = info ] ||
            { echo "error: 'ping' is not a recognised command" >&2; exit 1; }""",
            "",
        ),
        pytest.param(
            "echo 'error: cannot connect to socket: refused' >&2; exit 1",
            "cannot connect to socket: refused",
            marks=NO_STORE,
        ),
        pytest.param("exit 1", "It does not answer.", marks=NO_STORE),
    ],
    ids=["old", "new", "no daemon", "silent"],
)
def test_store_of_nix(tmp_path, monkeypatch, script: str, why: str):
    monkeypatch.setenv("NIX_STATE_DIR", str(tmp_path))
    on_path(program(tmp_path / "bin/nix", script), monkeypatch)
    if why:
        assert only("store").why == why
    else:
        assert [finding.status for finding in findings("store")] == ["ok"]


@pytest.mark.skipif(
    not shutil.which("nix") or os.geteuid() != 0,
    reason="the real Nix, as another user than its owner",
)
@pytest.mark.parametrize("user, status", [(0, "ok"), pytest.param(65534, "warn", marks=NO_STORE)])
def test_store_that_belongs_to_another_user(monkeypatch, user: int, status: str):
    """The test runs the real Nix.

    A user without a daemon cannot use the Nix store of another user. Bug: that was a failure, and
    so was `loc validate`, for a person who does not work with Nix.
    """
    nix = shutil.which("nix")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        Path(folder, "state").mkdir()
        for name in ("STORE", "STATE", "LOG"):
            monkeypatch.setenv(f"NIX_{name}_DIR", f"{folder}/{name.lower()}")
        as_user = f'exec setpriv --reuid={user} --regid={user} --clear-groups {nix} "$@"'
        on_path(program(Path(folder, "bin/nix"), as_user), monkeypatch)
        assert [finding.status for finding in findings("store")] == [status]


def test_the_space_of_nix_is_looked_at(data, tmp_path, monkeypatch):
    on_path(program(tmp_path / "bin/nix", ""), monkeypatch)
    exists = Path.exists
    monkeypatch.setattr(
        Path, "exists", lambda path, **more: str(path) == "/nix" or exists(path, **more)
    )
    statvfs, usage = os.statvfs, namedtuple("usage", "total used free")
    monkeypatch.setattr(os, "statvfs", lambda path: statvfs("/" if str(path) == "/nix" else path))
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: usage(2**40, 0, 0 if str(path) == "/nix" else 2**40)
    )
    assert only("space").what == "0.0 GiB are free at /nix."


@pytest.fixture
def repository(root: Path) -> Path:
    """A git repository that tracks all the files that the flake needs."""
    for name in ("flake.nix", "flake.lock", "golden.toml", "nix/shell.nix"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    subprocess.run("git init --quiet && git add .", shell=True, cwd=root, check=True)
    return root


@pytest.mark.trouble("tracked", "`nix develop` misses files, or copies too much")
@pytest.mark.parametrize("ignored", [False, True], ids=["untracked", "ignored"])
@pytest.mark.parametrize("name", ["flake.lock", "golden.toml", "nix/shell.nix", "nix/new.nix"])
def test_file_that_the_flake_needs_and_git_does_not_track(repository, name: str, ignored: bool):
    assert [finding.status for finding in findings("tracked")] == ["ok"]
    subprocess.run(
        ["git", "rm", "--quiet", "--cached", "--ignore-unmatch", name], cwd=repository, check=True
    )
    (repository / name).touch()
    (repository / "note.txt").touch()
    if ignored:
        (repository / ".gitignore").write_text(name)
    finding = only("tracked")
    assert (finding.status, finding.what) == ("fail", f"Git does not track {name}.")
    assert finding.fix == f"git add {name} (with --force where it is ignored)"


@pytest.mark.trouble("tracked", "`nix develop` misses files, or copies too much")
def test_file_that_the_flake_needs_and_is_gone(repository):
    subprocess.run(["git", "rm", "--quiet", "-f", "flake.lock"], cwd=repository, check=True)
    assert only("tracked").fix == "git checkout HEAD -- flake.lock"


@pytest.mark.trouble("tracked", "`nix develop` misses files, or copies too much")
def test_no_git_is_not_no_repository(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert only("tracked").what == "git is not on PATH."


@pytest.mark.trouble("tracked", "`nix develop` misses files, or copies too much")
def test_a_repository_that_git_does_not_trust_is_not_no_repository(repository, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    finding = only("tracked")
    assert finding.what == f"git cannot read {repository}." and "dubious ownership" in finding.why
    assert f"safe.directory {repository}" in finding.fix


@pytest.mark.trouble("tracked", "`nix develop` misses files, or copies too much")
def test_no_repository(root):
    assert only("tracked").fix == "git init && git add ."
