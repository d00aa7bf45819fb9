"""Archives for the store of the Nix tests: of uv and Node, of all packages, and a process-compose.

The registries' own clients download them: pip into ``.tools/wheels``, npm into its cache.

No package registry has the release of process-compose. A machine that has the golden version on
PATH packs it; elsewhere the archive holds a script that starts ``proto_loc.compose``. Its SHA-256
goes into the test's copy of golden.toml.
"""

import base64
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
from packaging.utils import parse_sdist_filename, parse_wheel_filename

from proto_loc import files
from proto_loc.settings import ROOT
from proto_loc.setup import nix_lock, node
from proto_loc.setup.environments import golden

MACHINE = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}[
    platform.machine()
]
SYSTEM = f"{MACHINE}-{sys.platform}"
"""This machine, as Nix calls it."""
TARGET = f"{sys.platform}_{'amd64' if MACHINE == 'x86_64' else 'arm64'}"
"""This machine, as the releases of process-compose call it."""
NODE = {"os": sys.platform, "cpu": {"x86_64": "x64", "aarch64": "arm64"}[MACHINE], "libc": "glibc"}
"""This machine, as npm calls it."""
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
    pip = [*pip_command(), "download", "--quiet", "--no-deps"]
    pinned = ["--require-hashes", "--only-binary", ":all:", "-r", f"locks/{tool}.txt"]
    options = ["--dest", folder, *(word for name in platforms for word in ("--platform", name))]
    done = subprocess.run([*pip, *pinned, *options], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"python3 -m pip cannot download {name}: {done.stderr.strip()[-300:]}")


@cache
def pip_command() -> list[str]:
    """The first Python with pip: that of the flake, which is first on PATH there, has none."""
    for python in filter(shutil.which, ("python3", "/usr/bin/python3")):
        command = [python, "-m", "pip"]
        if subprocess.run([*command, "--version"], capture_output=True).returncode == 0:
            return command
    pytest.skip("no python3 here has pip, which downloads the archives")


def of_environments() -> list[Path]:
    """What locks/*.json name for this machine, kept in ``.tools/wheels``."""
    digests: dict[str, str] = {}
    for name in nix_lock.names():
        by_system = json.loads(nix_lock.path(name).read_text())["archives"]
        digests |= by_system["all"] | by_system[SYSTEM]
    folder = ROOT / ".tools/wheels"
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(ROOT / ".tools/wheels.lock"):
        missing = {name for name in digests if not (folder / name).exists()}
        wheels = sorted(name for name in missing if name.endswith(".whl"))
        with ThreadPoolExecutor(2) as pool:
            lines = [_requirement(name, digests[name]) for name in wheels]
            list(pool.map(lambda batch: _pip(batch, folder), _batches(lines)))
        with tempfile.TemporaryDirectory() as build:  # pip asks a source for its name and version
            with zipfile.ZipFile(next(folder.glob("setuptools-*.whl"))) as setuptools:
                setuptools.extractall(build)
            for name in sorted(missing.difference(wheels)):
                options = ("--no-build-isolation", "--no-binary", ":all:")
                _pip([_requirement(name, digests[name])], folder, *options, PYTHONPATH=build)
    return [folder / name for name in digests]


def _requirement(file: str, digest: str) -> str:
    wheel = file.endswith(".whl")
    name, version = parse_wheel_filename(file)[:2] if wheel else parse_sdist_filename(file)
    return f"{name}=={version} --hash=sha256:{digest}"


def _batches(lines: list[str]) -> list[list[str]]:
    """Lists that name no package twice, which pip refuses; the two long ones are halves."""
    versions: dict[str, list[str]] = {}
    for line in lines:
        versions.setdefault(line.partition("==")[0], []).append(line)
    rounds = [[rest.pop() for rest in versions.values() if rest] for _ in lines]
    first, *others = rounds or [[]]
    return [batch for batch in (first[::2], first[1::2], *others) if batch]


def _pip(lines: list[str], folder: Path, *options: str, **env: str) -> None:
    binary = options or ("--only-binary", ":all:", "--python-version", golden()["tools"]["python"])
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("\n".join(lines))
        requirements.flush()
        command = [*pip_command(), "download", "--quiet", "--no-deps"]
        # The lock has decided for which Python a package is: some need a later patch release.
        command += ["--ignore-requires-python", "--require-hashes", "--dest", folder]
        command += ["--requirement", requirements.name]
        done = subprocess.run(
            [*command, *binary], env=os.environ | env, capture_output=True, text=True
        )
    if done.returncode:
        pytest.skip(f"python3 -m pip cannot download packages: {done.stderr.strip()[-300:]}")


def of_cube(folder: Path) -> list[Path]:
    """Links in ``folder`` to the npm archives of Cube's server that this machine installs.

    npm keeps each one in its cache, under its hash.
    """
    cache = Path(node.npm("config", "get", "cache").stdout.strip(), "_cacache/content-v2/sha512")
    packages = json.loads((node.CUBE / "package-lock.json").read_text())["packages"]
    links: dict[Path, Path] = {}
    for path, package in packages.items():
        if path and all(package.get(key, [value]) == [value] for key, value in NODE.items()):
            digest = base64.b64decode(package["integrity"].removeprefix("sha512-")).hex()
            name = package.get("name") or path.rpartition("node_modules/")[2]
            link = folder / f"{name.replace('@', '').replace('/', '-')}-{package['version']}.tgz"
            links[link] = cache / digest[:2] / digest[2:4] / digest[4:]
    if not all(path.exists() for path in links.values()):
        trial = folder / "trial"
        trial.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(node.CUBE / name, trial)
        done = node.npm("ci", "--ignore-scripts", "--prefer-offline", cwd=trial)
        shutil.rmtree(trial)
        if done.returncode:
            pytest.skip(f"npm cannot download packages: {done.stderr.strip()[-300:]}")
    return [shutil.copy(path, link) for link, path in links.items()]


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
