"""Makes and checks ``locks/NAME.json``: the archive that Nix installs of each locked package.

A lock allows every archive of a package; Nix must know the one that it fetches before it builds.
uv lists the archives of a lock; packaging chooses for each system of the flake, as installers do.
"""

import hashlib
import json
import tempfile
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging import tags
from packaging.markers import Marker
from packaging.utils import parse_wheel_filename

from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.setup import environments
from proto_loc.setup.environments import golden, uv

SYSTEMS = ("x86_64-linux", "aarch64-linux", "aarch64-darwin")
"""The systems of the flake."""
GLIBC = 28
"""Linux has glibc 2.28 or newer, which uv assumes too."""
MACOS = (14, 0)
"""The oldest macOS that nixpkgs supports."""
LAST_PATCH = 99
"""A lock may have a package for some patch releases of Python only: Nix gets those of all."""
MADE = "Made by ./loc lock; do not edit."
OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""Names of Linux platforms from before they had glibc's version, by that version."""


def names() -> list[str]:
    """The locks whose packages Nix installs: the environments, and what builds their sources."""
    return ["build", *environments.names()]


def path(name: str) -> Path:
    return ROOT / "locks" / f"{name}.json"


def lock_text(name: str) -> str:
    file = ROOT / "locks" / f"{name}.txt"
    return file.read_text() if file.exists() else ""


def text(lock: str) -> str:
    """Make the text of ``locks/NAME.json`` from that of ``locks/NAME.txt``.

    ``archives`` maps file names to SHA-256 hashes: of ``all`` systems, and of each one.

    Raises:
        LocError: a package has no archive for a system, or the registry cannot be reached.
    """
    packages = _packages(lock)
    whole = {system: archives(packages, system) for system in SYSTEMS}
    shared = dict(set.intersection(*(set(digests.items()) for digests in whole.values())))
    by_system = {"all": shared} | {
        system: {file: digest for file, digest in digests.items() if file not in shared}
        for system, digests in whole.items()
    }
    return json.dumps(content(by_system, lock), indent=1, sort_keys=True) + "\n"


def content(by_system: dict[str, dict[str, str]], lock: str) -> dict:
    """What ``locks/NAME.json`` has, with the checksums that tell whether it is up to date."""
    body = json.dumps(by_system, sort_keys=True)
    return {
        "//": MADE,
        "archives": by_system,
        "sha256": {"archives": sha256(body.encode()), "lock": sha256(lock.encode())},
    }


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _packages(lock: str) -> list[dict]:
    """The packages of a lock with all archives that it allows, as in a ``pylock.toml``."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "pylock.toml")
        uv(
            "pip",
            "compile",
            "-",
            "--no-deps",
            "--universal",
            "--format",
            "pylock.toml",
            "--python-version",
            golden()["tools"]["python"],
            "--no-header",
            "--quiet",
            "--output-file",
            out,
            stdin=lock,
        )
        return tomllib.loads(out.read_text())["packages"]


def archives(packages: list[dict], system: str) -> dict[str, str]:
    """The archives that one system installs: SHA-256 by file name."""
    python = golden()["tools"]["python"]
    ranks = {tag: rank for rank, tag in enumerate(_tags(python, system))}
    markers = [_marker_values(python, patch, system) for patch in (0, LAST_PATCH)]
    return dict(
        _archive(package, ranks, system)
        for package in packages
        if "marker" not in package or any(map(Marker(package["marker"]).evaluate, markers))
    )


def _marker_values(python: str, patch: int, system: str) -> dict[str, str]:
    """What a requirement's marker sees on a system with a patch release of Python."""
    machine, _, kernel = system.partition("-")
    darwin = kernel == "darwin"
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.{patch}",
        "os_name": "posix",
        "platform_machine": "arm64" if darwin else machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": kernel.title(),
        "platform_version": "",
        "python_full_version": f"{python}.{patch}",
        "python_version": python,
        "sys_platform": kernel,
    }


def _archive(package: dict, ranks: dict[tags.Tag, int], system: str) -> tuple[str, str]:
    """The file name and the SHA-256 of a package's best wheel, or else of its source."""
    wheels = {_file_name(wheel): wheel for wheel in package.get("wheels", [])}
    rank_by_file = {
        file: min((ranks[tag] for tag in parse_wheel_filename(file)[3] if tag in ranks), default=-1)
        for file in wheels
    }
    fitting = [file for file, rank in rank_by_file.items() if rank >= 0]
    if fitting:
        file = min(fitting, key=lambda file: (rank_by_file[file], file))
        return file, wheels[file]["hashes"]["sha256"]
    if not wheels and "sdist" in package:
        return _file_name(package["sdist"]), package["sdist"]["hashes"]["sha256"]
    raise LocError(
        f"{package['name']} {package['version']} has no archive for {system}.",
        f"Its wheels are: {', '.join(wheels) or 'none'}.",
        "Choose another version of it in golden.toml, then run ./loc lock.",
    )


def _file_name(archive: dict) -> str:
    return archive.get("name") or unquote(urlsplit(archive["url"]).path.rpartition("/")[2])


def _tags(python: str, system: str) -> Iterable[tags.Tag]:
    """The tags of the wheels that a system can use, the best first."""
    version = tuple(map(int, python.split(".")))
    machine = system.partition("-")[0]
    if system.endswith("-darwin"):
        platforms = list(tags.mac_platforms(MACOS, "arm64"))
    else:
        platforms = []
        for glibc in range(GLIBC, 4, -1):
            platforms.append(f"manylinux_2_{glibc}_{machine}")
            if glibc in OLD_NAMES:
                platforms.append(f"{OLD_NAMES[glibc]}_{machine}")
        platforms.append(f"linux_{machine}")
    interpreter = f"cp{''.join(python.split('.'))}"
    yield from tags.cpython_tags(version, platforms=platforms)
    yield from tags.compatible_tags(version, interpreter, platforms)


def differences(name: str, lock: str | None = None) -> list[str]:
    """Why ``locks/NAME.json`` is out of date; empty if it belongs to ``locks/NAME.txt``.

    It is a pure function of the lock, so that checksums tell, without the registry.

    Args:
        lock: the text of ``locks/NAME.txt``; default the one of the file.
    """
    lock = lock_text(name) if lock is None else lock
    if not path(name).exists():
        return ["missing"]
    try:
        made = json.loads(path(name).read_text())
        if made != content(made["archives"], lock):
            stale = made["sha256"]["lock"] != sha256(lock.encode())
            return [f"made from another locks/{name}.txt" if stale else "edited by hand"]
    except (ValueError, KeyError, TypeError):
        return ["edited by hand"]
    return []


def texts(locked: dict[str, str]) -> dict[Path, str]:
    """Make the text of each ``locks/NAME.json`` that is out of date.

    Args:
        locked: the text of each ``locks/NAME.txt``, by name.

    Raises:
        LocError: a package has no archive for a system, or the registry cannot be reached.
    """
    stale = [name for name in names() if differences(name, locked[name])]
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(text, (locked[name] for name in stale)))
    return {path(name): content for name, content in zip(stale, made, strict=True)}
