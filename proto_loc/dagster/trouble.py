"""Reduces an error of Dagster to one line with the file and line in the project."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from proto_loc.settings import ROOT

FRAME = re.compile(r'File "(.+?)", line (\d+)')
OURS = re.compile(r"^(pipelines|proto_loc)\.[\w.]+: ")
"""The start of an error of the platform itself, which names the place in its message."""


def place(texts: Iterable[str]) -> str:
    """The last file of the project in a traceback, with its line; empty if there is none."""
    found = ""
    for path, line in FRAME.findall("\n".join(texts)):
        with suppress(ValueError):
            inside = Path(path).resolve().relative_to(ROOT)
            if not inside.parts[0].startswith("."):
                found = f"{inside}, line {line}"
    return found


def of_chain(chain: Iterable[tuple[str, Iterable[str]]]) -> str:
    """The innermost error's message, after the file and line that it comes from.

    Args:
        chain: message and traceback lines of each error, the outermost first.
    """
    message, stack = list(chain)[-1]
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    if lines and FRAME.search(lines[0]):  # a syntax error has its place in front
        lines = lines[-1:]
    said = " ".join(lines)[:500]
    if OURS.match(said):
        return OURS.sub("", said)
    where = place([*stack, message])
    return f"{where}: {said}" if where else said
