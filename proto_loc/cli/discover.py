"""``loc discover``: profiles the published marts and the changes of the last publish."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command(rich_help_panel="Metrics")
def discover(
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write the report there; default in .run/reports."),
    ] = None,
    narrative: Annotated[
        bool,
        typer.Option(" /--no-narrative", help="Leave out the language model's text."),
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Profile the published marts on a page: distributions, gaps, outliers, seasons, changes.

    With LOC_LLM_MODEL, a language model adds a text, and its figures are checked against the data.
    """
    from proto_loc.cli._notebooks import run

    run(
        "discover",
        {"out": str(out.absolute()) if out else "", "narrative": narrative, "json": json},
    )
