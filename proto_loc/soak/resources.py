"""Samples memory, open files and threads of every process, and the disk."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from proto_loc.compose.client import Client
from proto_loc.home.machine import memory, size
from proto_loc.settings import settings
from proto_loc.warehouse.lake import BIN

LOCKED = re.compile(
    r"database is locked|could not set lock|conflicting lock|cannot obtain a lock", re.IGNORECASE
)
"""Messages of SQLite and DuckDB that a lock could not be had."""

Sample = dict[str, dict[str, float]]
"""By process (``disk`` stands for the folders): the measures."""


class Sampler:
    """Takes samples of the services, and notes which have restarted since the first one."""

    def __init__(self) -> None:
        self._pids: dict[str, int] = {}
        self.restarted: list[str] = []

    def take(self) -> Sample:
        """Measure every running process with its descendants."""
        with Client() as client:
            pids = {state.name: state.pid for state in client.processes() if state.pid}
        for name, pid in self._pids.items():
            if pids.get(name) != pid:
                self.restarted.append(name)
        self._pids = dict(pids)
        parents = set()
        for pid in pids.values():
            with suppress(psutil.Error):
                parents.add(psutil.Process(pid).ppid())
        used = memory(pids.values())
        sample = {name: {"memory": float(used.get(pid, 0))} for name, pid in pids.items()}
        for name, pid in pids.items():
            sample[name] |= _counts(_family(pid))
        if len(parents) == 1:  # all are children of the supervisor
            with suppress(psutil.Error):
                supervisor = psutil.Process(parents.pop())
                rss = float(supervisor.memory_info().rss)
                sample["supervisor"] = {"memory": rss} | _counts([supervisor])
        own = settings()
        waiting = float(size(own.lake / BIN))
        data = size(own.data) - waiting
        sample["disk"] = {"data": data, "bin": waiting, "run": float(size(own.run))}
        return sample


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def _counts(processes: list[psutil.Process]) -> dict[str, float]:
    counts = {"files": 0.0, "threads": 0.0, "processes": 0.0}
    for process in processes:
        with suppress(psutil.Error):
            files, threads = process.num_fds(), process.num_threads()
            counts["files"] += files
            counts["threads"] += threads
            counts["processes"] += 1
    return counts


class Logs:
    """The messages about locks that services write from now on.

    A log that is rotated has another name, and is the same file.
    """

    def __init__(self) -> None:
        self._ends: dict[tuple[int, int], int] = {}
        """By file: where the lines end that were read."""
        for path in self._paths():
            with suppress(OSError):
                status = path.stat()
                self._ends[status.st_dev, status.st_ino] = status.st_size

    def lock_messages(self) -> list[str]:
        """The lines since the last call that name a lock, each with its file."""
        return [f"{name}: {line[:300]}" for name, line in self._lines() if LOCKED.search(line)]

    def _lines(self) -> Iterator[tuple[str, str]]:
        known, self._ends = self._ends, {}
        for path in self._paths():
            with suppress(OSError), path.open("rb") as file:
                status = os.fstat(file.fileno())
                own = (status.st_dev, status.st_ino)
                start = known.get(own, 0)
                file.seek(start if status.st_size >= start else 0)  # it was made anew
                self._ends[own] = file.tell()
                for line in file:
                    if not line.endswith(b"\n"):  # its end comes later
                        break
                    self._ends[own] += len(line)
                    yield path.name, line.decode(errors="replace").strip()

    @staticmethod
    def _paths() -> list[Path]:
        return sorted((settings().run / "logs").glob("*.log*"))
