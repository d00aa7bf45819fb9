"""Tests of the lock files: they agree with golden.toml and contain no host of a registry."""

import json
import re
import subprocess

import pytest
from clones import borrowing_clone

from proto_loc import files
from proto_loc.cli.lock import lock as loc_lock
from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.setup import installs, locks, nix_lock, node, tool_lock, upgrade
from proto_loc.setup.environments import golden
from proto_loc.setup.locks import differences, entries, requirements

TEXTS = {name: (ROOT / f"locks/{name}.txt").read_text() for name in requirements()}


def pin(lock: str, package: str) -> str:
    return re.match(r"[^=]*==(\S+)", entries(TEXTS[lock])[package])[1]


@pytest.mark.parametrize("lock", TEXTS)
def test_lock_agrees(lock, registry):
    assert differences(lock, requirements()[lock], TEXTS[lock]) == []


def test_changed_golden_version(registry):
    wanted = [
        "pytz==2025.2" if line.startswith("pytz==") else line for line in requirements()["platform"]
    ]
    assert differences("platform", wanted, TEXTS["platform"]) == ["pytz"]


def test_removed_hash(registry):
    text = re.sub(r"(\nidna==.*\n).*\n", r"\1", TEXTS["platform"], count=1)
    assert differences("platform", requirements()["platform"], text) == ["idna"]


def test_forged_hash(registry):
    forged = re.sub(
        r"(\nidna==.*\n.*sha256:)\w{64}", rf"\g<1>{'0' * 64}", TEXTS["platform"], count=1
    )
    assert forged != TEXTS["platform"]
    assert differences("platform", requirements()["platform"], forged) == ["idna"]


def test_hand_edited_pin(registry):
    assert pin("platform", "idna") != "3.10"
    text = re.sub(r"\nidna==\S+", "\nidna==3.10", TEXTS["platform"])
    assert differences("platform", requirements()["platform"], text) == ["idna"]


@pytest.mark.slow
def test_check_names_environment_and_package(tmp_path, registry):
    """The test runs ``./loc lock --check`` in a clone.

    Two locks are missing, and one of them is the lock that the launcher installs from.
    """
    borrowing_clone(tmp_path, "proto_loc", "locks", "loc", "golden.toml", "pyproject.toml")
    (tmp_path / "locks/uv.txt").unlink()
    (tmp_path / "locks/platform.txt").unlink()
    build = tmp_path / "locks/build.txt"
    build.write_text(re.sub(r"    --hash.*\n", "", build.read_text(), count=1))
    done = subprocess.run([tmp_path / "loc", "lock", "--check"], capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        "locks/uv.txt: missing; locks/build.txt: setuptools; locks/platform.txt: missing"
        in done.stderr
    )
    assert done.stderr.endswith("fix: Run ./loc lock and commit its result.\n")


@pytest.mark.parametrize("lock", TEXTS)
def test_no_addresses(lock):
    assert not re.search(r"://|index-url|find-links|@ file", TEXTS[lock])


@pytest.mark.parametrize("lock", TEXTS)
def test_every_package_is_hashed(lock):
    assert entries(TEXTS[lock])
    assert [
        name for name, text in entries(TEXTS[lock]).items() if "--hash=sha256:" not in text
    ] == []


@pytest.mark.parametrize("lock", TEXTS)
def test_direct_requirements_are_pinned_as_golden_says(lock):
    for line in requirements()[lock]:
        name, exact, version = line.partition("==")
        if exact:
            assert pin(lock, name) == version


def test_core_is_the_same_everywhere():
    for name in golden()["environments"]:
        for package, version in golden()["core"].items():
            assert pin(name, package) == version


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files that ``loc lock`` replaces, by name; registries have only what is locked."""
    texts_by_file: dict[str, str] = {}
    monkeypatch.setattr(
        files,
        "replace_all",
        lambda texts: texts_by_file.update({path.name: text for path, text in texts.items()}),
    )
    monkeypatch.setattr(upgrade, "upgrade", lambda packages, known: {})
    monkeypatch.setattr(locks, "compile_lock", lambda name, *_: TEXTS[name])
    monkeypatch.setattr(node, "compile_lock", lambda known: locks.npm_texts()[1])
    monkeypatch.setattr(tool_lock, "text", lambda locked: tool_lock.PATH.read_text())
    monkeypatch.setattr(
        installs, "copy_of_clone", lambda texts: pytest.fail("an environment is installed on trial")
    )
    return texts_by_file


def test_an_unknown_license_of_npm_stops_it_before_anything_is_written(written, monkeypatch):
    """Bug: golden.toml and locks/*.txt were new by then, and the other locks stayed old."""
    package = {"node_modules/strange": {"version": "1.0.0", "license": "of its own"}}
    lock = json.dumps({"packages": {"": {}} | package})
    monkeypatch.setattr(node, "compile_lock", lambda known: lock)
    with pytest.raises(LocError, match="The license of strange is not known"):
        loc_lock(None, check=False, upgrade=False)
    assert written == {}


def test_a_package_without_an_archive_stops_it_before_anything_is_written(written, monkeypatch):
    """Bug: golden.toml, locks/*.txt and Cube's lock were new by then, and locks/*.json stayed."""
    wheel = {"url": "https://x/strange-1-cp311-cp311-win_amd64.whl", "hashes": {"sha256": "00"}}
    package = {"name": "strange", "version": "1", "wheels": [wheel]}
    newer = locks.sealed(TEXTS["docs"].partition("\n")[2] + "strange==1 \\\n")
    monkeypatch.setattr(
        locks, "compile_lock", lambda name, *_: newer if name == "docs" else TEXTS[name]
    )
    monkeypatch.setattr(nix_lock, "_packages", lambda lock: [package] if lock == newer else [])
    with pytest.raises(LocError, match="strange 1 has no archive for x86_64-linux"):
        loc_lock(None, check=False, upgrade=False)
    assert written == {}


@pytest.mark.slow
def test_a_package_without_an_archive_leaves_every_file_of_a_clone(tmp_path, registry):
    borrowing_clone(tmp_path, "proto_loc", "locks", "loc", "golden.toml", "pyproject.toml")
    golden_file = tmp_path / "golden.toml"
    table = "[environments.docs.packages]\n"
    golden_file.write_text(
        golden_file.read_text().replace(table, f'{table}triton = "3.0.0"\n')  # Linux on x86 only
    )
    before = {path: path.read_bytes() for path in (tmp_path / "locks").iterdir()}
    done = subprocess.run([tmp_path / "loc", "lock"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "error: triton 3.0.0 has no archive for aarch64-linux." in done.stderr
    assert {path: path.read_bytes() for path in (tmp_path / "locks").iterdir()} == before


def test_an_upgrade_that_moves_nothing_installs_nothing_on_trial(written):
    """Bug: it compared with no locks at all, and installed every environment."""
    loc_lock(None, check=False, upgrade=True)
    assert {f"{name}.txt": text for name, text in TEXTS.items()}.items() <= written.items()
