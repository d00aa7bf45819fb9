"""Tests of settle.py: a file that several wheels ship comes from the wheel that is named."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from proto_loc.settings import ROOT
from proto_loc.setup import settle
from proto_loc.setup.environments import golden, names

SCRIPT = ROOT / "proto_loc/setup/settle.py"
TABLE = golden()[settle.TABLE]
INSTALLED = [name for name in names() if (ROOT / f".venvs/{name}/.stamp").exists()]


def site(environment: str) -> Path:
    return ROOT / f".venvs/{environment}/lib/python{golden()['tools']['python']}/site-packages"


def wheel(folder: Path, name: str, files: dict[str, str]) -> Path:
    """Make a wheel of these files."""
    info = f"{name}-1.0.dist-info"
    contents = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{path},{settle.digest(text.encode())},{len(text)}" for path, text in contents.items()]
    contents[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in contents.items():
            archive.writestr(file, text)
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    """Three wheels with a package in common; two have the same text."""
    (tmp_path / "wheels").mkdir()
    return [
        wheel(tmp_path / "wheels", "one", {"shared/__init__.py": "one", "shared/one.py": "1"}),
        wheel(tmp_path / "wheels", "two_b", {"shared/__init__.py": "two", "shared/two.py": "2"}),
        wheel(tmp_path / "wheels", "three", {"shared/__init__.py": "one"}),
    ]


def install(folder: Path, wheels: list[Path]) -> Path:
    """Unpack wheels over each other, as installers do."""
    for path in wheels:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    return folder


def run(
    site: Path, *arguments: str | Path, table: dict[str, str] | None = None
) -> subprocess.CompletedProcess:
    lines = [f'"{path}" = "{name}"' for path, name in (table or {}).items()]
    text = site.parent / "golden.toml"
    text.write_text("\n".join([f"[{settle.TABLE}]", *lines]))
    command = [sys.executable, "-I", SCRIPT, site, "--golden", text, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("owner", ["one", "two-b"])
def test_any_order_of_wheels_gives_the_same_bytes(owner, wheels, tmp_path):
    results = []
    for order in (wheels, wheels[::-1], wheels[1:] + wheels[:1]):
        folder = install(tmp_path / f"site-{len(results)}", order)
        done = run(folder, *wheels, table={"shared/__init__.py": owner})
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        results.append({path: path.read_text() for path in folder.rglob("*") if path.is_file()})
        results[-1] = {str(path.relative_to(folder)): text for path, text in results[-1].items()}
    assert results[0] == results[1] == results[2]
    assert results[0]["shared/__init__.py"] == owner[:3]


def test_undeclared_file_is_named(wheels, tmp_path):
    folder = install(tmp_path / "site", wheels)
    done = run(folder, *wheels)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: Several wheels ship shared/__init__.py, with different content: one, three, two-b."
    )
    assert 'fix: Add a line to [shared-files], for example: "shared/__init__.py" = ' in done.stderr
    assert (folder / "shared/__init__.py").read_text() == "one"


def test_wheel_that_does_not_ship_the_file(wheels, tmp_path):
    done = run(install(tmp_path / "site", wheels), *wheels, table={"shared/__init__.py": "another"})
    assert done.returncode == 1
    assert "another does not ship shared/__init__.py; these wheels do: one, three" in done.stderr


def test_without_the_wheel_it_says_which_one_is_needed(wheels, tmp_path):
    folder = install(tmp_path / "site", wheels)
    done = run(folder, wheels[0], table={"shared/__init__.py": "two_b"})
    assert done.returncode == 1
    assert "fix: Give the wheel of two-b after the folder of the environment." in done.stderr


def test_linked_file_of_a_cache_stays_as_it_is(wheels, tmp_path):
    """uv links files from its cache: writing in place would change every other environment."""
    folder = install(tmp_path / "site", wheels)
    os.link(folder / "shared/__init__.py", tmp_path / "cached")
    assert run(folder, *wheels, table={"shared/__init__.py": "two_b"}).returncode == 0
    assert (tmp_path / "cached").read_text() == "one"
    assert (folder / "shared/__init__.py").read_text() == "two"


def test_compiled_modules_have_neither_time_nor_place(tmp_path):
    compiled = []
    for name, time in (("first", 1e9), ("second", 1.5e9)):
        folder = tmp_path / name / "site"
        (folder / "package").mkdir(parents=True)
        (folder / "package/module.py").write_text("def f():\n    return __file__\n")
        os.utime(folder / "package/module.py", (time, time))
        assert run(folder, "--compile").returncode == 0
        (bytecode,) = folder.rglob("*.pyc")
        compiled.append(bytecode.read_bytes())
    assert compiled[0] == compiled[1]
    assert str(tmp_path).encode() not in compiled[0]


@pytest.mark.parametrize("environment", INSTALLED)
def test_environment_is_settled(environment):
    for path, owner in settle.decided(site(environment), TABLE).items():
        assert settle.digest((site(environment) / path).read_bytes()) == owner.digest, path


def test_each_declared_file_is_shared():
    """A line stays in golden.toml only as long as wheels disagree about its file."""
    shared = {path for name in INSTALLED for path in settle.conflicts(site(name))}
    if set(INSTALLED) == set(names()):
        assert set(TABLE) == shared
    else:
        assert shared <= set(TABLE)


def test_lost_file_comes_from_the_lock(tmp_path, registry):
    """What the launcher does: uv unpacks the named wheel of the lock."""
    installed, folder = site("platform"), tmp_path / "site"
    for record in installed.glob("dbt_*.dist-info/RECORD"):
        (folder / record.parent.name).mkdir(parents=True)
        (folder / record.parent.name / "RECORD").write_bytes(record.read_bytes())
    for path in {*TABLE, *settle.owners(folder)}:
        target = folder / path
        if target.is_relative_to(folder / "dbt") and (installed / path).exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((installed / path).read_bytes())
    lost = next(iter(TABLE))
    (folder / lost).write_text("of another wheel")
    lock = ROOT / "locks/platform.txt"
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\nexec "{ROOT}/loc" --uv "$@"\n')
    uv.chmod(0o755)
    done = run(folder, "--uv", uv, "--lock", lock, table=TABLE)
    assert done.returncode == 0, done.stderr
    assert (folder / lost).read_bytes() == (installed / lost).read_bytes()
