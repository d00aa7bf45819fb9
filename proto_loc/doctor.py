"""``loc doctor``: what stands in the way on this machine or in this clone, and the way out of each.

A check is a function of :data:`CHECKS` that gives findings; it changes nothing. To add one: write it, add it there, and
give it its test in ``tests/unit/test_doctor.py``.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proto_loc.compose import supervisor
from proto_loc.compose.client import SOCKET
from proto_loc.environments import golden, names
from proto_loc.errors import LocError
from proto_loc.settings import ROOT, settings

NEEDED_BY_NIX = ("flake.nix", "flake.lock", "golden.toml", "nix")
SPACE_FAIL, SPACE_WARN = 1 * 2**30, 5 * 2**30
"""Bytes that are free: fewer than a first start writes, and fewer than a month of it needs."""
NIXOS = Path("/etc/NIXOS")
"""There on NixOS alone."""
LOADER = Path("/lib64/ld-linux-x86-64.so.2")
"""Where programs of wheels (ruff, duckdb) look for their dynamic loader on x86-64."""


@dataclass(frozen=True)
class Finding:
    """What a check saw, in the sentences of :class:`proto_loc.errors.LocError`."""

    status: str
    """``ok``, ``warn`` (it works, but) or ``fail``."""
    what: str
    why: str = ""
    fix: str = ""


def look() -> Iterator[tuple[str, Finding]]:
    """Every check's findings, by its name. What a check itself stumbles over is a finding too."""
    for name, check in CHECKS.items():
        try:
            for finding in check():
                yield name, finding
        except LocError as error:
            yield name, Finding("fail", error.what, error.why, error.fix)


def _ok(what: str) -> Finding:
    return Finding("ok", what)


def _python() -> Iterator[Finding]:
    wanted, found = golden()["tools"]["python"], platform.python_version()
    if found.startswith(f"{wanted}."):
        yield _ok(f"Python {found}, {Path(sys.executable).resolve()}")
    else:
        yield Finding(
            "fail", f"The platform runs on Python {found}.", f"golden.toml asks for {wanted}.",
            f"rm -r {ROOT}/.venvs/platform, then ./loc setup platform with Python {wanted} on PATH or in LOC_PYTHON",
        )  # fmt: skip
    asked = os.environ.get("LOC_PYTHON") or ""
    if "/" in asked and not os.access(asked, os.X_OK):
        yield Finding(
            "fail", f"LOC_PYTHON={asked} is no program.", "Nothing executable is there.",
            "Set it to a Python 3.11, unset it, or enter the Nix shell anew.",
        )  # fmt: skip


def _uv() -> Iterator[Finding]:
    wanted = golden()["tools"]["uv"]
    asked, found = os.environ.get("LOC_UV") or "", shutil.which("uv")
    if asked and os.access(asked, os.X_OK):
        version = _output([asked, "--version"]).removeprefix("uv ").split(" ")[0]
        least = golden()["nixpkgs"]["uv-minimum"]
        if supervisor.number(version) >= supervisor.number(least):
            yield _ok(f"uv {version}, {asked}")
        else:
            yield Finding(
                "fail", f"LOC_UV={asked} is uv {version or 'of no version'}.", f"Set-up needs {least} or newer.",
                "Unset LOC_UV: the golden uv is fetched.",
            )  # fmt: skip
        return
    if asked:
        yield Finding(
            "warn", f"LOC_UV={asked} is no program.", "Nothing executable is there; another uv is used.",
            "Unset it, or enter the Nix shell anew.",
        )  # fmt: skip
    fetched = ROOT / f".tools/uv-{wanted}"
    version = _output([found, "--version"]).removeprefix("uv ").split(" ")[0] if found else ""
    if version.startswith(f"{wanted.rpartition('.')[0]}."):
        yield _ok(f"uv {version}, {found}")
    elif os.access(fetched, os.X_OK):
        yield _ok(f"uv {wanted}, {fetched}")
    else:
        yield Finding(
            "warn", f"There is no uv {wanted} here.", "It is neither on PATH nor fetched yet.",
            "./loc setup fetches it when there is something to install; that needs a registry.",
        )  # fmt: skip


def _environments() -> Iterator[Finding]:
    for name in names():
        folder = ROOT / ".venvs" / name
        if not folder.exists():
            yield _ok(f".venvs/{name} is not installed; it is when it is first needed")
        elif why := _out_of_sync(name, folder):
            yield Finding("warn", f".venvs/{name} is not what its lock says.", why, f"./loc setup {name}")
        else:
            yield _ok(f".venvs/{name} is what locks/{name}.txt says")


def _out_of_sync(name: str, folder: Path) -> str:
    """Why `loc --sync` would install it anew; nothing if it would not."""
    try:
        made, python, *libraries = (folder / ".stamp").read_text().splitlines()
    except (OSError, ValueError):
        return f"{folder}/.stamp is missing: set-up was interrupted."
    locks = [f"locks/{lock}.txt" for lock in (name, "build", "uv")]
    sums = subprocess.run(["cksum", *locks], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    if made != " ".join([*filter(None, sums), str(ROOT)]):
        return "A lock has changed since, or the clone was moved."
    if not os.access(folder / "bin/python", os.X_OK):
        return f"Its interpreter, {python}, is gone."
    for variable, value in (("LOC_PYTHON", python), ("LOC_LIBRARY_PATH", "".join(libraries))):
        if (asked := os.environ.get(variable)) and asked != value:
            return f"It was made with {variable}={value}, and now {variable}={asked} is asked for."
    return ""


def _folders() -> Iterator[Finding]:
    for folder in (settings().data, settings().run, ROOT / ".venvs", ROOT / ".tools"):
        there = _nearest(folder)
        if os.access(there, os.W_OK | os.X_OK) and there.is_dir():
            yield _ok(f"{folder} can be written")
        else:
            yield Finding(
                "fail", f"{folder} cannot be written.", f"{there} is read-only, not yours, or no folder.",
                "Make it writable, or set LOC_DATA and LOC_RUN to folders of your own.",
            )  # fmt: skip


def _space() -> Iterator[Finding]:
    for folder in {_nearest(settings().data), _nearest(ROOT)}:
        free = shutil.disk_usage(folder).free
        said = f"{free / 2**30:.1f} GiB are free at {folder}"
        if free >= SPACE_WARN:
            yield _ok(said)
        else:
            yield Finding(
                "fail" if free < SPACE_FAIL else "warn", f"{said}.", "Environments take 0.5 GB and more each, "
                "and a build of prod writes a second copy of it before it takes the first one's place.",
                "Free some space, or set LOC_DATA to a larger disk.",
            )  # fmt: skip


def _ports() -> Iterator[Finding]:
    from proto_loc import ports, services

    ports.check(name for name, service in services.SERVICES.items() if service.port)
    used = [str(settings().port(service.port)) for service in services.SERVICES.values() if service.port]
    yield _ok(f"Port {', '.join(used)} of 127.0.0.1: free, or this clone's")


def _supervisor() -> Iterator[Finding]:
    least = golden()["tools"]["process-compose"]["minimum"]
    found, why = supervisor.on_path()
    if found:
        yield _ok(f"process-compose {why}")
    elif shutil.which("process-compose"):
        yield Finding(
            "warn", "The process-compose on PATH is not used.", f"{why}.",
            f"Install {least} or newer, or enter the Nix shell. Until then ./loc up takes another supervisor.",
        )  # fmt: skip
    else:
        yield _ok(f"{why}: ./loc up takes its pinned release or proto_loc.compose")


def _socket() -> Iterator[Finding]:
    path = settings().run / SOCKET
    length = len(os.fsencode(path))
    if length < 100:
        yield _ok(f"The socket's path has {length} bytes")
    else:
        yield Finding(
            "warn", f"{path} has {length} bytes.", "A Unix socket's path may have 104 on macOS and 108 on Linux. "
            "`loc up` goes through a shorter link; `process-compose up` by hand cannot.",
            "Set LOC_RUN to a folder with a shorter path, or use `loc up`.",
        )  # fmt: skip
    if sys.platform == "linux" and (folder := os.environ.get("TMPDIR")) and not Path(folder).is_dir():
        yield Finding("fail", f"TMPDIR={folder} is no folder.", "A Nix shell that has ended left it.", "unset TMPDIR")


def _libraries() -> Iterator[Finding]:
    if value := os.environ.get("LD_LIBRARY_PATH"):
        yield Finding(
            "warn", f"LD_LIBRARY_PATH={value} is exported.", "Every program of this shell loads libraries from there, "
            "and one that was built for others fails in strange ways.",
            "unset LD_LIBRARY_PATH; for the platform alone there is LOC_LIBRARY_PATH",
        )  # fmt: skip
    else:
        yield _ok("LD_LIBRARY_PATH is not exported")
    for folder in filter(None, os.environ.get("LOC_LIBRARY_PATH", "").split(":")):
        if not Path(folder).is_dir():
            yield Finding(
                "fail", f"LOC_LIBRARY_PATH names {folder}.", "There is no such folder: Nix has collected it.",
                "Enter the Nix shell anew.",
            )  # fmt: skip


def _loader() -> Iterator[Finding]:
    if not NIXOS.exists() or platform.machine() != "x86_64":
        return
    if LOADER.exists() and "stub-ld" not in str(LOADER.resolve()):
        yield _ok(f"{LOADER} is there, so that programs from wheels run")
    else:
        yield Finding(
            "warn", "Programs that come in wheels do not run on this NixOS.", f"They look for {LOADER}. All that the "
            "platform itself needs is Python; `loc db shell` and the tests' linter are such programs.",
            "Set programs.nix-ld.enable = true in this machine's configuration.",
        )  # fmt: skip


def _launcher() -> Iterator[Finding]:
    for name in ("loc", ".ci/run"):
        if (ROOT / name).exists() and not os.access(ROOT / name, os.X_OK):
            yield Finding(
                "fail", f"{ROOT / name} cannot be executed.", "`nix flake init` copies files without their mode.",
                f"chmod +x {ROOT / name}; git update-index --chmod=+x {name}",
            )  # fmt: skip


def _nix() -> Iterator[Finding]:
    if not shutil.which("nix"):
        yield _ok("Nix is not on PATH; nothing needs it where ./loc is used")
        return
    # Without nix-command, neither answers; the second is how newer releases call the first.
    shown = _output(["nix", "show-config"]) or _output(["nix", "config", "show"])
    told = re.search(r"^experimental-features = (.*)$", shown, re.MULTILINE)
    if lacks := sorted({"nix-command", "flakes"} - set(told[1].split() if told else ())):
        yield Finding(
            "warn", f"Nix has {' and '.join(lacks)} turned off.", "`nix develop` and `nix run` need both.",
            "In ~/.config/nix/nix.conf: experimental-features = nix-command flakes",
        )  # fmt: skip
    else:
        yield _ok("Nix has nix-command and flakes turned on")


def _tracked() -> Iterator[Finding]:
    git = shutil.which("git")
    if not git or _output([git, "-C", str(ROOT), "rev-parse", "--is-inside-work-tree"]) != "true":
        yield Finding(
            "warn", f"{ROOT} is no git repository.", "Nix then copies all of it, data and environments too.",
            "git init && git add .",
        )  # fmt: skip
        return
    command = [git, "-C", str(ROOT), "ls-files", "--others", "--exclude-standard", "--", *NEEDED_BY_NIX]
    if untracked := _output(command).splitlines():
        yield Finding(
            "fail", f"Git does not track {', '.join(untracked)}.", "Nix reads only what is tracked or staged.",
            f"git add {' '.join(untracked)}",
        )  # fmt: skip
    else:
        yield _ok("Git tracks every file that the flake needs")


def _nearest(folder: Path) -> Path:
    """The folder itself, or where it would be made."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "python": _python,
    "uv": _uv,
    "environments": _environments,
    "folders": _folders,
    "space": _space,
    "ports": _ports,
    "process-compose": _supervisor,
    "sockets": _socket,
    "libraries": _libraries,
    "loader": _loader,
    "launcher": _launcher,
    "nix": _nix,
    "tracked": _tracked,
}
