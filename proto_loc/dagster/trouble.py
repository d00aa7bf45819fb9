"""Where in the project an error of Dagster's comes from: in one line, for a person who reads no
traceback.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from proto_loc.settings import ROOT

FRAME = re.compile(r'File "(.+?)", line (\d+)')
OURS = re.compile(r"^(pipelines|proto_loc)\.[\w.]+: ")
"""How an error of the platform's own begins: it says itself where."""


def place(texts: Iterable[str]) -> str:
    """The last file of the project, with its line, that lines of a traceback name; empty if
    none does.
    """
    found = ""
    for path, line in FRAME.findall("\n".join(texts)):
        with suppress(ValueError):
            inside = Path(path).resolve().relative_to(ROOT)
            if not inside.parts[0].startswith("."):
                found = f"{inside}, line {line}"
    return found


def of_chain(chain: Iterable[tuple[str, Iterable[str]]]) -> str:
    """What the innermost of these errors says, after the file and line that it comes from.

    Args:
        chain: message and lines of the traceback of each, the outermost first.
    """
    message, stack = list(chain)[-1]
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    if lines and FRAME.search(lines[0]):  # a syntax error shows the place before it says what it is
        lines = lines[-1:]
    said = " ".join(lines)[:500]
    if OURS.match(said):
        return OURS.sub("", said)
    where = place([*stack, message])
    return f"{where}: {said}" if where else said
