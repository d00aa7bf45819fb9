"""Tests of locks/NAME.json: the archives that Nix installs of the locks, for each system."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from clones import borrowing_clone

from proto_loc.errors import LocError
from proto_loc.setup import nix_lock
from proto_loc.setup.environments import uv
from proto_loc.setup.locks import entries

UV_PLATFORMS = {
    "x86_64-linux": "x86_64-manylinux_2_28",
    "aarch64-linux": "aarch64-manylinux_2_28",
    "aarch64-darwin": "aarch64-apple-darwin",
}


def archives(name: str, system: str) -> dict[str, str]:
    by_system = json.loads(nix_lock.path(name).read_text())["archives"]
    return by_system["all"] | by_system[system]


@pytest.mark.parametrize("name", nix_lock.names())
def test_archives_belong_to_the_lock(name: str):
    assert nix_lock.differences(name) == []


@pytest.mark.parametrize("name", ["build", "dlt"])
def test_making_them_again_changes_nothing(name: str, registry):
    assert nix_lock.text(nix_lock.lock_text(name)) == nix_lock.path(name).read_text()


@pytest.mark.parametrize("name", nix_lock.names())
def test_file_names_are_no_addresses_and_hashes_are_those_of_the_lock(name: str):
    lock = nix_lock.lock_text(name)
    for system in nix_lock.SYSTEMS:
        for file, digest in archives(name, system).items():
            assert re.fullmatch(r"[A-Za-z0-9_.+-]+\.(whl|tar\.gz|zip)", file), file
            assert f"--hash=sha256:{digest}" in lock, file


@pytest.mark.parametrize("system", nix_lock.SYSTEMS)
def test_wheels_are_for_the_system(system: str):
    """A package with compiled code has a wheel of that system; three are built from source."""
    machine, kernel = system.replace("aarch64-darwin", "arm64-macosx").split("-")
    sources = set()
    for name in nix_lock.names():
        for file in archives(name, system):
            platform = file.removesuffix(".whl").rpartition("-")[2]
            if not file.endswith(".whl"):
                sources.add(file.partition("-")[0].lower())
            elif platform != "any":
                assert kernel in platform, file
                assert machine in platform or "universal2" in platform, file
    assert sources == {"halo", "odfpy", "wtforms"}


@pytest.mark.parametrize("system", nix_lock.SYSTEMS)
def test_choice_is_one_of_uv(system: str, tmp_path: Path, registry):
    """uv itself says which wheels a platform can use."""
    out = tmp_path / "pylock.toml"
    options = ["--no-deps", "--format", "pylock.toml", "--python-version", "3.11", "--quiet"]
    uv("pip", "compile", "locks/dlt.txt", *options, "--python-platform", UV_PLATFORMS[system],
       "--output-file", out)  # fmt: skip
    usable = set(re.findall(r'/([^/"]+\.whl)"', out.read_text()))
    chosen = set(archives("dlt", system))
    assert chosen <= usable
    assert len(chosen) == out.read_text().count("[[packages]]")


def test_packages_of_every_patch_release_are_there():
    """Bug: with Python 3.11.5 or newer, the lock wants another soupsieve than with 3.11.0."""
    pins = re.findall(
        r"^soupsieve==(\S+) ; python_full", entries(nix_lock.lock_text("docs"))["soupsieve"], re.M
    )
    assert len(pins) == 2
    for version in pins:
        assert f"soupsieve-{version}-py3-none-any.whl" in archives("docs", "x86_64-linux")


def test_changed_lock_and_edited_archives_are_found(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(nix_lock, "ROOT", tmp_path)
    (tmp_path / "locks").mkdir()
    assert nix_lock.differences("docs") == ["missing"]
    lock = tmp_path / "locks/docs.txt"
    lock.write_text("a==1\n")
    made = nix_lock.content({"all": {"a-1-py3-none-any.whl": "00"}}, lock.read_text())
    nix_lock.path("docs").write_text(json.dumps(made))
    assert nix_lock.differences("docs") == []
    lock.write_text("a==2\n")
    assert nix_lock.differences("docs") == ["made from another locks/docs.txt"]
    lock.write_text("a==1\n")
    nix_lock.path("docs").write_text(json.dumps(made).replace('"00"', '"01"'))
    assert nix_lock.differences("docs") == ["edited by hand"]
    for broken in ("<<<<<<< HEAD", "[]", "{}"):
        nix_lock.path("docs").write_text(broken)
        assert nix_lock.differences("docs") == ["edited by hand"]


def test_package_without_an_archive_for_a_system_is_named():
    wheel = {"url": "https://x/a-1-cp311-cp311-win_amd64.whl", "hashes": {"sha256": "00"}}
    package = {"name": "a", "version": "1", "wheels": [wheel]}
    with pytest.raises(LocError) as error:
        nix_lock.archives([package], "aarch64-linux")
    assert error.value.what == "a 1 has no archive for aarch64-linux."
    assert "a-1-cp311-cp311-win_amd64.whl" in error.value.why


@pytest.mark.slow
def test_check_names_archives_that_are_out_of_date(tmp_path: Path, registry):
    borrowing_clone(tmp_path, "proto_loc", "locks", "loc", "golden.toml", "pyproject.toml")
    (tmp_path / "locks/dlt.json").unlink()
    done = subprocess.run([tmp_path / "loc", "lock", "--check"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "locks/dlt.json: missing" in done.stderr
