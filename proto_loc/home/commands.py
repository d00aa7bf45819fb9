"""Runs ``loc`` for the home page, each command as a process of its own."""

import json
import math
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from proto_loc.settings import ROOT, settings

FRESH = 2.0
"""Seconds for which one state answers all requests."""
PATIENCE = 60.0
"""Seconds that a command may take."""
NOTIFYING = 300.0
"""The same for one that delivers notices, as mail servers may be slow."""
LOCK_TIMEOUT = 10.0
"""Most seconds that a roll-back waits for a writer; a page cannot wait as long as a command."""

_LABELS = re.compile(r"^(error|why|fix): ", re.MULTILINE)


@dataclass(frozen=True)
class Failure:
    """A failure of a command, in the three sentences of :class:`proto_loc.errors.LocError`."""

    what: str
    why: str = ""
    fix: str = ""


class _Last:
    """The last state that was read, and when."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at = -math.inf
        self.state: tuple = (None, None)


_last, _metrics = _Last(), _Last()


def status(*, fresh: bool = False) -> tuple[dict | None, Failure | None]:
    """What ``loc status --json`` prints, or why it printed nothing.

    Args:
        fresh: read it again, also if it was read a moment ago.
    """
    with _last.lock:  # requests that arrive together wait for one process
        if fresh or time.monotonic() - _last.at >= FRESH:
            _last.state = _status()
            _last.at = time.monotonic()
        return _last.state


def metrics() -> tuple[str, Failure | None]:
    """What ``loc status --openmetrics`` prints, or why it failed.

    It is as old as :data:`FRESH` at most, also if several programs ask for it.
    """
    with _metrics.lock:
        if time.monotonic() - _metrics.at >= FRESH:
            _metrics.state = _text_of_metrics()
            _metrics.at = time.monotonic()
        return _metrics.state


def notify() -> Failure | None:
    """Find incidents and deliver notices by ``loc notify check``; return why that failed.

    A channel that takes no notices is no failure: ``loc status`` shows it.
    """
    done = _run("notify", "check", patience=NOTIFYING)
    if isinstance(done, Failure):
        return done
    return _failure(done.stderr) if done.returncode not in (0, DEAD_CHANNEL) else None


DEAD_CHANNEL = 3
"""Exit code of ``loc notify check`` if it worked, and a channel is dead."""


def rollback(database: str, version: int) -> Failure | None:
    """Serve another version by ``loc db rollback``; return why that failed."""
    done = _run("db", "rollback", str(version), "--database", database)
    _last.at = -math.inf
    if isinstance(done, Failure):
        return done
    return _failure(done.stderr) if done.returncode else None


def _text_of_metrics() -> tuple[str, Failure | None]:
    done = _run("status", "--openmetrics")
    if isinstance(done, Failure):
        return "", done
    return ("", _failure(done.stderr)) if done.returncode else (done.stdout, None)


def _status() -> tuple[dict | None, Failure | None]:
    done = _run("status", "--json")
    if isinstance(done, Failure):
        return None, done
    try:
        return json.loads(done.stdout), None  # the exit code is 1 if a service is not well
    except ValueError:
        return None, _failure(done.stderr)


def _run(*arguments: str, patience: float = PATIENCE) -> subprocess.CompletedProcess | Failure:
    command, wait = ["loc", *arguments], min(settings().lock_timeout, LOCK_TIMEOUT)
    try:
        return subprocess.run(
            [sys.executable, "-P", "-m", "proto_loc.cli", *arguments],
            cwd=ROOT,
            env=os.environ | {"LOC_LOCK_TIMEOUT": f"{wait:g}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
        )
    except subprocess.TimeoutExpired:
        what = f"`{' '.join(command)}` did not end within {patience:g} s."
        return Failure(what, "", f"Run it yourself: ./{' '.join(command)}")
    except OSError as error:
        what = f"`{' '.join(command)}` could not be started: {error.strerror}."
        return Failure(what, "", "./loc doctor")


def _failure(text: str) -> Failure:
    """Read the sentences that a command printed on stderr."""
    parts = dict(zip(*[iter(_LABELS.split(text.strip())[1:])] * 2, strict=False))
    if "error" not in parts:
        last = text.strip().splitlines()[-1:] or ["It printed nothing."]
        return Failure("The command failed.", last[0][-500:], "./loc doctor")
    return Failure(*(parts.get(name, "").strip() for name in ("error", "why", "fix")))
