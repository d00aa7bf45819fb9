"""Measures the start and the idle load of the services, and a refresh through Dagster."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import environment, timed
from proto_loc.settings import ROOT

IMPORT = "import dagster, dagster_webserver.webserver, dagster._daemon.controller"

Report = Callable[[str], None]
"""Called with the name of the next measurement."""


@dataclass
class Stack:
    """The results, in seconds unless stated otherwise."""

    first: float
    """From an empty data folder to published data and all services ready."""
    warm: float
    """The same as ``first``, with a data folder that already has data."""
    imports: float
    """Lower bound of ``first`` and ``warm``: one process imports the modules of the services."""
    memory: int
    """Memory (PSS) of the services in bytes, without the supervisor and ``loc exec``."""
    cpu: float
    """Share of one core that the idle services use."""
    through: list[float]
    """Times of `loc refresh --force` as a run of Dagster."""
    direct: list[float]
    """Lower bound of ``through``: the same command with --direct."""


def measure(folder: Path, *, prefix: str, idle: float, repeat: int, report: Report) -> Stack:
    """Start the services on a separate data folder, measure, and stop them.

    Args:
        prefix: their ``LOC_PORT_PREFIX``.
        idle: seconds to watch the idle services.
        repeat: refreshes of each kind, in turn.

    Raises:
        LocError: a command failed.
    """
    with environment(LOC_DATA=folder / "data", LOC_RUN=folder / "run", LOC_PORT_PREFIX=prefix):
        report("the first start, to published data")
        with _up() as first:
            pass
        report("a second start")
        with _up() as warm:
            imports = timed(sys.executable, "-c", IMPORT)
            time.sleep(10)  # the services are still busy shortly after a start
            report(f"{idle:g} s of idling")
            memory, cpu = _idle(idle)
            through, direct = [], []
            for run in range(repeat):
                report(f"refresh through Dagster and directly, {run + 1} of {repeat}")
                through.append(timed(ROOT / "loc", "refresh", "--force"))
                direct.append(timed(ROOT / "loc", "refresh", "--force", "--direct"))
    return Stack(first[0], warm[0], imports, memory, cpu, through, direct)


@contextmanager
def _up() -> Iterator[list[float]]:
    """Run the services during the block; yield the duration of their start."""
    try:
        yield [timed(ROOT / "loc", "up", "-d")]
    finally:
        subprocess.run([ROOT / "loc", "down"], capture_output=True)


def _idle(seconds: float) -> tuple[int, float]:
    """Measure the idle services: memory in bytes, and their share of one core."""
    services = _services()
    before = sum(sum(process.cpu_times()[:2]) for process in services)
    start = time.perf_counter()
    time.sleep(seconds)
    used = sum(sum(process.cpu_times()[:2]) for process in services) - before
    elapsed = time.perf_counter() - start
    return sum(_memory(process) for process in services), used / elapsed


def _services() -> list[psutil.Process]:
    """Return the processes of all services: the descendants of each ``loc exec``."""
    states = json.loads(
        subprocess.run([ROOT / "loc", "status", "--json"], capture_output=True, text=True).stdout
    )
    parents = [psutil.Process(state["pid"]) for state in states["services"] if state["pid"]]
    return [process for parent in parents for process in parent.children(recursive=True)]


def _memory(process: psutil.Process) -> int:
    """Return the PSS of a process in bytes on Linux, and its USS elsewhere."""
    info = process.memory_full_info()
    return getattr(info, "pss", 0) or info.uss
