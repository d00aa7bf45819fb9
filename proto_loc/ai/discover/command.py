"""Runs ``loc discover`` in the environment ``notebooks``."""

import json
import sys
from pathlib import Path

from proto_loc.ai import llm
from proto_loc.ai.discover import narrative, report
from proto_loc.ai.discover.finding import discover
from proto_loc.errors import LocError, plain
from proto_loc.settings import private_folder, settings


def run(options: dict) -> int:
    """Write the report, and print the findings and the report's path."""
    discovery = discover()
    pieces, why = None, ""
    if not options["narrative"]:
        why = "--no-narrative."
    elif not llm.sends_rows():
        why = "LOC_LLM_SEND_ROWS is 0, and its figures are values of the data."
    else:
        try:
            pieces = narrative.narrative(discovery)
        except LocError as error:
            why = str(error)
            if not isinstance(error, llm.NoModel):
                print(f"note: {error}", file=sys.stderr)
    note = f"Not told in a model's words: {why}" if why else ""
    path = (
        Path(options["out"])
        if options["out"]
        else settings().run / "reports" / f"discover-{discovery.version.id:06d}.html"
    )
    try:
        private_folder(path.parent)
        path.write_text(report.page(discovery, pieces, note))
    except OSError as error:
        raise LocError(
            f"{path} cannot be written.", f"{error.strerror}.", "Name another file with --out."
        ) from error
    wrong = [piece.text for piece in pieces or [] if piece.wrong]
    if options["json"]:
        summary = {
            "version": discovery.version.id,
            "before": discovery.before.id if discovery.before else None,
            "report": str(path),
        }
        summary |= {
            "findings": [str(finding) for finding in discovery.findings],
            "told": pieces is not None,
            "wrong_figures": wrong,
        }
        print(json.dumps(summary | {"seconds": round(discovery.seconds, 3)}, indent=2))
        return 0
    for finding in discovery.findings:
        print(plain(f"- {finding}"))
    if wrong:
        print(
            f"note: {len(wrong)} figures of the model do not check out; the report marks them.",
            file=sys.stderr,
        )
    print(f"report: {path}")
    return 0
