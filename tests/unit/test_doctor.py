"""``loc doctor``: each check sees what it is for, and says the way out."""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from proto_loc import doctor
from proto_loc.cli import main
from proto_loc.environments import golden
from proto_loc.errors import LocError
from proto_loc.settings import PORTS, ROOT


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch):
    """An environment in which this clone is well."""
    for name in ("LOC_PYTHON", "LOC_UV", "LOC_LIBRARY_PATH", "LD_LIBRARY_PATH", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the checks take for the clone."""
    for module in (doctor.clone, doctor.nix):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path


def found(check: str) -> list[doctor.Finding]:
    return [finding for name, finding in doctor.look() if name == check]


def only(check: str) -> doctor.Finding:
    """The one finding of a check that is not ok. It names a way out."""
    (finding,) = (finding for finding in found(check) if finding.status != "ok")
    assert finding.why and finding.fix
    return finding


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def on_path(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(path.parent), prepend=os.pathsep)


def test_this_clone_is_well_and_every_check_says_something(data):
    findings = list(doctor.look())
    assert [finding for name, finding in findings if finding.status == "fail" and name != "ports"] == []
    silent = set(doctor.CHECKS) - {name for name, _ in findings}
    assert silent <= {"loader", "launcher"}, "they speak of what is wrong alone"


def test_old_python(monkeypatch):
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.1")
    assert only("python").what == "The platform runs on Python 3.12.1."


def test_python_that_is_asked_for_and_gone(monkeypatch):
    monkeypatch.setenv("LOC_PYTHON", "/nix/store/gone/bin/python3.11")
    finding = only("python")
    assert finding.status == "fail" and "/nix/store/gone/bin/python3.11" in finding.what


def test_no_uv(root, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert golden()["tools"]["uv"] in only("uv").what


@pytest.mark.parametrize("version, ok", [("0.13.1", True), ("0.4.1", False)])
def test_uv_on_path(root, tmp_path, monkeypatch, version: str, ok: bool):
    on_path(program(tmp_path / "bin/uv", f"echo uv {version}"), monkeypatch)
    assert [finding.status for finding in found("uv")] == ["ok" if ok else "warn"]


@pytest.mark.parametrize("version, status", [("0.11.25", "ok"), ("0.8.22", "fail"), ("nonsense", "fail")])
def test_uv_of_the_nix_shell(tmp_path, monkeypatch, version: str, status: str):
    monkeypatch.setenv("LOC_UV", str(program(tmp_path / "uv", f"echo 'uv {version} (x)'")))
    assert [finding.status for finding in found("uv")] == [status]


def test_uv_of_a_nix_shell_that_is_gone(monkeypatch):
    monkeypatch.setenv("LOC_UV", "/nix/store/gone/bin/uv")
    assert only("uv").what == "LOC_UV=/nix/store/gone/bin/uv is no program."


@pytest.fixture
def environment(root: Path) -> Path:
    """``.venvs/platform`` of a clone, stamped as the launcher stamps it."""
    shutil.copytree(ROOT / "locks", root / "locks")
    folder = root / ".venvs/platform"
    program(folder / "bin/python", "")
    sums = subprocess.run(
        ["cksum", "locks/platform.txt", "locks/build.txt", "locks/uv.txt"], cwd=root, capture_output=True, text=True
    )
    (folder / ".stamp").write_text(f"{sums.stdout.strip()} {root}\n/a/python\n/lent\n".replace("txt\n", "txt ", 2))
    return folder


def test_environment_in_sync(environment):
    assert [finding.status for finding in found("environments")] == ["ok", "ok", "ok"]


def test_the_stamp_of_the_launcher_is_read():
    assert found("environments")[0].what == ".venvs/platform is what locks/platform.txt says"


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda folder, _: (folder / ".stamp").unlink(), "interrupted"),
        (lambda folder, _: (folder / "../../locks/platform.txt").write_text("x"), "A lock has changed"),
        (lambda folder, _: (folder / "bin/python").unlink(), "/a/python, is gone"),
        (lambda _, monkeypatch: monkeypatch.setenv("LOC_PYTHON", "/b/python"), "now LOC_PYTHON=/b/python"),
        (lambda _, monkeypatch: monkeypatch.setenv("LOC_LIBRARY_PATH", "/else"), "now LOC_LIBRARY_PATH=/else"),
    ],
    ids=["stamp", "lock", "interpreter", "other python", "other libraries"],
)
def test_environment_out_of_sync(environment, monkeypatch, change, why: str):
    change(environment, monkeypatch)
    finding = only("environments")
    assert why in finding.why and finding.fix == "./loc setup platform"


def test_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "file/data"))
    with pytest.raises(OSError):
        (tmp_path / "file/data").mkdir()
    assert only("folders").what == f"{tmp_path}/file/data cannot be written."


@pytest.mark.parametrize("free, status", [(10 * 2**30, "ok"), (2 * 2**30, "warn"), (2**20, "fail")])
def test_disk_space(data, monkeypatch, free: int, status: str):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**40, 0, free))
    assert {finding.status for finding in found("space")} == {status}


def test_taken_port(data, port_prefix, monkeypatch):
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    assert [finding.status for finding in found("ports")] == ["ok"]
    with socket.create_server(("127.0.0.1", int(f"{port_prefix}{PORTS['dagster']}"))):
        finding = only("ports")
    assert finding.status == "fail" and f"pid {os.getpid()}" in finding.why


@pytest.mark.parametrize("version, status", [("v1.110.0", "ok"), ("v1.94.0", "warn")])
def test_process_compose_on_path(tmp_path, monkeypatch, version: str, status: str):
    on_path(program(tmp_path / "process-compose", f"echo {version}"), monkeypatch)
    assert [finding.status for finding in found("process-compose")] == [status]


def test_long_socket_path(tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_RUN", str(tmp_path / ("x" * 100)))
    assert only("sockets").status == "warn"


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has a TMPDIR that no Nix shell made")
def test_temporary_folder_of_a_nix_shell_that_has_ended(data, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/tmp/nix-shell.gone")
    assert only("sockets").what == "TMPDIR=/tmp/nix-shell.gone is no folder."


def test_exported_libraries(monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nix/store/x/lib")
    assert only("libraries").what == "LD_LIBRARY_PATH=/nix/store/x/lib is exported."


def test_libraries_that_are_gone(tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_LIBRARY_PATH", f"{tmp_path}:/nix/store/gone/lib")
    assert only("libraries").what == "LOC_LIBRARY_PATH names /nix/store/gone/lib."


@pytest.mark.parametrize("loader, status", [("ld.so", "ok"), ("stub-ld", "warn"), ("", "warn")])
def test_loader_of_nixos(tmp_path, monkeypatch, loader: str, status: str):
    mark, path = tmp_path / "NIXOS", tmp_path / "ld-linux"
    mark.touch()
    if loader:
        (tmp_path / loader).touch()
        path.symlink_to(tmp_path / loader)
    monkeypatch.setattr(doctor.nix, "NIXOS", mark)
    monkeypatch.setattr(doctor.nix, "LOADER", path)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert [finding.status for finding in found("loader")] == [status]


def test_launcher_without_its_mode(root):
    (root / "loc").touch(mode=0o644)
    finding = only("launcher")
    assert finding.status == "fail" and finding.fix.startswith(f"chmod +x {root}/loc")


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
        assert [finding.status for finding in found("nix")] == ["ok"]


def test_untracked_file_that_the_flake_needs(root):
    assert only("tracked").fix == "git init && git add ."
    subprocess.run(["git", "init", "--quiet", root], check=True)
    (root / "nix").mkdir()
    (root / "nix/new.nix").touch()
    (root / "note.txt").touch()
    finding = only("tracked")
    assert (finding.status, finding.fix) == ("fail", "git add nix/new.nix")
    subprocess.run(["git", "add", "nix"], cwd=root, check=True)
    assert [finding.status for finding in found("tracked")] == ["ok"]


def test_what_a_check_stumbles_over_is_a_finding(monkeypatch):
    def broken():
        raise LocError("It broke.", "So.", "Mend it.")
        yield

    monkeypatch.setattr(doctor, "CHECKS", {"broken": broken})
    assert list(doctor.look()) == [("broken", doctor.Finding("fail", "It broke.", "So.", "Mend it."))]


@pytest.mark.parametrize("status, code", [("ok", 0), ("warn", 0), ("fail", 1)])
def test_command(monkeypatch, capsys, status: str, code: int):
    checks = {"one": lambda: iter([doctor.Finding(status, "What [x].", "Why.", "Fix.")])}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    assert main(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out) == [
        {"check": "one", "status": status, "what": "What [x].", "why": "Why.", "fix": "Fix."}
    ]
    assert main(["doctor"]) == code
    said = capsys.readouterr().out
    assert said.startswith(f"{status:<4} one ") and "What [x]." in said and "fix: Fix." in said
