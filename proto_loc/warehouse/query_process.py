"""Runs SQL that a person or a model wrote in a process of its own, which may end without harm to
others.

The guard refuses what must not run, and DuckDB bounds most of what may. It does not bound one
string of four gigabytes, a list of three billion numbers, or a call that no interrupt can cut. So
the reader is a child process, and the system bounds the memory that it may write to; where it ends,
``Reader`` starts another one, and the statement is answered by a message.

macOS knows the bound (``RLIMIT_DATA``) and does not keep it: there, a reader is bounded by DuckDB
alone.
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
"""Bytes that a reader may have beside DuckDB's memory: Python, libraries' data, stacks, the rows of
an answer.
"""
MAX_ANSWER = 64 << 20
"""The most bytes that an answer may take."""
IDLE = 300
"""Seconds without a statement after which a reader ends."""
GRACE = 3
"""Seconds in which a reader says itself that a statement ran out of time; then it is ended."""
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
"""What the values of an answer may be made with, by module."""


class Ended(LocError):
    """The statement ended the process that ran it, or would take more memory than that has."""


class Reader:
    """A child process that runs one statement at a time on a published file.

    Args:
        memory: bytes that DuckDB may use in it; by default ``LOC_QUERY_MEMORY``.
        schema: whose tables need no schema in front of their names, as SQL; a file may lack it.
    """

    def __init__(self, memory: int | None = None, *, schema: str = "") -> None:
        self.memory, self.schema = memory or size(settings().query_memory), schema
        self._child: subprocess.Popen | None = None

    def start(self) -> None:
        """Have the child there, so that a statement need not wait for it."""
        if self._child is not None and self._child.poll() is None:
            return
        self.close()
        # Nothing of the environment but where libraries are: a key is no business of this process.
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
        threading.Thread(
            target=self._child.wait, daemon=True
        ).start()  # one that ended when idle is no zombie
        with suppress(AttributeError, OSError):  # Linux: answers in few pieces
            fcntl.fcntl(self._child.stdout, fcntl.F_SETPIPE_SZ, 1 << 20)

    def close(self) -> None:
        """End the child, and what it runs."""
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
        """Run a statement as :func:`proto_loc.warehouse.guard.run` does. One thread at a time.

        Raises:
            guard.Refused: by the guard; nothing was run.
            guard.TooLong: it took more than ``timeout`` seconds.
            Ended: it took more memory than it may have, or ended the process.
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
                answer = self._ask(asked, timeout)  # it ended just now, for it was idle for long
            kind, answer, last = _Values(io.BytesIO(answer)).load()
        except TimeoutError:
            self.close()
            raise _too_long(timeout) from None
        except (OSError, EOFError, subprocess.TimeoutExpired, pickle.UnpicklingError) as error:
            self.close()
            raise self._ended() from error
        except (
            BaseException
        ):  # interrupted: its answer would be taken for that of the next statement
            self.close()
            raise
        if last:
            self.close()
            self.start()
        if kind == "rows":
            return guard.Result(*answer)
        raise {"late": guard.TooLong, "memory": Ended}.get(kind, LocError)(*answer)

    def _ended(self) -> Ended:
        return Ended(
            "The query ended the process that ran it.",
            f"It took more memory than the {self.memory >> 20:,} MB that it may have, or DuckDB"
            " failed on it.",
            "Write it differently: smaller values, fewer rows; or raise LOC_QUERY_MEMORY.",
        )

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


def size(memory: str) -> int:
    """Bytes of a size as DuckDB has it, such as ``1GB`` or ``512MiB``; of anything else, those
    of a gigabyte.
    """
    written = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)(i?)B?\s*", memory, re.IGNORECASE)
    if not written:
        return 1 << 30
    thousands = "KMGT".find(written[2].upper() or " ") + 1
    return int(float(written[1]) * (1024 if written[3] else 1000) ** thousands)


class _Values(pickle.Unpickler):
    """Reads values, and nothing that does anything: the child may have been taken over."""

    def find_class(self, module: str, name: str) -> object:
        if name in _VALUES.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no value")


def _too_long(timeout: float) -> guard.TooLong:
    return guard.TooLong(
        "The query was stopped.",
        f"It ran longer than {timeout:g} seconds.",
        "Narrow it with WHERE, aggregate more, or check for a join without a condition.",
    )


def _serve(memory: int, schema: str = "") -> None:
    """The child: statements in, answers out, until its input ends or nothing has come for long."""
    import resource

    import duckdb

    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (memory + BESIDE, memory + BESIDE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.disable()  # nothing here makes cycles
    statements: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(statements,), daemon=True).start()
    out = sys.stdout.buffer
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
                # After an internal error DuckDB refuses everything more; after a large query it
                # keeps memory.
                last = (
                    isinstance(cause, (duckdb.InternalException, duckdb.FatalException))
                    or _resident() > BESIDE
                )
                answer = pickle.dumps((kind, (error.what, error.why, error.fix), last))
            out.write(_HEAD.pack(len(answer)) + answer)
            out.flush()
    os._exit(
        0
    )  # the thread that listens holds its input's lock, over which Python would abort at its end


def _listen(statements: queue.SimpleQueue) -> None:
    """Take statements in; where no more can come, end this process with whatever it does."""
    stream = sys.stdin.buffer
    while len(head := stream.read(_HEAD.size)) == _HEAD.size:
        statements.put(pickle.loads(stream.read(_HEAD.unpack(head)[0])))
    os._exit(0)


def _resident() -> int:
    """Bytes of memory that this process holds; none where Linux does not tell."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


if __name__ == "__main__":
    try:
        _serve(int(sys.argv[1]), sys.argv[2])
    except MemoryError:
        os._exit(1)
