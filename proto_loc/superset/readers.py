"""The processes that run Superset's queries: light ones for quick queries, and heavy ones.

A query runs in a reader process (:mod:`proto_loc.warehouse.query_process`) with a memory limit, so
that a query that exceeds the limit ends no other query. It starts in a light reader, with one
second and a quarter of ``LOC_QUERY_MEMORY``. If that is not enough, it starts again in a heavy
reader with the full time and memory. Heavy queries wait for each other; light ones do not wait for
heavy ones. The number of queries that run or wait is smaller than the number of threads, so that
some threads are always free to serve pages. The server has two processes, and each has these
limits.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proto_loc.errors import LocError
from proto_loc.settings import settings
from proto_loc.warehouse import guard
from proto_loc.warehouse.query_process import Ended, Reader, size

THREADS = 40
"""Requests at a time."""
QUERIES = 28
"""The number of these requests that may wait for data."""
LIGHT = 2
"""Light queries at a time."""
SECONDS = 1.0
"""Time limit of a light query."""


def heavy() -> int:
    """Heavy queries at a time: the processors divided among the two processes of the server."""
    return max(1, (os.cpu_count() or 1) // (2 * settings().query_threads))


class Busy(LocError):
    """Too many queries run or wait."""

    def __init__(self) -> None:
        super().__init__(
            "Superset is busy with other queries.",
            "Too many of them run at once.",
            "Try again soon.",
        )


class Places:
    """Counts the requests of a process that wait for data."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(QUERIES)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Context in which a request waits for data.

        Raises:
            Busy: :data:`QUERIES` requests wait already.
        """
        if not self._places.acquire(blocking=False):
            raise Busy
        try:
            yield
        finally:
            self._places.release()


class Readers(Places):
    """The readers of a process; they start with its first queries."""

    def __init__(self) -> None:
        super().__init__()
        memory = size(settings().query_memory)
        self._light = _Pool(LIGHT, max(memory // 4, 64 << 20))
        self._heavy = _Pool(heavy(), memory)
        self._known: dict[tuple, None] = {}

    def run(
        self, path: Path, sql: str, params: list | None, *, timeout: float, limit: int
    ) -> guard.Result:
        """Run a statement as :meth:`proto_loc.warehouse.query_process.Reader.run` does.

        Raises:
            Busy: there are too many queries at work.
            LocError: it failed.
        """
        guard.check(sql)
        with self.waiting():
            seconds = min(SECONDS, timeout)
            if (path, sql) not in self._known:
                with self._light.reader(timeout) as reader:
                    try:
                        return reader.run(path, sql, params, timeout=seconds, limit=limit)
                    except (guard.TooLong, Ended):
                        if seconds == timeout:
                            raise
                self._known[path, sql] = None
                if len(self._known) > 1_000:
                    self._known.pop(next(iter(self._known)), None)
            with self._heavy.reader(timeout) as reader:
                return reader.run(path, sql, params, timeout=timeout, limit=limit)


class _Pool:
    """Readers with the same memory; the last used is taken first, so that idle ones can end."""

    def __init__(self, number: int, memory: int) -> None:
        self._free = [Reader(memory) for _ in range(number)]
        self._turn = threading.Condition()

    @contextmanager
    def reader(self, timeout: float) -> Iterator[Reader]:
        end = time.monotonic() + timeout
        with self._turn:
            if not self._turn.wait_for(lambda: self._free, end - time.monotonic()):
                raise Busy
            reader = self._free.pop()
        try:
            yield reader
        finally:
            with self._turn:
                self._free.append(reader)
                self._turn.notify()
