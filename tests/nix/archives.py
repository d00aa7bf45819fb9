"""Archives for the store of the Nix tests: the wheels of uv and Node, and a process-compose.

No package registry has the release of process-compose. A machine that has the golden version on
PATH packs it; elsewhere the archive holds a script that starts ``proto_loc.compose``. Its SHA-256
goes into the test's copy of golden.toml.
"""

import hashlib
import io
import json
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from proto_loc import files
from proto_loc.settings import ROOT
from proto_loc.setup.environments import golden

MACHINE = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}[
    platform.machine()
]
SYSTEM = f"{MACHINE}-{sys.platform}"
"""This machine, as Nix calls it."""
TARGET = f"{sys.platform}_{'amd64' if MACHINE == 'x86_64' else 'arm64'}"
"""This machine, as the releases of process-compose call it."""
STAND_IN = """#!/bin/sh
case "$1" in version) echo v{version}; exit ;; up) ;; *) exit 2 ;; esac
export PYTHONPATH="$PWD"
exec "{python}" -P -m proto_loc.compose "$PWD/process-compose.yaml" "$PC_SOCKET_PATH"
"""


def wheel(tool: str) -> Path:
    """The wheel of a tool in ``locks/tools.json`` for this machine, kept in ``.tools/``."""
    name = json.loads((ROOT / "locks/tools.json").read_text())[tool][SYSTEM]["file"]
    path = ROOT / ".tools/wheels" / name
    with files.locked(ROOT / ".tools/wheels.lock"):
        if not path.exists():
            _download(tool, name, path.parent)
    return path


def _download(tool: str, name: str, folder: Path) -> None:
    platforms = name.removesuffix(".whl").rpartition("-")[2].split(".")
    pip = [shutil.which("python3"), "-m", "pip", "download", "--quiet", "--no-deps"]
    pinned = ["--require-hashes", "--only-binary", ":all:", "-r", f"locks/{tool}.txt"]
    options = ["--dest", folder, *(word for name in platforms for word in ("--platform", name))]
    done = subprocess.run([*pip, *pinned, *options], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"python3 -m pip cannot download {name}: {done.stderr.strip()[-300:]}")


def process_compose(folder: Path) -> tuple[Path, bool]:
    """Make an archive named as the release; return whether its program is the real one."""
    version = golden()["tools"]["process-compose"]["version"]
    program = shutil.which("process-compose")
    command = [program, "version", "--short"]
    real = bool(program) and f"v{version}" in subprocess.check_output(command, text=True)
    script = STAND_IN.format(version=version, python=sys.executable).encode()
    content = Path(program).read_bytes() if real else script
    path = folder / f"process-compose_{TARGET}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("process-compose")
        member.mode, member.size = 0o755, len(content)
        archive.addfile(member, io.BytesIO(content))
    return path, real


def pin(archive: Path, text: str) -> str:
    """Put the SHA-256 of an archive of process-compose into the text of golden.toml."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return re.sub(rf'(?m)^{TARGET} = "\w+"', f'{TARGET} = "{digest}"', text)
