"""Runs a model's program in a bubblewrap sandbox: one process, no network, no user files.

The program gets its code and the rows of its queries over a pipe, and returns its result as JSON.
Nothing is unpickled, and no file of the sandbox is opened outside. The kernel enforces the limits,
not Python.
"""

import base64
import builtins
import json
import os
import selectors
import struct
import subprocess
import time
from dataclasses import dataclass, field

from proto_loc.ai import values
from proto_loc.ai.chatting import bubblewrap, picture
from proto_loc.ai.chatting.bubblewrap import PYTHON, unavailable
from proto_loc.ai.sql_reader import SqlReader
from proto_loc.ai.text import MOST, clean
from proto_loc.errors import LocError
from proto_loc.warehouse import guard

INVALID = "It sent an invalid message."
_HEAD = struct.Struct(">I")


@dataclass(frozen=True)
class Limits:
    """What one program may use."""

    wall: float = 60.0
    """Seconds of wall time."""
    cpu: int = 30
    """Seconds of processor time."""
    memory: int = 2 << 30
    """Bytes of address space."""
    disk: int = 64 << 20
    """Bytes of each of its two folders, which are in memory."""
    files: int = 1_000
    """Files, folders and links in each of them: even an empty one takes kernel memory."""
    threads: int = 64
    output: int = 64 << 10
    """Bytes of output that are kept; sixteen times as many stop the program."""
    message: int = 8 << 20
    """Bytes of one message; the parent needs up to thirty times as much memory to read it."""
    queries: int = 100
    rows: int = 10_000
    """Rows of a query, and of the result."""
    columns: int = 1_000
    """Columns of the result."""


class SandboxError(LocError):
    """The program failed, or was stopped."""

    bare = ""
    """The message without the program's own words, as those may contain values of the data."""


@dataclass
class Outcome:
    """The result of a program."""

    type: str
    """``string``, ``number``, ``dataframe`` or ``plot``."""
    value: object
    """A text, a number, the columns, kinds and rows of a table, or the bytes of a PNG."""
    printed: str = ""
    refused: list[str] = field(default_factory=list)
    """The errors of the queries that were refused."""
    queries: list[str] = field(default_factory=list)


def run(code: str, reader: SqlReader, limits: Limits | None = None) -> Outcome:
    """Run a program in the sandbox; ``reader`` runs the queries of its ``execute_sql_query``.

    Raises:
        LocError: the sandbox cannot run here, so the program was not run.
        SandboxError: the program failed, exceeded a limit, or sent an invalid message.
    """
    if why := unavailable():
        raise _not_run(why)
    limits = limits or Limits()
    with bubblewrap.Command(limits.disk, limits.files) as box:
        to_parent, from_child = os.pipe()
        to_child, from_parent = os.pipe()
        # bubblewrap passes on the descriptors; inside they become 3 and 4.
        shell = [PYTHON, "-I", "-c", _START, str(from_child), str(to_child)]
        child = subprocess.Popen(
            [*box.command, *shell],
            env={},
            pass_fds=(*box.fds, from_child, to_child),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        os.close(from_child)
        os.close(to_child)
        talk = _Talk(child, to_parent, from_parent, reader, limits)
        try:
            talk.begin(box)
            return talk.hold(code)
        finally:
            child.kill()  # bubblewrap's first process; the kernel ends the rest with it
            child.wait()
            child.stdout.close()
            os.close(to_parent)
            os.close(from_parent)


_START = (
    "import os, runpy, sys\n"
    "a, b = map(int, sys.argv[1:])\n"
    "a, b = os.dup(a), os.dup(b)\n"
    "os.dup2(a, 3); os.dup2(b, 4)\n"
    "os.closerange(5, 256)\n"
    "sys.argv = ['program']\n"
    "sys.path.insert(0, '/program')\n"
    "runpy.run_path('/program/sandbox_child.py', run_name='__main__')\n"
)


def _not_run(why: str) -> LocError:
    return LocError(
        "The program that the model wrote was not run.",
        why,
        "Ask with `loc ask`, which runs no program.",
    )


class _Talk:
    """The parent's side of one run: it trusts no message, and waits no longer than the limit."""

    def __init__(
        self, child, incoming: int, outgoing: int, reader: SqlReader, limits: Limits
    ) -> None:
        self.child, self.incoming, self.outgoing = child, incoming, outgoing
        self.reader, self.limits = reader, limits
        self.until = time.monotonic() + limits.wall
        self.printed, self.count, self.lines = bytearray(), 0, 0
        self.outcome = Outcome("", None)
        os.set_blocking(outgoing, False)

    def begin(self, box: bubblewrap.Command) -> None:
        """Wait until our child program is ready, then limit the number of files."""
        if "ready" not in self._receive():
            raise self._ended(INVALID)
        if why := box.bound():
            raise _not_run(why)

    def hold(self, code: str) -> Outcome:
        """Send the program, answer its queries, and return its result."""
        self.lines = code.count("\n") + 1
        rlimits = {
            "AS": self.limits.memory,
            "CPU": self.limits.cpu,
            "FSIZE": self.limits.disk,
            "NPROC": self.limits.threads,
            "NOFILE": 128,
            "CORE": 0,
        }
        self._send({"code": code, "limits": rlimits})
        while True:
            message = self._receive()
            if "sql" in message:
                self._send(self._query(message["sql"]))
            elif "result" in message:
                self._read(message["result"])
                self._drain()
                self.outcome.printed = clean(
                    self.printed[: self.limits.output].decode(errors="replace")
                )
                return self.outcome
            elif "failed" in message:
                raise self._failed(message)
            else:
                raise self._ended(INVALID)

    def _query(self, sql: object) -> dict:
        if not isinstance(sql, str):
            raise self._ended("It sent a query that is not text.")
        if len(self.outcome.queries) >= self.limits.queries:
            raise self._ended(f"It asked for more than {self.limits.queries} queries.")
        self.outcome.queries.append(sql[: guard.MAX_LENGTH])
        try:
            guard.check_length(sql)  # before anything parses it
            seconds = max(0.1, self.until - time.monotonic())
            return self.reader.raw(
                sql, timeout=min(seconds, self.reader.timeout), limit=self.limits.rows
            )
        except LocError as error:
            self.outcome.refused.append(clean(f"{error.what} {error.why}"))
            return {"error": str(error)}

    def _read(self, result: object) -> None:
        try:
            kind, value = result["type"], result["value"]
            if kind == "dataframe":
                value = self._table(value)
            elif kind == "plot":
                value = picture.checked(base64.b64decode(value, validate=True))
            elif kind == "number":
                if isinstance(value, str):
                    value = float(value)
                if not isinstance(value, (int, float)) or isinstance(value, bool):
                    raise ValueError("it is not a number")
            elif kind == "string":
                value = clean(value)
            else:
                raise ValueError("it has an unknown type")
        except (KeyError, TypeError, ValueError) as error:
            raise self._ended("Its result cannot be read", clean(str(error))[:200]) from error
        self.outcome.type, self.outcome.value = kind, value

    def _table(self, value: dict) -> tuple[list[str], list[str], list[list], bool]:
        if len(value["rows"]) > self.limits.rows or len(value["columns"]) > self.limits.columns:
            raise ValueError(
                f"it has over {self.limits.rows:,} rows or {self.limits.columns:,} columns"
            )
        columns, kinds, rows, truncated = values.load(value)
        shown = [[clean(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
        return [clean(name) for name in columns], kinds, shown, truncated

    def _failed(self, message: dict) -> SandboxError:
        name, line = clean(str(message.get("failed")))[:50], message.get("line")
        known = isinstance(line, int) and 0 < line <= self.lines
        if name == "MemoryError":
            return self._ended(f"It took more than {self.limits.memory >> 20} MB of memory.")
        words = clean(str(message.get("said")))[:1000]
        at = f" in line {line}" if known else ""
        # A program can put a value of the data into the name of its own class.
        builtin = isinstance(getattr(builtins, name, None), type)
        kind = name if builtin else "an exception that is not of Python itself"
        what = f"The program failed{at} with"
        return self._error(f"{what} {name}.", words, bare=f"{what} {kind}.")

    def _ended(self, why: str, words: str = "") -> SandboxError:
        """The error of a program that was stopped: the reason, and the program's own words."""
        what, short = "The program was ended.", f"{why.rstrip('.')}."
        return self._error(what, f"{why}: {words}." if words else short, bare=f"{what} {short}")

    def _error(self, what: str, why: str, bare: str) -> SandboxError:
        refused = "".join(f" Refused: {text}" for text in dict.fromkeys(self.outcome.refused[:3]))
        fix = f"Ask again, or ask with `loc ask`, which runs no program.{refused}"
        error = SandboxError(what, why, fix)
        error.bare, error.refused = bare, self.outcome.refused
        return error

    def _send(self, message: dict) -> None:
        text = json.dumps(message).encode()
        view = memoryview(_HEAD.pack(len(text)) + text)
        with selectors.DefaultSelector() as ready:
            ready.register(self.outgoing, selectors.EVENT_WRITE, "write")
            ready.register(self.child.stdout, selectors.EVENT_READ, "printed")
            while view:
                for key, _ in self._wait(ready):
                    if key.data == "printed":
                        self._hear(ready)
                        continue
                    try:
                        view = view[os.write(self.outgoing, view) :]
                    except BrokenPipeError:
                        raise self._gone() from None
                    if not view:
                        return

    def _receive(self) -> dict:
        received = bytearray()
        with selectors.DefaultSelector() as ready:
            ready.register(self.incoming, selectors.EVENT_READ, "message")
            ready.register(self.child.stdout, selectors.EVENT_READ, "printed")
            while True:
                for key, _ in self._wait(ready):
                    if key.data == "printed":
                        self._hear(ready)
                        continue
                    # Read this message only: the next one waits in the pipe, which has a limit.
                    piece = os.read(self.incoming, min(self._missing(received), 1 << 20))
                    if not piece:
                        raise self._gone()
                    received += piece
                    if not self._missing(received):
                        try:
                            return values.parse(bytes(received[_HEAD.size :]))
                        except ValueError as error:
                            raise self._ended(INVALID) from error

    def _missing(self, received: bytearray) -> int:
        """The number of bytes that a message still lacks: first of its head, then of its body."""
        if len(received) < _HEAD.size:
            return _HEAD.size - len(received)
        size = _HEAD.unpack_from(received)[0]
        if size > self.limits.message:
            raise self._ended(f"It sent a message of over {self.limits.message >> 20} MB.")
        return _HEAD.size + size - len(received)

    def _wait(self, ready: selectors.BaseSelector) -> list:
        events = ready.select(max(0.0, self.until - time.monotonic()))
        if not events or time.monotonic() > self.until:
            raise self._ended(f"It ran longer than {self.limits.wall:g} seconds.")
        return events

    def _drain(self) -> None:
        """Read what was printed before the result was sent."""
        with selectors.DefaultSelector() as ready:
            ready.register(self.child.stdout, selectors.EVENT_READ)
            while ready.get_map() and ready.select(0):
                self._hear(ready)

    def _hear(self, ready: selectors.BaseSelector) -> None:
        piece = os.read(self.child.stdout.fileno(), 1 << 16)
        if not piece:
            ready.unregister(self.child.stdout)
        self.count += len(piece)
        self.printed += piece[: max(0, self.limits.output - len(self.printed))]
        if self.count > 16 * self.limits.output:
            raise self._ended(f"It printed more than {16 * self.limits.output >> 10} kB.")

    def _gone(self) -> SandboxError:
        """The error of a child that closed its pipe without an answer."""
        try:
            code = self.child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return self._ended("It closed the pipe to its parent.")
        if code in (128 + 9, 128 + 24, -9, -24):
            return self._ended(f"It used more than {self.limits.cpu} seconds of processor time.")
        last = clean(self.printed[-MOST:].decode(errors="replace")).strip().splitlines()[-1:] or [
            ""
        ]
        return self._ended(f"It ended itself with code {code}", last[0][:300].rstrip("."))
