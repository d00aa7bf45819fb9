"""``loc discover``: what is in the published marts, and what the last publish has changed."""

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
        typer.Option(
            " /--no-narrative", help="Leave out the model's words, also where a model is set."
        ),
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Profile the published marts into a page with plots: distributions, gaps, outliers, seasons,
    and what has changed.

    With LOC_LLM_MODEL, a model tells it too, and each of its figures is checked against the data.
    """
    from proto_loc.cli._notebooks import run

    run(
        "discover",
        {"out": str(out.absolute()) if out else "", "narrative": narrative, "json": json},
    )
