"""Runs programs that may be missing or hang."""

import subprocess
from pathlib import Path


def run(command: list[str | Path]) -> subprocess.CompletedProcess | None:
    """Run a program; None if it cannot be started or runs for more than 20 seconds."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None


def output(command: list[str | Path]) -> str:
    """The output of a program; empty if :func:`run` returns None."""
    done = run(command)
    return done.stdout.strip() if done else ""
