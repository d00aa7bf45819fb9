"""Runs SQL that a model wrote in a process of its own, which may run out of memory or be killed without harm.

The guard refuses what must not run, and DuckDB bounds most of what may; one string of four gigabytes, or one call that
no interrupt can cut, it does not bound. So the reader is a child with a limit of its own: ``Reader`` starts it, and
starts another one where it ended.
"""

import json
import os
import selectors
import struct
import subprocess
import sys
import time
from pathlib import Path

from proto_loc import guard
from proto_loc.errors import LocError
from proto_loc.settings import ROOT

MEMORY = 4 << 30
"""Bytes of address space of the reader: what DuckDB may use, its libraries, and large single values."""
MAX_BYTES = 64 << 20
"""The most that an answer may take."""
_HEAD = struct.Struct(">I")


class Reader:
    """A locked, read-only connection to one published file, held by a child process; use it as a context.

    Args:
        path: the file.
        timeout: seconds that one statement may take.
        limit: rows that it gives at most.
    """

    def __init__(self, path: Path, timeout: float = 30.0, limit: int = 10_000) -> None:
        self.path, self.timeout, self.limit = Path(path).resolve(), timeout, limit
        self._child: subprocess.Popen | None = None

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()

    def start(self) -> None:
        """Have the child there, so that the first statement need not wait for it."""
        if self._child is None or self._child.poll() is not None:
            self.close()
            # Nothing of the environment but where libraries are: a key is no business of this process.
            kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "proto_loc.ai.reader", str(self.path)],
                env=kept | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
            )

    def raw(self, sql: str, timeout: float | None = None, limit: int | None = None) -> dict:
        """The table of a statement as :mod:`proto_loc.ai.values` has it.

        Raises:
            Refused: by the guard; nothing was run.
            LocError: it failed, or took too much time or memory.
        """
        timeout, limit = timeout or self.timeout, limit or self.limit
        self.start()
        asked = json.dumps({"sql": sql, "timeout": timeout, "limit": limit}).encode()
        try:
            self._child.stdin.write(_HEAD.pack(len(asked)) + asked)
            self._child.stdin.flush()
            answer = json.loads(self._receive(time.monotonic() + timeout + 3))
        except TimeoutError:
            self.close()
            raise LocError(
                "The query was stopped.",
                f"It ran longer than {timeout:g} seconds.",
                "Narrow it with WHERE, or aggregate more.",
            ) from None
        except (OSError, EOFError, ValueError) as error:
            self.close()
            raise LocError(
                "The query ended the process that ran it.",
                f"It took more memory than the {MEMORY >> 30} GB that it may have, or DuckDB failed on it.",
                "Write it differently: smaller values, fewer rows.",
            ) from error
        except BaseException:  # interrupted: its answer would be taken for that of the next statement
            self.close()
            raise
        if "error" in answer:
            raise (guard.Refused if answer["refused"] else LocError)(*answer["error"])
        return answer

    def _receive(self, until: float) -> bytes:
        with selectors.DefaultSelector() as ready:
            ready.register(self._child.stdout, selectors.EVENT_READ)
            (size,) = _HEAD.unpack(self._exactly(_HEAD.size, until, ready))
            if size > MAX_BYTES:
                raise ValueError("too large")
            return self._exactly(size, until, ready)

    def _exactly(self, size: int, until: float, ready: selectors.BaseSelector) -> bytes:
        found = bytearray()
        while len(found) < size:
            if not ready.select(max(0.0, until - time.monotonic())):
                raise TimeoutError
            piece = os.read(self._child.stdout.fileno(), size - len(found))
            if not piece:
                raise EOFError
            found += piece
        return bytes(found)


_KEPT = ("PATH", "HOME", "LD_LIBRARY_PATH", "LOC_QUERY_MEMORY", "LOC_QUERY_THREADS", "LOC_DATA", "LOC_RUN")


def _serve(path: str) -> None:
    """The child: statements in, tables out, until its input ends."""
    import resource
    from contextlib import suppress

    import duckdb

    from proto_loc.ai import values

    with suppress(ValueError, OSError):  # macOS knows the limit and does not keep it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    given, out = sys.stdin.buffer, sys.stdout.buffer
    con = guard.connect(path)
    with suppress(duckdb.CatalogException):
        con.execute("use marts")  # models often leave out the schema
    while head := given.read(_HEAD.size):
        asked = json.loads(given.read(_HEAD.unpack(head)[0]))
        try:
            found = guard.run(con, asked["sql"], timeout=asked["timeout"], limit=asked["limit"])
            answer = json.dumps(values.dump(found.columns, found.rows, found.truncated)).encode()
            if len(answer) > MAX_BYTES:
                raise LocError(
                    "The answer is too large.", f"It has over {MAX_BYTES >> 20} MB.", "Read fewer columns or rows."
                )
        except LocError as error:
            answer = json.dumps(
                {"error": [error.what, error.why, error.fix], "refused": isinstance(error, guard.Refused)}
            ).encode()
        except MemoryError:
            raise SystemExit(1) from None
        out.write(_HEAD.pack(len(answer)) + answer)
        out.flush()


if __name__ == "__main__":
    _serve(sys.argv[1])
