"""Tests of Node and npm for Cube: version, lock file, installation."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.setup import node
from proto_loc.setup.environments import golden
from proto_loc.setup.locks import npm_texts

PACKAGE, LOCK = npm_texts()
PACKAGES = json.loads(LOCK)["packages"]


@pytest.fixture(scope="module")
def npm_registry() -> None:
    """Skip the test if no npm registry can be reached."""
    done = node.npm("view", "express@4.22.2", "version")
    if done.returncode:
        pytest.skip(f"no npm registry can be reached: {done.stderr.strip()[-200:]}")


def test_the_lock_is_what_golden_toml_gives(npm_registry):
    assert node.differences(PACKAGE, LOCK) == []


def test_a_changed_golden_version_is_named(npm_registry, monkeypatch):
    changed = golden()
    changed["npm"]["yaml"] = "2.8.0"
    monkeypatch.setattr(node, "golden", lambda: changed)
    assert "yaml" in node.differences(PACKAGE, LOCK)


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: re.sub(
            r'"integrity": "sha512-.{10}', '"integrity": "sha512-AAAAAAAAAA', text, count=1
        ),
        lambda text: text.replace('"version": "4.22.2"', '"version": "4.22.1"'),
        lambda text: text.replace('      "dev"', ' "dev"') + "\n",
    ],
    ids=["hash", "version", "white space"],
)
def test_a_hand_edited_lock_is_found(edit):
    assert node.differences(PACKAGE, edit(LOCK)) == ["edited by hand"]


def test_a_missing_lock_is_found():
    assert node.differences(PACKAGE, "") == ["missing"]


def test_the_lock_holds_no_address():
    assert "resolved" not in LOCK and "://" not in LOCK


def test_every_package_has_its_hash():
    assert [name for name, package in PACKAGES.items() if name and "integrity" not in package] == []


def test_what_golden_toml_names_is_locked_exactly():
    for name, version in golden()["npm"].items():
        assert PACKAGES[f"node_modules/{name}"]["version"] == version


def test_what_only_trino_needs_can_be_left_out():
    """Nobody who does not use Trino installs its driver, as `npm ci --omit=dev` leaves it out."""
    left_out = {
        name.partition("node_modules/")[2] for name, one in PACKAGES.items() if "dev" in one
    }
    trino = {"@cubejs-backend/trino-driver", "@cubejs-backend/prestodb-driver", "presto-client"}
    assert left_out == trino and golden()["npm-trino"].keys() <= trino


@pytest.mark.parametrize(
    ("engine", "kept", "is_installed"),
    [
        ("duckdb", "", True),
        ("duckdb", " trino", True),
        ("trino", "", False),
        ("trino", " trino", True),
        ("duckdb", "64", False),
    ],
)
def test_packages_of_an_engine_are_installed_once_it_is_used(
    tmp_path, monkeypatch, engine, kept, is_installed
):
    monkeypatch.setenv("LOC_ENGINE", "duckdb")
    program = node.program()
    (tmp_path / "stamp").write_text(node.stamp(program) + kept)
    monkeypatch.setattr(node, "STAMP", tmp_path / "stamp")
    monkeypatch.setenv("LOC_ENGINE", engine)
    assert node._is_installed(node.stamp(program)) is is_installed


@pytest.mark.parametrize("system", ["linux-x64", "linux-arm64", "darwin-arm64", "darwin-x64"])
def test_the_binary_of_duckdb_is_a_package_of_its_own_and_no_download(system):
    binding = PACKAGES[f"node_modules/@duckdb/node-bindings-{system}"]
    assert binding["version"].partition("-")[0] == golden()["core"]["duckdb"]
    duckdb = [package for name, package in PACKAGES.items() if "/@duckdb/" in name]
    assert not any("hasInstallScript" in package for package in duckdb)


def _fake(folder: Path, version: str) -> Path:
    program = folder / "node"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return program


def test_a_node_of_the_golden_series_on_the_path_is_used(tmp_path, monkeypatch):
    program = _fake(tmp_path, "v24.0.1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert node.program() == program


@pytest.mark.parametrize("version", ["v20.1.0", "v240.0.0", "v25.0.0", ""])
def test_another_one_is_left_alone_and_the_wheel_is_used(tmp_path, monkeypatch, version, registry):
    _fake(tmp_path, version)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = node.program()
    assert found.is_relative_to(ROOT / ".tools")
    assert subprocess.check_output([found, "--version"], text=True).startswith("v24.")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of Cube, in which npm installs the same packages as in the repository."""
    cube = tmp_path / "cube"
    cube.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(node.CUBE / name, cube)
    modules = cube / "node_modules"
    native = modules / "@cubejs-backend/native"
    for name, value in {
        "CUBE": cube, "MODULES": modules, "STAMP": modules / ".loc-stamp",
        "ADDON_STAMP": modules / ".loc-addon", "NATIVE": native, "ADDON": native / "index.node",
    }.items():  # fmt: skip
        monkeypatch.setattr(node, name, value)
    return cube


def test_without_a_writable_home_the_cache_is_in_the_clone(tmp_path, monkeypatch):
    """Bug: `npm ci` ended with EACCES."""
    monkeypatch.delenv("npm_config_cache", raising=False)
    caches = {tmp_path: tmp_path / ".npm", Path(__file__): ROOT / ".tools/npm-cache"}
    for home, folder in caches.items():
        monkeypatch.setenv("HOME", str(home))
        assert node.npm("config", "get", "cache").stdout.strip() == str(folder)


@pytest.mark.slow
def test_an_interrupted_installation_is_made_anew_and_a_whole_one_is_left_alone(
    own, npm_registry, monkeypatch
):
    monkeypatch.setenv("LOC_CUBE_NATIVE", "off")
    half = own / "node_modules/@duckdb/node-api"
    half.mkdir(parents=True)
    (half / "half.js").write_text("")
    node.install()
    assert not (half / "half.js").exists() and (half / "package.json").exists()
    installed = node.STAMP.stat().st_mtime_ns, half.stat().st_mtime_ns
    start = time.monotonic()
    node.install()
    assert (
        node.STAMP.stat().st_mtime_ns,
        half.stat().st_mtime_ns,
    ) == installed and time.monotonic() - start < 30


def test_what_npm_says_is_told_where_it_fails(own, monkeypatch):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    monkeypatch.setenv("npm_config_cache", str(own / "cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    with pytest.raises(
        LocError, match="Cannot install proto_loc/cube/server/package-lock.json"
    ) as failed:
        node.install()
    assert "ECONNREFUSED" in failed.value.why
    assert not node.STAMP.exists()


@pytest.fixture
def installer(own: Path):
    """Replace the addon's install script in an installation that is otherwise complete."""
    node.NATIVE.mkdir(parents=True)
    node.STAMP.write_text(node.stamp(node.program()))
    script = node.MODULES / "@cubejs-infra/post-installer/dist/bin.js"
    script.parent.mkdir(parents=True)
    count = own / "count"

    def make(text: str):
        script.write_text(f"require('fs').appendFileSync({json.dumps(str(count))}, 'x');\n{text}")
        return lambda: len(count.read_text()) if count.exists() else 0

    return make


def test_the_addon_is_tried_once_and_not_at_each_start(installer, capfd):
    tried = installer("console.error('no network'); process.exit(1)")
    for _ in range(3):
        node.install()
    assert tried() == 1
    assert capfd.readouterr().err.count("no native addon, the stand-in is used: no network") == 1
    node.ADDON_STAMP.unlink()  # `loc setup cube` does so too
    node.install()
    assert tried() == 2


@pytest.mark.slow
def test_a_script_that_hangs_is_given_up(installer, monkeypatch, capfd):
    tried = installer("setInterval(() => {}, 1000)")
    monkeypatch.setenv("LOC_CUBE_NATIVE_TIMEOUT", "1")
    node.install()
    node.install()
    assert tried() == 1 and "It took longer than 1 seconds" in capfd.readouterr().err


def test_where_it_is_required_its_absence_is_an_error_each_time(installer, monkeypatch):
    tried = installer("process.exit(1)")
    monkeypatch.setenv("LOC_CUBE_NATIVE", "required")
    for _ in range(2):
        with pytest.raises(LocError, match="LOC_CUBE_NATIVE=required"):
            node.install()
    assert tried() == 2


def test_where_it_is_off_it_is_not_tried(installer, monkeypatch):
    tried = installer("")
    monkeypatch.setenv("LOC_CUBE_NATIVE", "off")
    node.install()
    assert tried() == 0


def test_one_that_is_installed_is_said(installer, capfd):
    """The addon here is that of Cube's DuckDB driver: any addon that loads is enough."""
    known = next(
        (ROOT / "proto_loc/cube/server/node_modules/@duckdb").glob("node-bindings-*/*.node")
    )
    tried = installer(f"require('fs').symlinkSync({json.dumps(str(known))}, 'index.node')")
    node.install()
    node.install()
    assert tried() == 1 and capfd.readouterr().err.count("the native addon is installed") == 1
    assert node.ADDON.exists()


@pytest.mark.parametrize("text", ["", "half of one"])
def test_half_an_addon_does_not_count_as_installed(installer, capfd, text):
    tried = installer(f"require('fs').writeFileSync('index.node', {json.dumps(text)})")
    node.install()
    said = capfd.readouterr().err
    assert (
        "no native addon, the stand-in is used: Node cannot load" in said
        and "is installed" not in said
    )
    assert not node.ADDON.exists()
    node.install()
    assert tried() == 1


def test_what_a_script_that_is_given_up_has_started_ends_too(installer, monkeypatch, tmp_path):
    child = (
        "require('fs').writeFileSync(process.argv[1], String(process.pid)); setInterval(() => {},"
        " 1000)"
    )
    arguments = json.dumps(["-e", child, str(tmp_path / "pid")])
    installer(f"require('child_process').spawn(process.execPath, {arguments})")
    monkeypatch.setenv("LOC_CUBE_NATIVE_TIMEOUT", "2")
    node.install()
    pid, end = int((tmp_path / "pid").read_text()), time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.05)
