"""Runs SQL that a person or a language model wrote in a child process with a memory limit.

The guard refuses what must not run, and DuckDB limits most of the rest. It does not limit one
string of four gigabytes, a list of three billion numbers, or a call that cannot be interrupted. So
the statement runs in a child process, and the system limits its memory. If the child ends,
``Reader`` raises an error and starts another one.

macOS accepts the limit (``RLIMIT_DATA``) but ignores it: there, only DuckDB limits a reader.
"""

import fcntl
import gc
import io
import os
import pickle
import queue
import re
import selectors
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from proto_loc.errors import LocError
from proto_loc.settings import ROOT, settings
from proto_loc.warehouse import guard

BESIDE = 512 << 20
"""Bytes that a reader may use for Python, libraries, stacks and rows, besides DuckDB's memory."""
MAX_ANSWER = 64 << 20
"""Largest answer in bytes."""
IDLE = 300
"""Seconds without a statement after which a reader exits."""
GRACE = 3
"""Seconds after a timeout in which a reader may report it, before it is killed."""
_HEAD = struct.Struct(">I")
_KEPT = (
    "PATH",
    "HOME",
    "LD_LIBRARY_PATH",
    "LOC_QUERY_MEMORY",
    "LOC_QUERY_THREADS",
    "LOC_DATA",
    "LOC_RUN",
    "TZ",
)
_VALUES = {
    "decimal": {"Decimal"},
    "uuid": {"UUID"},
    "pytz": {"_UTC", "_p"},
    "zoneinfo": {"ZoneInfo._unpickle"},
} | {"datetime": {"date", "datetime", "time", "timedelta", "timezone"}}
"""Classes that an answer may contain, by module."""


class Ended(LocError):
    """The statement ended its process, or needs more memory than the process may use."""


class Reader:
    """A child process that runs one statement at a time on a published file.

    Args:
        memory: bytes that DuckDB may use; by default ``LOC_QUERY_MEMORY``.
        schema: the default schema of its statements, as SQL; a file without it is accepted.
    """

    def __init__(self, memory: int | None = None, *, schema: str = "") -> None:
        self.memory, self.schema = memory or size(settings().query_memory), schema
        self._child: subprocess.Popen | None = None

    def start(self) -> None:
        """Start the child, if it does not run, so that a statement need not wait for it."""
        if self._child is not None and self._child.poll() is None:
            return
        self.close()
        # Only a few variables of the environment, since the others may contain secrets.
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._child = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "proto_loc.warehouse.query_process",
                str(self.memory),
                self.schema,
            ],
            env=kept | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            bufsize=0,
        )
        # Wait for the child, so that one that exits when idle does not stay as a zombie.
        threading.Thread(target=self._child.wait, daemon=True).start()
        with suppress(AttributeError, OSError):  # on Linux a larger pipe makes answers faster
            fcntl.fcntl(self._child.stdout, fcntl.F_SETPIPE_SZ, 1 << 20)

    def close(self) -> None:
        """Kill the child."""
        child, self._child = self._child, None
        if child:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()

    def run(
        self,
        path: Path,
        sql: str,
        params: list | dict | None = None,
        *,
        timeout: float = 30.0,
        limit: int = 10_000,
    ) -> guard.Result:
        """Run a statement as :func:`proto_loc.warehouse.guard.run` does, in one thread at a time.

        Raises:
            guard.Refused: by the guard; nothing was run.
            guard.TooLong: it ran longer than ``timeout`` seconds.
            Ended: it needed more memory than allowed, or ended the process.
            LocError: it failed.
        """
        guard.check(sql)
        asked = pickle.dumps((str(Path(path).resolve()), sql, params, timeout, limit))
        try:
            try:
                answer = self._ask(asked, timeout)
            except TimeoutError:
                raise
            except (OSError, EOFError):
                if self._child.wait(1) != 0:
                    raise
                answer = self._ask(asked, timeout)  # the child had just exited, idle for too long
            kind, answer, last = _Values(io.BytesIO(answer)).load()
        except TimeoutError:
            self.close()
            raise guard.too_long(timeout) from None
        except (OSError, EOFError, subprocess.TimeoutExpired, pickle.UnpicklingError) as error:
            self.close()
            raise Ended(
                "The query ended the process that ran it.",
                f"It took more memory than the {self.memory >> 20:,} MB that it may have, or DuckDB"
                " failed on it.",
                "Write it differently: smaller values, fewer rows; or raise LOC_QUERY_MEMORY.",
            ) from error
        except BaseException:  # interrupted: the next statement would get this one's answer
            self.close()
            raise
        if last:
            self.close()
            self.start()
        if kind == "rows":
            return guard.Result(*answer)
        raise {"late": guard.TooLong, "memory": Ended}.get(kind, LocError)(*answer)

    def _ask(self, asked: bytes, timeout: float) -> bytes:
        self.start()
        self._child.stdin.write(_HEAD.pack(len(asked)) + asked)
        return self._receive(time.monotonic() + timeout + GRACE)

    def _receive(self, until: float) -> bytes:
        with selectors.DefaultSelector() as ready:
            ready.register(self._child.stdout, selectors.EVENT_READ)
            (length,) = _HEAD.unpack(self._exactly(_HEAD.size, until, ready))
            if length > MAX_ANSWER:
                raise EOFError
            return self._exactly(length, until, ready)

    def _exactly(self, length: int, until: float, ready: selectors.BaseSelector) -> bytes:
        content = bytearray()
        while len(content) < length:
            if not ready.select(max(0.0, until - time.monotonic())):
                raise TimeoutError
            piece = os.read(self._child.stdout.fileno(), length - len(content))
            if not piece:
                raise EOFError
            content += piece
        return bytes(content)


class FileReader:
    """Implements :class:`proto_loc.warehouse.engine.Reader` on one published file."""

    def __init__(self, path: Path, *, schema: str = "") -> None:
        self.path = Path(path)
        self._reader = Reader(schema=schema)
        self.start, self.close = self._reader.start, self._reader.close

    def run(
        self,
        sql: str,
        params: list | None = None,
        *,
        timeout: float = 30.0,
        limit: int = 10_000,
    ) -> guard.Result:
        """Run a statement as :meth:`Reader.run` does."""
        return self._reader.run(self.path, sql, params, timeout=timeout, limit=limit)


def size(memory: str) -> int:
    """The bytes of a size such as ``1GB`` or ``512MiB``; a gigabyte for any other text."""
    written = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)(i?)B?\s*", memory, re.IGNORECASE)
    if not written:
        return 1 << 30
    thousands = "KMGT".find(written[2].upper() or " ") + 1
    return int(float(written[1]) * (1024 if written[3] else 1000) ** thousands)


class _Values(pickle.Unpickler):
    """Unpickles plain values only, since the SQL may have taken over the child."""

    def find_class(self, module: str, name: str) -> object:
        if name in _VALUES.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no value")


def _serve(memory: int, schema: str = "") -> None:
    """Run in the child: answer statements until the input ends or :data:`IDLE` is over."""
    import resource

    import duckdb

    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (memory + BESIDE, memory + BESIDE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.disable()  # no reference cycles are made here
    # Answers have a descriptor of their own: a library that prints must not write among them.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    statements: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(statements,), daemon=True).start()
    con, opened, last = None, None, False
    with suppress(queue.Empty):
        while not last:
            path, sql, params, timeout, limit = statements.get(timeout=IDLE)
            try:
                if path != opened:
                    if con is not None:
                        con.close()
                    con, opened = guard.connect(path, memory=f"{memory}B"), path
                    with suppress(duckdb.CatalogException):
                        con.execute(f"use {schema}" if schema else "")
                result = guard.execute(con, sql, params, timeout=timeout, limit=limit)
                last = _resident() > BESIDE
                answer = pickle.dumps(
                    ("rows", (result.columns, result.types, result.rows, result.truncated), last)
                )
                if len(answer) > MAX_ANSWER:
                    what = f"It has over {MAX_ANSWER >> 20} MB."
                    raise LocError(
                        "The result is too large.",
                        what,
                        "Read fewer columns or rows, or aggregate.",
                    )
            except LocError as error:
                cause = error.__cause__
                kind = "late" if isinstance(error, guard.TooLong) else "error"
                if isinstance(cause, duckdb.OutOfMemoryException):
                    kind = "memory"
                # DuckDB is unusable after an internal error, and keeps memory after a large query.
                last = (
                    isinstance(cause, (duckdb.InternalException, duckdb.FatalException))
                    or _resident() > BESIDE
                )
                answer = pickle.dumps((kind, (error.what, error.why, error.fix), last))
            out.write(_HEAD.pack(len(answer)) + answer)
            out.flush()
    os._exit(0)  # a normal exit would abort, since the listening thread holds the lock of stdin


def _listen(statements: queue.SimpleQueue) -> None:
    """Read statements into the queue; exit the process when the input ends."""
    stream = sys.stdin.buffer
    while len(head := stream.read(_HEAD.size)) == _HEAD.size:
        statements.put(pickle.loads(stream.read(_HEAD.unpack(head)[0])))
    os._exit(0)


def _resident() -> int:
    """The resident memory of this process in bytes; 0 on other systems than Linux."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


if __name__ == "__main__":
    try:
        _serve(int(sys.argv[1]), sys.argv[2])
    except MemoryError:
        os._exit(1)
