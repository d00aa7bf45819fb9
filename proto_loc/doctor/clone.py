"""Checks of this clone: interpreter, environments, folders, disk space, ports, sockets."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from proto_loc.compose import supervisor
from proto_loc.compose.client import SOCKET
from proto_loc.doctor.finding import Finding, ok
from proto_loc.errors import LocError
from proto_loc.settings import ROOT, environment_folder, settings
from proto_loc.setup.environments import golden, names, needed, remedy
from proto_loc.setup.programs import output

EXECUTABLES = ("loc", ".ci/*", ".devcontainer/run")
"""Glob patterns of executables; nix/template.nix, nix/programs.nix and docs/nix.md repeat them."""
SPACE_FAIL, SPACE_WARN = 1 * 2**30, 5 * 2**30
"""Free bytes that a first start needs, and that a month of use needs."""
INODES = 1000
"""Files that a day of use makes."""
IN_MEMORY = ("tmpfs", "ramfs")


def python() -> Iterator[Finding]:
    golden_version, version = golden()["tools"]["python"], platform.python_version()
    if version.startswith(f"{golden_version}."):
        yield ok(f"Python {version}, {Path(sys.executable).resolve()}")
    else:
        fix = (
            remedy()[1]
            if os.environ.get("LOC_ENVIRONMENTS")
            else f"./loc down && rm '{ROOT}/.venvs/platform/.stamp' && ./loc setup platform, with"
            f" Python {golden_version} on PATH or in LOC_PYTHON"
        )
        yield Finding(
            "fail",
            f"The platform runs on Python {version}.",
            f"golden.toml asks for {golden_version}.",
            fix,
            symptom="Set-up or a command fails in an import, or names another Python",
        )
    asked = os.environ.get("LOC_PYTHON") or ""
    if "/" in asked and not os.access(asked, os.X_OK):
        yield Finding(
            "fail",
            f"LOC_PYTHON={asked} is not a program.",
            "There is no executable file.",
            "Set it to a Python 3.11, unset it, or enter the Nix shell again.",
            symptom="Set-up or a command fails in an import, or names another Python",
        )


def uv() -> Iterator[Finding]:
    lock = ROOT / "locks/uv.txt"
    locked = re.search(r"^uv==(\S+)", lock.read_text(), re.MULTILINE) if lock.exists() else None
    golden_version = locked[1] if locked else golden()["tools"]["uv"]
    if os.environ.get("LOC_ENVIRONMENTS"):
        yield ok("uv is not needed: the environments of LOC_ENVIRONMENTS are finished")
        return
    asked, program = os.environ.get("LOC_UV") or "", shutil.which("uv")
    if asked and os.access(asked, os.X_OK):
        version, series = _version(asked), golden_version.rpartition(".")[0]
        if version.startswith(f"{series}."):
            yield ok(f"uv {version}, {asked}")
        else:
            yield Finding(
                "fail",
                f"LOC_UV={asked} is uv {version or 'of unknown version'}.",
                f"Set-up is tested with {series}.x.",
                "Unset LOC_UV: the golden uv is fetched.",
                symptom="Set-up cannot fetch or run uv",
            )
        return
    if asked:
        yield Finding(
            "warn",
            f"LOC_UV={asked} is not a program.",
            "There is no executable file; another uv is used.",
            "Unset it, or enter the Nix shell again.",
            symptom="Set-up cannot fetch or run uv",
        )
    fetched = ROOT / f".tools/uv-{golden_version}"
    version = _version(program) if program else ""
    if version.startswith(f"{golden_version.rpartition('.')[0]}."):
        yield ok(f"uv {version}, {program}")
    elif os.access(fetched, os.X_OK):
        if (version := _version(str(fetched))) == golden_version:
            yield ok(f"uv {golden_version}, {fetched}")
        else:
            yield Finding(
                "fail",
                f"{fetched} is uv {version or 'of unknown version'}.",
                f"locks/uv.txt says {golden_version}.",
                f"rm '{fetched}'; ./loc setup fetches it again.",
                symptom="Set-up cannot fetch or run uv",
            )
    else:
        yield Finding(
            "warn",
            f"There is no uv {golden_version} here.",
            "It is neither on PATH nor fetched yet.",
            "./loc setup fetches it when there is something to install; that needs a registry.",
            symptom="Set-up cannot fetch or run uv",
        )


def _version(program: str) -> str:
    return output([program, "--version"]).removeprefix("uv ").split(" ")[0]


def environments() -> Iterator[Finding]:
    required = needed()
    for name in names():
        if os.environ.get("LOC_ENVIRONMENTS"):
            yield _finished(name, environment_folder(name))
            continue
        folder = ROOT / ".venvs" / name
        if name not in required and not folder.exists():
            entry = golden()["environments"][name]
            user = entry.get("only-for") or f"LOC_ENGINE={entry['engine']}"
            yield ok(f".venvs/{name} is not needed yet: it is only for `{user}`")
        elif not folder.exists():
            yield ok(f".venvs/{name} is not installed yet; its first use installs it")
        elif why := _out_of_sync(name, folder):
            yield Finding(
                "warn",
                f".venvs/{name} does not match its lock.",
                why,
                f"./loc setup {name}",
                symptom="After a merge or a move, a command misses a package or installs again",
            )
        else:
            yield ok(f".venvs/{name} matches locks/{name}.txt")


def _finished(name: str, folder: Path) -> Finding:
    """What to say of an environment in ``LOC_ENVIRONMENTS``; set-up installs none beside it."""
    made = _first_line(folder / ".stamp")
    if made == _sums(name) or made.startswith(f"{_sums(name)} /"):
        return ok(f"{folder} matches locks/{name}.txt")
    if not folder.exists() and name not in needed():
        return ok(f"{folder} is not needed")
    why, advice = remedy()
    return Finding(
        "fail",
        f"{folder} does not match its lock.",
        f"It is missing, or made from other locks. {why}",
        advice,
        symptom="A command says that an environment is not made from the locks",
    )


def _first_line(file: Path) -> str:
    return next(iter(file.read_text().splitlines()), "") if file.exists() else ""


def _sums(name: str) -> str:
    """The checksums of the locks of an environment, as the launcher writes them into its stamp."""
    locks = [f"locks/{lock}.txt" for lock in (name, "build", "uv")]
    done = subprocess.run(["cksum", *locks], cwd=ROOT, capture_output=True, text=True)
    return " ".join(filter(None, done.stdout.split("\n")))


def _out_of_sync(name: str, folder: Path) -> str:
    """The reason why ``loc --sync`` would install an environment again; empty if it would not."""
    try:
        made, python, *libraries = (folder / ".stamp").read_text().splitlines()
    except (OSError, ValueError):
        return f"{folder}/.stamp is missing: set-up was interrupted."
    if made != f"{_sums(name)} {ROOT}":
        return "A lock has changed since, or the clone was moved."
    if not os.access(folder / "bin/python", os.X_OK):
        return f"Its interpreter, {python}, is gone."
    for variable, value in (("LOC_PYTHON", python), ("LOC_LIBRARY_PATH", "".join(libraries))):
        if (asked := os.environ.get(variable)) and asked != value:
            return f"It was made with {variable}={value}, and now {variable}={asked} is set."
    return ""


def folders() -> Iterator[Finding]:
    own = () if os.environ.get("LOC_ENVIRONMENTS") else (ROOT / ".venvs", ROOT / ".tools")
    for folder in (settings().data, settings().run, *own):
        parent = _nearest(folder)
        if os.access(parent, os.W_OK | os.X_OK) and parent.is_dir():
            yield ok(f"{folder} can be written")
        elif os.statvfs(parent).f_flag & os.ST_RDONLY:
            yield Finding(
                "fail",
                f"{folder} is on a file system that is read-only.",
                f"The one of {parent} is mounted so, or the kernel did it after a fault of the"
                " disk.",
                f"See dmesg; then: mount -o remount,rw the file system of {parent}, or set LOC_DATA"
                " and LOC_RUN to another one.",
                symptom="Everything that writes says: read-only file system",
            )
        else:
            yield Finding(
                "fail",
                f"{folder} cannot be written.",
                f"{parent} is read-only, not yours, or not a folder.",
                "Make it writable, or set LOC_DATA and LOC_RUN to folders of your own.",
                symptom="A command says that a folder cannot be written",
            )


def space() -> Iterator[Finding]:
    store = {Path("/nix")} if shutil.which("nix") and Path("/nix").exists() else set()
    for folder in sorted({_nearest(settings().data), _nearest(ROOT)} | store):
        free = shutil.disk_usage(folder).free
        text = f"{free / 2**30:.1f} GiB are free at {folder}"
        disk = os.statvfs(folder)
        if disk.f_files and disk.f_favail < INODES:
            yield Finding(
                "fail" if not disk.f_favail else "warn",
                f"{disk.f_favail} more files can be made at {folder}.",
                f"Its file system has room for {disk.f_files} files, however small.",
                f"Remove many small files there (df -i '{folder}' counts them), or set LOC_DATA to"
                " another disk.",
                symptom="No space is left on a disk, although df shows some",
            )
        elif free >= SPACE_WARN:
            yield ok(text)
        else:
            yield Finding(
                "fail" if free < SPACE_FAIL else "warn",
                f"{text}.",
                "Environments take 0.5 GB and more each, and a build of prod writes a second copy"
                " before it replaces the first one.",
                "Free some space (in /nix: nix-collect-garbage), or set LOC_DATA to a larger disk.",
                symptom="Set-up, a load or a publish stops for want of space",
            )


def disk() -> Iterator[Finding]:
    """Find data that a restart of the machine takes away."""
    folder = _nearest(settings().data).resolve()
    mounts = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    kind = next((mounts[place] for place in (folder, *folder.parents) if place in mounts), "")
    if kind in IN_MEMORY:
        yield Finding(
            "warn",
            f"The data, {settings().data}, is in memory ({kind}).",
            "It is gone when the machine ends, and takes the memory of the services.",
            "Set LOC_DATA to a folder on a disk.",
            symptom="After a restart of the machine, all data is gone",
        )
    else:
        yield ok(f"The data is on a disk{f' ({kind})' if kind else ''}")


def ports() -> Iterator[Finding]:
    """Name the process that listens on a port of this clone, and a free ``LOC_PORT_PREFIX``."""
    from proto_loc import services
    from proto_loc.services import ports

    try:
        ports.check(name for name, service in services.SERVICES.items() if service.port)
    except LocError as error:
        if "of another clone" in error.why:
            yield Finding(
                "fail",
                f"Another clone uses the ports of this one. {error.what}",
                error.why,
                error.fix,
                symptom="Of two clones, the second one does not start",
            )
        else:
            yield Finding(
                "fail",
                error.what,
                error.why,
                error.fix,
                symptom="`./loc up` says that a port is in use",
            )
        return
    used = [
        str(settings().port(service.port)) for service in services.SERVICES.values() if service.port
    ]
    yield ok(f"Port {', '.join(used)} of 127.0.0.1: free, or used by this clone")


def process_compose() -> Iterator[Finding]:
    least = golden()["tools"]["process-compose"]["minimum"]
    program, why = supervisor.on_path()
    if program:
        yield ok(f"process-compose {why}")
    elif shutil.which("process-compose"):
        yield Finding(
            "warn",
            "The process-compose on PATH is not used.",
            f"{why}.",
            f"Install {least} or newer, or enter the Nix shell. Until then ./loc up takes another"
            " supervisor.",
            symptom="`./loc up` starts another supervisor than the installed process-compose",
        )
    else:
        yield ok(f"{why}: ./loc up takes its pinned release or proto_loc.compose")


def sockets() -> Iterator[Finding]:
    path = settings().run / SOCKET
    length = len(os.fsencode(path))
    if length < 100:
        yield ok(f"The socket's path has {length} bytes")
    else:
        yield Finding(
            "warn",
            f"{path} has {length} bytes.",
            "A Unix socket's path may have 104 on macOS and 108 on Linux. "
            "`loc up` goes through a shorter link; `process-compose up` by hand cannot.",
            "Set LOC_RUN to a folder with a shorter path, or use `loc up`.",
            symptom="`process-compose up` cannot open its socket",
        )
    if (
        sys.platform == "linux"
        and (folder := os.environ.get("TMPDIR"))
        and not Path(folder).is_dir()
    ):
        yield Finding(
            "fail",
            f"TMPDIR={folder} is not a folder.",
            "It is left from a Nix shell that has ended.",
            "unset TMPDIR",
            symptom="Programs cannot make temporary files",
        )


def launcher() -> Iterator[Finding]:
    lost = [
        path
        for name in EXECUTABLES
        for path in sorted(ROOT.glob(name))
        if not os.access(path, os.X_OK)
    ]
    if lost:
        names = ", ".join(str(path.relative_to(ROOT)) for path in lost)
        yield Finding(
            "fail",
            f"{names} of {ROOT} cannot be executed.",
            "`nix flake init` copies files without their mode.",
            f"cd '{ROOT}' && chmod +x {' '.join(EXECUTABLES)} && git update-index --chmod=+x"
            f" {' '.join(EXECUTABLES)}",
            symptom="The shell refuses to run `./loc`: permission denied",
            repair=lambda: _make_executable(lost),
        )
    else:
        yield ok("The scripts can be executed")


def _make_executable(paths: list[Path]) -> str:
    for path in paths:
        path.chmod(path.stat().st_mode | 0o111)
    return "They can be executed now; git update-index --chmod=+x tells it to git."


def _nearest(folder: Path) -> Path:
    """The folder, or its nearest parent that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())
