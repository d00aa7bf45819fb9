"""``loc ask``: answers a question in plain words with a query."""

from pathlib import Path
from typing import Annotated

import typer

from proto_loc.cli.metrics import Claims, Format, parse_claims
from proto_loc.errors import UsageError
from proto_loc.settings import ROOT

PANEL = "Metrics"
app = typer.Typer()
QUESTIONS = ROOT / "evaluations/questions.yml"
"""The questions that ``--evaluate`` asks by default."""


@app.command(rich_help_panel=PANEL)
def ask(
    question: Annotated[
        str,
        typer.Argument(
            help="The question, in quotes; with --evaluate a file of questions.", show_default=False
        ),
    ] = "",
    chart: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png|html", help="Also draw a chart of the answer, if one fits."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="How to print.")] = Format.table,
    claims: Claims = "",
    evaluate: Annotated[
        bool,
        typer.Option(
            "--evaluate", help="Ask a set of questions, and report the share of right answers."
        ),
    ] = False,
    minimum: Annotated[
        float,
        typer.Option(
            help="With --evaluate: the exit code is 1 below this share of right answers.",
            min=0,
            max=1,
        ),
    ] = 0,
) -> None:
    """Ask a language model for the query that answers a question; run it, and show both.

    The model is LOC_LLM_MODEL; see docs/ai.md. Without a question, `loc ask` shows an example
    made of your own metrics.
    """
    from proto_loc.ai import llm, prompts
    from proto_loc.cli._notebooks import run

    if not question.strip() and not evaluate:
        raise prompts.no_question()
    if evaluate and claims:
        raise UsageError(
            "--evaluate and --claims cannot be combined.",
            "The right answers of the set are for all rows.",
            "Leave out --claims.",
        )
    llm.model()  # fails before anything is installed
    options = {"format": form.value}
    if evaluate:
        run("evaluate", options | {"file": question or str(QUESTIONS), "minimum": minimum})
    run(
        "ask",
        options
        | {
            "claims": parse_claims(claims) if claims else None,
            "question": question,
            "chart": str(chart.absolute()) if chart else "",
        },
    )
