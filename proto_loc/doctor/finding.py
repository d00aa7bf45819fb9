"""What a check finds."""

import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What a check saw, in the sentences of :class:`proto_loc.errors.LocError`."""

    status: str
    """``ok``, ``warn`` (it works, but) or ``fail``."""
    what: str
    why: str = ""
    fix: str = ""


def ok(what: str) -> Finding:
    """All is well."""
    return Finding("ok", what)


def run(command: list[str]) -> subprocess.CompletedProcess | None:
    """Run a program to its end; None if it cannot be run, or does not end."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None


def output(command: list[str]) -> str:
    """The output of a program; empty if it cannot be run."""
    done = run(command)
    return done.stdout.strip() if done else ""
