"""How long the services take to come up, what they cost while idle, and what a run of Dagster's
adds to a refresh.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from benchmarks import environment
from proto_loc.errors import LocError
from proto_loc.settings import ROOT

IMPORT = "import dagster, dagster_webserver.webserver, dagster._daemon.controller"

Report = Callable[[str], None]
"""Called with what is being measured next."""


@dataclass
class Stack:
    """Seconds, unless said otherwise."""

    first: float
    """From an empty data folder, with everything installed, to published data and all services
    ready.
    """
    warm: float
    """The same where there is data."""
    imports: float
    """The floor of both: to import in one process what the services import."""
    memory: int
    """PSS of the services in bytes, supervisor and ``loc exec`` not counted."""
    cpu: float
    """Of one core, while nothing happens; services only."""
    through: list[float]
    """`loc refresh --force` as a run of Dagster's."""
    direct: list[float]
    """Its floor: the same with --direct."""

    @property
    def ratio(self) -> float:
        return median(self.through) / median(self.direct)


def measure(folder: Path, *, prefix: str, idle: float, repeat: int, report: Report) -> Stack:
    """Start the services on a data folder of their own, and end them.

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
            imports = _timed(sys.executable, "-c", IMPORT)
            time.sleep(10)  # what a start leaves to do
            report(f"{idle:g} s of idling")
            memory, cpu = _idle(idle)
            through, direct = [], []
            for run in range(repeat):
                report(f"refresh through Dagster and directly, {run + 1} of {repeat}")
                through.append(_timed(ROOT / "loc", "refresh", "--force"))
                direct.append(_timed(ROOT / "loc", "refresh", "--force", "--direct"))
    return Stack(first[0], warm[0], imports, memory, cpu, through, direct)


@contextmanager
def _up() -> Iterator[list[float]]:
    """The services are up inside of the block; how long that took."""
    try:
        yield [_timed(ROOT / "loc", "up", "-d")]
    finally:
        subprocess.run([ROOT / "loc", "down"], capture_output=True)


def _timed(*command: str | Path) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise LocError(
            f"`{' '.join(map(str, command))}` failed.",
            (done.stderr or done.stdout).strip(),
            "Mend that.",
        )
    return time.perf_counter() - start


def _idle(seconds: float) -> tuple[int, float]:
    """Memory, and share of a core."""
    services = _services()
    before = sum(sum(process.cpu_times()[:2]) for process in services)
    start = time.perf_counter()
    time.sleep(seconds)
    used = sum(sum(process.cpu_times()[:2]) for process in services) - before
    elapsed = time.perf_counter() - start
    return sum(_memory(process) for process in services), used / elapsed


def _services() -> list[psutil.Process]:
    """The services and their children, by the parent that each has: its ``loc exec``."""
    states = json.loads(
        subprocess.run([ROOT / "loc", "status", "--json"], capture_output=True, text=True).stdout
    )
    parents = [psutil.Process(state["pid"]) for state in states if state["pid"]]
    return [process for parent in parents for process in parent.children(recursive=True)]


def _memory(process: psutil.Process) -> int:
    """Its proportional share of memory where the system tells it (Linux), else what it alone
    has.
    """
    info = process.memory_full_info()
    return getattr(info, "pss", 0) or info.uss
