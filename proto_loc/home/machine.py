"""Measures disk and memory."""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from proto_loc.home.schema import Machine
from proto_loc.settings import settings


def machine(services_memory: int) -> Machine:
    """Disk and memory of this machine, and what this clone uses of them."""
    data, run = settings().data, settings().run
    sizes = {path.name: size(path) for path in sorted(data.glob("*"))} if data.is_dir() else {}
    sizes["logs and state"] = size(run) if run.is_dir() else 0
    disk = shutil.disk_usage(next(path for path in (data, *data.parents) if path.exists()))
    memory = psutil.virtual_memory()
    return Machine(disk.free, disk.total, sizes, memory.available, memory.total, services_memory)


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; files that disappear meanwhile are left out."""
    if path.is_symlink() or not path.is_dir():
        return _bytes(path)
    return sum(_bytes(Path(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _bytes(path: Path) -> int:
    with suppress(OSError):
        return path.lstat().st_size
    return 0


def memory(pids: Iterable[int]) -> dict[int, int]:
    """Bytes of memory of each process with its descendants, without this process itself."""
    parents = {process.pid: process.info["ppid"] for process in psutil.process_iter(["ppid"])}
    families: dict[int, int] = dict.fromkeys(pids, 0)
    for pid in parents.keys() - {os.getpid()}:
        root = pid
        while root not in families and root in parents and parents[root] != root:
            root = parents[root]
        if root in families:
            families[root] += _memory(pid)
    return families


def _memory(pid: int) -> int:
    """The PSS of a process on Linux, and its USS elsewhere; 0 if it has ended."""
    with suppress(psutil.Error):
        info = psutil.Process(pid).memory_full_info()
        return getattr(info, "pss", 0) or info.uss
    return 0
