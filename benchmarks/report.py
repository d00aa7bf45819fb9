"""Writes the report of all benchmarks: one table, as Markdown and as JSON."""

import json
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from textwrap import shorten

from benchmarks.figures import COLUMNS, NUMBERS, Result
from proto_loc import files
from proto_loc.docs import measured
from proto_loc.settings import private_folder, settings

SCHEMA = 1
"""Increases when a field is removed or changes its meaning."""
KEPT = 10
"""Reports that are kept; older ones are removed."""
PAGE, COMMAND = measured.FOLDER / "performance.md", "loc bench"
"""The page of the docs that has the last report, and the command that writes it."""
LONGEST = 300
"""Characters of an outcome in the table."""
QUIET = 0.1
"""From this share of the processor on, others have disturbed the measurement."""


@dataclass
class Report:
    """All results of one run, with what they depend on."""

    command: str
    machine: dict[str, str]
    versions: dict[str, str]
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0
    results: list[Result] = field(default_factory=list)

    @property
    def failed(self) -> list[Result]:
        return [result for result in self.results if result.faults]

    def content(self) -> dict:
        """Return the report as data."""
        return {
            "schema": SCHEMA,
            "at": self.began.isoformat(timespec="seconds"),
            "command": self.command,
            "seconds": round(self.seconds, 1),
            "passed": not self.failed,
            "machine": self.machine,
            "versions": self.versions,
            "benchmarks": [result.plain() for result in self.results],
        }

    def markdown(self) -> str:
        """Return the report as text: the machine, the commands, and one table of all figures."""
        began = self.began.strftime("%Y-%m-%d %H:%M UTC")
        lines = [f"`{self.command}` on {began}, in {self.seconds / 60:.1f} minutes."]
        busiest = max((result.busy for result in self.results), default=0)
        if busiest >= QUIET:
            lines += [
                "",
                f"**The machine was not quiet**: others used up to {busiest:.0%} of the processor"
                " just before a benchmark, so that times and ratios are too high.",
            ]
        lines += ["", *_table(("the machine", ""), self.machine.items())]
        lines += ["", *_table(("versions", ""), self.versions.items())]
        runs = [
            (
                result.name,
                f"`{result.command}`",
                f"{result.seconds:.0f} s",
                f"{result.busy:.0%}",
                shorten(
                    "; ".join(result.faults) or result.left_out or "measured",
                    LONGEST,
                    placeholder=" … (whole in report.json)",
                ),
            )
            for result in self.results
        ]
        heads = ("benchmark", "to repeat it", "took", "others used before", "outcome")
        lines += ["", *_table(heads, runs, ("took", "others used before"))]
        rows = [
            (result.name, *figure.cells()) for result in self.results for figure in result.figures
        ]
        lines += ["", *_table(("benchmark", *COLUMNS), rows, NUMBERS)]
        return "\n".join(lines) + "\n"


def _table(heads, rows, numbers=()) -> list[str]:
    """Return the lines of a Markdown table; the columns in ``numbers`` are right-aligned."""
    rule = "|".join("---:" if head in numbers else "---" for head in heads)
    lines = [" | ".join(_cell(cell) for cell in row) for row in (heads, *rows)]
    return [f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def write(report: Report, folder: Path | None) -> Path:
    """Write ``report.md`` and ``report.json``, and return the path of the first.

    Args:
        folder: default a new one in ``.run/bench``, where the last ones are kept.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = folder or _new_folder()
    title = f"# Benchmarks\n\n{report.markdown()}"
    files.replace(folder / "report.md", title)
    files.replace(folder / "report.json", json.dumps(report.content(), indent=2) + "\n")
    return folder / "report.md"


def _new_folder() -> Path:
    home = private_folder(settings().run / "bench")
    reports = sorted(path for path in home.iterdir() if (path / "report.json").exists())
    for path in reports[: max(0, len(reports) + 1 - KEPT)]:
        shutil.rmtree(path, ignore_errors=True)
    return private_folder(home / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ"))


def write_page(report: Report) -> None:
    """Write the report into the page of the docs; the text around it stays.

    Raises:
        LocError: the page has no place for it.
    """
    measured.write(PAGE, COMMAND, report.markdown())
