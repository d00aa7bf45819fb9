"""Checks of the machine: memory, limits, clock, time zone, umask, locale, Windows."""

import locale
import os
import re
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil

from proto_loc import warehouse
from proto_loc.doctor.finding import Finding, ok
from proto_loc.doctor.versions import running
from proto_loc.settings import ROOT, settings
from proto_loc.setup.programs import output

MEMORY_FAIL, MEMORY_WARN = 512 * 2**20, 3 * 2**30
"""Available bytes without which a service is killed, and that a start of all services takes."""
ADDRESSES = 64 * 2**30
"""Bytes of address space that Node reserves, most of which it never uses."""
FILES = 1024
"""Open files that a service may need: Superset, Cube and Dagster keep many databases open."""
BEHIND = 60.0
"""Seconds that a clock may be wrong before it is a trouble."""
KERNEL = Path("/proc/sys/kernel/osrelease")
POSIX_ZONE = re.compile(r"(<[\w+-]+>|[A-Za-z]{3,})[+-]?\d[\w:,./<>+-]*", re.ASCII)
"""A time zone as a rule, such as ``CET-1CEST,M3.5.0,M10.5.0/3``."""


def memory() -> Iterator[Finding]:
    """Compare the available memory, also of a container, with what the services take."""
    available = min(psutil.virtual_memory().available + psutil.swap_memory().free, *_of_group())
    text = f"{available / 2**30:.1f} GiB of memory are available"
    if available < MEMORY_FAIL or (available < MEMORY_WARN and not running()):
        yield Finding(
            "fail" if available < MEMORY_FAIL else "warn",
            f"{text}.",
            "All services take about 2.5 GB, and a build or a large query more; the system ends"
            " processes when none is left.",
            "End other programs, give the machine or container more, or start a part: ./loc up"
            " --only dagster-web,dagster-daemon,superset",
            symptom="A service or a build ends by itself, with exit code 137 or `Killed`",
        )
    else:
        yield ok(text)


def _of_group() -> list[int]:
    """The bytes that the limits of this process's control groups leave (Linux)."""
    rooms = [2**62]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            names, base = (
                (names, Path("/sys/fs/cgroup/memory"))
                if controllers
                else (("memory.max", "memory.current"), Path("/sys/fs/cgroup"))
            )
            place = base / path.strip("/")
            for folder in (place, *place.parents):
                if folder.is_relative_to(base):
                    with suppress(OSError, ValueError):  # no limit is the word max
                        limit, used = (int((folder / name).read_text()) for name in names)
                        rooms.append(max(0, limit - used))
    return rooms


def limits() -> Iterator[Finding]:
    """Read this shell's limits of open files, address space and size of files."""
    sound = True
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files != resource.RLIM_INFINITY and files < FILES:
        sound = False
        yield Finding(
            "warn",
            f"A process of this shell may open {files} files.",
            f"Superset, Cube and a build may need {FILES}.",
            f"ulimit -n 4096, in the shell that starts the services; {FILES} at least",
            symptom="A service or a build stops with `Too many open files`",
        )
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if space != resource.RLIM_INFINITY and space < ADDRESSES:
        sound = False
        yield Finding(
            "fail",
            f"A process of this shell may address {space / 2**30:.1f} GiB.",
            "Node reserves more than that, and uses little of it; Cube then does not start.",
            "ulimit -v unlimited, or remove that line from your shell's start-up files",
            symptom="Cube does not start: out of memory, though there is enough",
        )
    size = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if size != resource.RLIM_INFINITY:
        sound = False
        yield Finding(
            "fail",
            f"A file of this shell's processes may have {size / 2**20:,.0f} MiB.",
            "The system ends a process whose file grows beyond that, also while it publishes.",
            "ulimit -f unlimited, or remove that line from your shell's start-up files",
            symptom="A load or a publish ends with `File too large` or exit code 153",
        )
    if sound:
        yield ok("The limits of this shell let the services work")


def clock() -> Iterator[Finding]:
    """Compare the clock with times that have certainly passed, and read the time zone."""
    moments = {}
    for database in warehouse.DATABASES:
        for version in warehouse.store.history(database)[:1]:
            with suppress(ValueError):
                at = datetime.fromisoformat(version.published_at).timestamp()
                moments[f"version {version.id} of {database} was published"] = at
    if (commit := output(["git", "-C", ROOT, "log", "-1", "--format=%ct"])).isdecimal():
        moments["the last commit of this clone was made"] = float(commit)
    event, latest = max(moments.items(), key=lambda item: item[1], default=("", 0.0))
    if latest > time.time() + BEHIND:
        yield Finding(
            "warn",
            f"The clock shows {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, and {event} later.",
            f"That was at {datetime.fromtimestamp(latest, UTC):%Y-%m-%d %H:%M} UTC. Schedules,"
            " freshness and grace times go by the clock, and so do certificates.",
            "Let the machine take the time from the network: timedatectl set-ntp true; in WSL:"
            " sudo hwclock -s",
            symptom="Ages are negative, schedules do not run, or certificates are not yet valid",
        )
    else:
        yield ok(f"The clock shows {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    if (zone := os.environ.get("TZ")) and not _is_zone(zone):
        yield Finding(
            "warn",
            f"TZ={zone} is no time zone.",
            "Programs then show UTC, without a word.",
            "Set it to one such as Europe/Berlin, or unset TZ",
            symptom="Times are some hours off",
        )


def _is_zone(text: str) -> bool:
    name = text.removeprefix(":")
    if os.path.isabs(name):
        return os.path.isfile(name)
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a missing zone is a KeyError
        return bool(POSIX_ZONE.fullmatch(name))
    return True


def umask() -> Iterator[Finding]:
    """Read which permissions new files do not get."""
    mask = os.umask(0o077)
    os.umask(mask)
    if mask & 0o700:
        yield Finding(
            "fail",
            f"The umask is {mask:04o}.",
            "It takes your own rights from each new file, so that nothing can be read again.",
            "umask 022, or 077 where others may read nothing; in your shell's start-up files too",
            symptom="Files that were just written cannot be read: permission denied",
        )
    elif not mask & 0o002:
        yield Finding(
            "warn",
            f"The umask is {mask:04o}.",
            "Everybody on this machine may change your new files, programs of this clone too.",
            "umask 022, or 077 where others may read nothing; in your shell's start-up files too",
            symptom="Other users of the machine can change files of the clone",
        )
    else:
        yield ok(f"The umask is {mask:04o}")


def encoding() -> Iterator[Finding]:
    """Read the encoding of text files, which comes from the locale."""
    name = locale.getencoding()
    if sys.flags.utf8_mode or name.lower().replace("-", "") == "utf8":
        yield ok("Text files are read as UTF-8")
    else:
        yield Finding(
            "fail",
            f"Text files are read as {name}.",
            "The locale (LC_ALL, LC_CTYPE or LANG) says so, and the files here are UTF-8.",
            "export LC_ALL=C.UTF-8, or PYTHONUTF8=1",
            symptom="Letters such as ä or é are shown as two others, or a file cannot be decoded",
        )


def windows() -> Iterator[Finding]:
    """Look for what goes wrong in Windows' Subsystem for Linux."""
    kernel = KERNEL.read_text().strip() if KERNEL.exists() else ""
    if "microsoft" not in kernel.lower():
        yield ok("This is not Windows' Subsystem for Linux")
        return
    sound = True
    if re.match(r"4\.4\.\d+-\d+-Microsoft", kernel):
        sound = False
        yield Finding(
            "fail",
            "This is the first version of Windows' Subsystem for Linux.",
            f"Its kernel, {kernel}, is no Linux: locks and sandboxes do not work.",
            "In PowerShell: wsl --set-version NAME 2; wsl --list shows the name",
            symptom="In WSL, locks, sandboxes or services fail in strange ways",
        )
    for folder in sorted({ROOT, settings().data, settings().run}):
        if re.match(r"/mnt/[a-z](/|$)", str(folder)):
            sound = False
            yield Finding(
                "fail",
                f"{folder} is on a drive of Windows.",
                "Modes and locks are not kept there, and each file is many times slower.",
                "Clone into your home folder of Linux (cd ~), and leave LOC_DATA and LOC_RUN there",
                symptom="In WSL, everything is slow, or secrets are not private",
            )
    if sound:
        yield ok(f"WSL 2, kernel {kernel}, and all folders are on Linux's own disk")
