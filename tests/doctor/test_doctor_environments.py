"""Doctor on Pythons, uv, environments, locks and packages."""

import os
import platform
import shutil
import subprocess
import sys

import pytest
from troubles import findings, is_well, on_path, only, program

from proto_loc import doctor, services
from proto_loc.doctor import versions
from proto_loc.settings import ROOT
from proto_loc.setup import environments
from proto_loc.setup.environments import golden


@pytest.mark.trouble("python", "Set-up or a command fails in an import, or names another Python")
def test_a_python_that_golden_toml_no_longer_names(tmp_path, monkeypatch):
    """As after a merge that brings another Python: the environment has the one before."""
    golden = (ROOT / "golden.toml").read_text()
    (tmp_path / "golden.toml").write_text(golden.replace('python = "3.11"', 'python = "3.12"'))
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    finding = only("python")
    assert finding.status == "fail" and "golden.toml asks for 3.12." in finding.why
    assert finding.what == f"The platform runs on Python {platform.python_version()}."


@pytest.mark.trouble("python", "Set-up or a command fails in an import, or names another Python")
def test_python_that_is_asked_for_and_gone(monkeypatch):
    monkeypatch.setenv("LOC_PYTHON", "/nix/store/gone/bin/python3.11")
    finding = only("python")
    assert finding.status == "fail" and "/nix/store/gone/bin/python3.11" in finding.what


@pytest.mark.trouble("uv", "Set-up cannot fetch or run uv")
def test_no_uv(root, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert golden()["tools"]["uv"] in only("uv").what


@pytest.mark.parametrize("version, ok", [("0.13.1", True), ("0.4.1", False)])
def test_uv_on_path(root, tmp_path, monkeypatch, version: str, ok: bool):
    on_path(program(tmp_path / "bin/uv", f"echo uv {version}"), monkeypatch)
    assert [finding.status for finding in findings("uv")] == ["ok" if ok else "warn"]


@pytest.mark.parametrize("version, status", [("0.13.9", "ok"), ("0.13.8", "fail")])
def test_a_fetched_uv_that_is_another_than_its_name_says(
    root, monkeypatch, version: str, status: str
):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (root / "locks").mkdir()
    (root / "locks/uv.txt").write_text("uv==0.13.9 \\\n")
    program(root / ".tools/uv-0.13.9", f"echo uv {version}")
    assert [finding.status for finding in findings("uv")] == [status]


@pytest.mark.parametrize(
    "version, status", [("0.13.99", "ok"), ("0.11.25", "fail"), ("nonsense", "fail")]
)
def test_uv_of_the_nix_shell(tmp_path, monkeypatch, version: str, status: str):
    monkeypatch.setenv("LOC_UV", str(program(tmp_path / "uv", f"echo 'uv {version} (x)'")))
    assert [finding.status for finding in findings("uv")] == [status]


def test_uv_of_a_nix_shell_that_is_gone(monkeypatch):
    monkeypatch.setenv("LOC_UV", "/nix/store/gone/bin/uv")
    assert only("uv").what == "LOC_UV=/nix/store/gone/bin/uv is not a program."


def test_environment_in_sync(environment):
    assert {finding.status for finding in findings("environments")} == {"ok"}


def test_an_environment_that_no_source_needs(environment):
    said = [finding.what for finding in findings("environments")]
    assert ".venvs/dlt is not needed yet: it is only for `proto_loc.sources.dlt`" in said
    assert ".venvs/trino is not needed yet: it is only for `LOC_ENGINE=trino`" in said


def test_an_environment_that_a_source_needs(environment, root, monkeypatch):
    monkeypatch.setattr(environments, "ROOT", root)
    shutil.copy(ROOT / "golden.toml", root)
    source = root / "pipelines/shop/__init__.py"
    source.parent.mkdir(parents=True)
    source.write_text("from proto_loc.sources.dlt import DltSource\n")
    assert environments.needed() == [*environments.needed()[:3], "dlt"]
    said = [finding.what for finding in findings("environments")]
    assert ".venvs/dlt is not installed yet; its first use installs it" in said


def test_the_stamp_of_the_launcher_is_read():
    assert findings("environments")[0].what == ".venvs/platform matches locks/platform.txt"


@pytest.mark.trouble(
    "environments", "After a merge or a move, a command misses a package or installs again"
)
@pytest.mark.parametrize(
    "change, why",
    [
        (lambda folder, _: (folder / ".stamp").unlink(), "interrupted"),
        (
            lambda folder, _: (folder / "../../locks/platform.txt").write_text("x"),
            "A lock has changed",
        ),
        (lambda folder, _: (folder / "bin/python").unlink(), "/a/python, is gone"),
        (
            lambda _, monkeypatch: monkeypatch.setenv("LOC_PYTHON", "/b/python"),
            "now LOC_PYTHON=/b/python",
        ),
        (
            lambda _, monkeypatch: monkeypatch.setenv("LOC_LIBRARY_PATH", "/else"),
            "now LOC_LIBRARY_PATH=/else",
        ),
    ],
    ids=["stamp", "lock", "interpreter", "other python", "other libraries"],
)
def test_environment_out_of_sync(environment, monkeypatch, change, why: str):
    change(environment, monkeypatch)
    finding = only("environments")
    assert why in finding.why and finding.fix == "./loc setup platform"


@pytest.mark.trouble("versions", "A package is of another version than golden.toml names")
def test_a_package_of_another_version_than_the_lock_names(packages):
    assert [finding.status for finding in findings("versions")] == ["ok"]
    (packages / "one-1.0.dist-info").rename(packages / "one-1.1.dist-info")
    (packages / "three-3.dist-info").mkdir()
    finding = only("versions")
    assert "one 1.1 (locked: 1.0), three 3 (not locked)" in finding.what
    assert finding.fix.startswith("Set it to a folder from these locks, which nix build")


@pytest.mark.trouble("versions", "Set-up stops at a shared file")
def test_a_change_of_shared_files_is_seen_in_an_environment_that_exists(packages, tmp_path):
    golden = tmp_path / "golden.toml"
    before = golden.read_text()
    for name, text in (("one-1.0", b"one"), ("Two_A-2.0", b"two")):
        row = f"shared.py,{doctor.versions.settle.digest(text)},3\n"
        (packages / f"{name}.dist-info/RECORD").write_text(row)
    (packages / "shared.py").write_bytes(b"two")
    golden.write_text(f'{before}"shared.py" = "two-a"\n')
    assert is_well("versions")
    golden.write_text(f'{before}"shared.py" = "one"\n')
    assert "shared.py (not from one, as [shared-files] says)" in only("versions").what
    golden.write_text(before)
    assert 'Add a line to [shared-files], for example: "shared.py" = ' in only("versions").fix


def test_the_advice_for_a_changed_environment_spares_one_in_use(packages, monkeypatch):
    """Bug: it removed the stamp without quotes, and set-up then took a running stack's packages."""
    (packages / "one-1.0.dist-info").rename(packages / "one-1.1.dist-info")
    monkeypatch.delenv("LOC_ENVIRONMENTS")
    monkeypatch.setattr(doctor.versions, "environment_folder", lambda _: packages.parents[2])
    stamp = packages.parents[2] / ".stamp"
    assert only("versions").fix == f"./loc down && rm '{stamp}' && ./loc setup platform"


@pytest.mark.trouble("locks", "A version of golden.toml is not the one that is installed")
def test_a_version_of_golden_toml_without_its_lock(packages, tmp_path):
    assert is_well("locks")
    golden = tmp_path / "golden.toml"
    golden.write_text(golden.read_text().replace('one = "1.0"', 'one = "1.1"'))
    finding = only("locks")
    assert finding.status == "fail" and "one 1.1 (locks/platform.txt: 1.0)" in finding.what


@pytest.mark.trouble("running", "A service shows another version than is installed")
def test_a_service_that_runs_with_older_packages_than_are_installed(packages, data, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
        env=os.environ | {services.MARK: services.mark("home")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        child.stdout.readline()  # before, the system may not show its environment yet
        stamp = tmp_path / ".venvs/platform/.stamp"
        os.utime(stamp, (0, 0))
        assert [finding.status for finding in findings("running")] == ["ok"]
        os.utime(stamp)
        finding = only("running")
        child.stdin.close()
    assert "home runs with older packages" in finding.what and "loc restart home" in finding.fix


def test_an_environment_in_the_place_of_another_is_compared_with_its_own_lock(
    tmp_path, monkeypatch
):
    """Bug: with LOC_ENGINE=trino, the packages of Trino's environment were called not locked."""
    (tmp_path / "trino").mkdir()
    (tmp_path / "trino/.stamp").touch()
    monkeypatch.setattr(versions, "names", lambda: ["platform"])
    monkeypatch.setattr(versions, "environment_folder", lambda name: tmp_path / "trino")
    assert list(versions.versions()) == []
    monkeypatch.setattr(versions, "names", lambda: ["trino"])
    assert [finding.status for finding in versions.versions()] == ["ok"]
