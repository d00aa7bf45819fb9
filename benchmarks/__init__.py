"""Benchmarks of ``loc bench``: each measures a feature and its lower bound (the ``floor``)."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from proto_loc.errors import LocError, UsageError
from proto_loc.settings import settings


@contextmanager
def scratch(keep: Path | None = None) -> Iterator[Path]:
    """Make a folder for the measurements, and remove it at the end unless it is ``keep``.

    Args:
        keep: the folder to use and keep. The default is a new folder in ``TMPDIR`` or in the run
            folder, which is on a disk, while ``/tmp`` may be in memory.

    Raises:
        UsageError: ``keep`` is not empty.
    """
    if keep is not None:
        if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
            raise UsageError(
                f"{keep} is not an empty folder.",
                "Benchmarks write to a data folder of their own.",
                "Name a folder that is empty or does not exist.",
            )
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()
        return
    home = Path(os.environ.get("TMPDIR") or settings().run)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=home)).absolute()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def environment(**variables: object) -> Iterator[None]:
    """Set environment variables during the block, and restore the former values."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update({name: str(value) for name, value in variables.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run(*command: str | Path, **variables: str) -> str:
    """Run a command with further environment variables, and return its output.

    Raises:
        LocError: the command failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables)
    if done.returncode:
        what = f"`{' '.join(map(str, command))}` failed."
        raise LocError(what, (done.stderr or done.stdout).strip(), "Mend that.")
    return done.stdout


def seconds_of(work: Callable[[], object]) -> float:
    """Return the wall time of a call, in seconds."""
    start = perf_counter()
    work()
    return perf_counter() - start


def timed(*command: str | Path, **variables: str) -> float:
    """Return the wall time of :func:`run`, in seconds."""
    return seconds_of(lambda: run(*command, **variables))


class Measured:
    """Wall time and memory of a block: ``seconds``, and ``peak`` in bytes.

    The peak is the largest sum of the resident memory of this process and its descendants, sampled
    every 50 ms; pages that two of them share count twice.
    """

    seconds = 0.0
    peak = 0

    def __enter__(self) -> "Measured":
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        self._start = perf_counter()
        return self

    def __exit__(self, *_) -> None:
        self.seconds = perf_counter() - self._start
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        import psutil

        own = psutil.Process()
        while True:
            total = own.memory_info().rss
            for process in own.children(recursive=True):
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue  # the process has just ended
            self.peak = max(self.peak, total)
            if self._ended.wait(0.05):
                return
