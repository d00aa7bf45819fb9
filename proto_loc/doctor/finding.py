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


def output(command: list[str]) -> str:
    """What a program prints; nothing if it cannot be run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
