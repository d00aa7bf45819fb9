"""Runs all benchmarks, each in a process of its own, and gathers their figures."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import machine, scratch
from benchmarks.figures import Result
from benchmarks.report import Report
from proto_loc.settings import ROOT

FULL = {
    "pipeline": "--rows 1000000 --rows 10000000 --repeat 1",
    "warehouse": "--size-mb 1000 --repeat 3 --seconds 30",
    "stack": "--idle 30 --repeat 2",
    "cube": "--rows 1000000 --seconds 30 --publishes 20",
    "superset": "--rows 1000000 --seconds 60",
    "ai": "--repeat 3",
}
"""Options of each benchmark, so that all take about 15 minutes on two cores."""
QUICK = {
    "pipeline": "--rows 1000000 --repeat 1",
    "warehouse": "--size-mb 100 --repeat 3 --seconds 6",
    "stack": "--idle 10 --repeat 1",
    "cube": "--rows 100000 --repeat 10 --seconds 10 --publishes 5",
    "superset": "--rows 100000 --seconds 25 --repeat 3",
    "ai": "--rows 100000 --repeat 1",
}
"""The same for about five minutes."""
WITH_PORTS = ("stack", "superset", "ai")
SHOWN = 3
"""Lines of a failed benchmark that are shown if none of them begins with ``error:``."""

Say = Callable[[str], None]


def run(names: list[str], command: str, *, quick: bool, port_prefix: str, say: Say) -> Report:
    """Run the benchmarks with these names, in order; the failure of one does not stop the others.

    Args:
        command: the command line, for the report.
        say: called with each line on what happens.
    """
    with scratch() as folder:
        report = Report(command, machine.machine(folder), machine.versions())
    start = time.perf_counter()
    for number, name in enumerate(names, 1):
        options = (QUICK if quick else FULL)[name].split()
        if name in WITH_PORTS:
            options += ["--port-prefix", port_prefix]
        say(f"{number} of {len(names)}: ./loc bench {name} {' '.join(options)}")
        report.results.append(_run(name, options, say))
    report.seconds = time.perf_counter() - start
    return report


def _run(name: str, options: list[str], say: Say) -> Result:
    """Run one benchmark as the program that it also is, and read what it prints."""
    command = f"./loc bench {' '.join([name, *options])}"
    busy, start, lines = machine.busy(), time.perf_counter(), []
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "benchmarks", name, *options, "--json"],
        cwd=Path(ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def repeat_lines() -> None:
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
            say(f"  {lines[-1]}")

    listener = threading.Thread(target=repeat_lines)
    listener.start()
    try:
        printed = process.stdout.read()
        process.wait()
    except KeyboardInterrupt:  # it has got the signal too, and stops what it has started
        process.wait()
        raise
    finally:
        listener.join()
    try:
        result = Result.read(json.loads(printed))
    except ValueError:
        result = Result(name, faults=[_reason(lines, process.returncode)])
    result.command, result.seconds, result.busy = command, time.perf_counter() - start, busy
    return result


def _reason(lines: list[str], code: int) -> str:
    """Return why a benchmark ended without figures, from its last lines and exit code."""
    starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    reason = " ".join(lines[starts[-1] :] if starts else lines[-SHOWN:]).strip()
    ended = f"It was ended by signal {-code}." if code < 0 else f"It ended with exit code {code}."
    return f"{reason or 'It said nothing.'} {ended}"
