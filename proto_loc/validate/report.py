"""Writes the report of a run: ``report.json`` for programs, ``report.html`` for people."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import jinja2

from proto_loc import files, fork_file
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.setup.programs import output
from proto_loc.validate.proof import FAILED, PASSED, SKIPPED, WARNED, Proof

KEPT = 10
"""Reports that are kept; older ones are removed."""
SCHEMA = 1
"""Increases when a field is removed or changes its meaning."""
TONES = {PASSED: "good", WARNED: "busy", FAILED: "bad", SKIPPED: "quiet"}


def new_folder() -> Path:
    """Make the folder of a new report, and remove the oldest ones."""
    home = private_folder(settings().run / "validate")
    reports = sorted(path for path in home.iterdir() if (path / "report.json").exists())
    for path in reports[: max(0, len(reports) + 1 - KEPT)]:
        shutil.rmtree(path, ignore_errors=True)
    return private_folder(home / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ"))


def content(proof: Proof) -> dict:
    """The report as plain data."""
    counts = {
        verdict: sum(outcome.verdict == verdict for outcome in proof.outcomes) for verdict in TONES
    }
    return {
        "schema": SCHEMA,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": fork_file.name(),
        "clone": str(ROOT),
        "git_revision": output(
            ["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"]
        )
        or None,
        "passed": not proof.failed,
        "counts": counts,
        "seconds": round(sum(outcome.seconds for outcome in proof.outcomes), 1),
        "version": proof.expected.version if proof.expected else None,
        "steps": [
            {
                "name": outcome.name,
                "title": outcome.title,
                "verdict": outcome.verdict,
                "seconds": round(outcome.seconds, 2),
                "findings": [
                    {key: text for key, text in finding.fields().items() if key != "symptom"}
                    for finding in outcome.findings
                ],
            }
            for outcome in proof.outcomes
        ],
        "figures": {
            metric: {tool: None if figure is None else str(figure) for tool, figure in row.items()}
            for metric, row in proof.figures.items()
        },
        "access": proof.access,
        "pictures": [asdict(picture) for picture in proof.pictures],
    }


def _formats(proof: Proof) -> Callable[[str, str], str]:
    """A function that shows a metric's figure as a person reads it."""
    formats = {metric.name: metric.format for model in proof.models for metric in model.metrics}

    def shown(metric: str, figure: str) -> str:
        try:
            return formats[metric].text(figure)
        except (KeyError, ArithmeticError):  # a tool may answer anything
            return figure

    return shown


def write(proof: Proof) -> Path:
    """Write both files into the run's folder, and return the path of the page.

    Raises:
        OSError: the folder cannot be written.
    """
    report = content(proof)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tools = list(dict.fromkeys(tool for row in report["figures"].values() for tool in row))
    services = list(dict.fromkeys(name for row in report["access"].values() for name in row))
    page = environment.get_template("report.html").render(
        report=report, tones=TONES, tools=tools, services=services, shown=_formats(proof)
    )
    files.replace(proof.folder / "report.html", page, private=True)
    files.replace(proof.folder / "report.json", json.dumps(report, indent=2) + "\n", private=True)
    return proof.folder / "report.html"
