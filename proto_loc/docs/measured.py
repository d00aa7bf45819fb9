"""The part of a page of the docs that a command writes: figures that it has really measured."""

from pathlib import Path

from proto_loc import files
from proto_loc.errors import LocError
from proto_loc.settings import ROOT

FOLDER = ROOT / "docs"


def marks(command: str) -> tuple[str, str]:
    """The lines before and after what a command writes."""
    return f"<!-- {command}: begin -->", f"<!-- {command}: end -->"


def around(page: Path, command: str) -> tuple[str, str]:
    """The text of a page before and after what a command writes.

    Raises:
        LocError: the page is missing, or does not have both marks once and in order.
    """
    begin, end = marks(command)
    text = page.read_text() if page.exists() else ""
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise LocError(
            f"{page} has no place for the figures.",
            f"They go between the lines {begin} and {end}, and each must be there once.",
            "Put both lines into the page, then run it again.",
        )
    return text.partition(begin)[0], text.partition(end)[2]


def write(page: Path, command: str, figures: str) -> None:
    """Replace what a command writes in a page; the text around it stays.

    Raises:
        LocError: the page is missing, or does not have both marks once and in order.
        OSError: the page cannot be written.
    """
    before, after = around(page, command)
    begin, end = marks(command)
    files.replace(page, f"{before}{begin}\n\n{figures.strip()}\n\n{end}{after}")
