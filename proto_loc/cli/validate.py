"""``loc validate``: proves the whole platform end to end."""

from typing import Annotated

import typer

app = typer.Typer()
STYLES = {"passed": "green", "warned": "yellow", "failed": "red", "not checked": "dim"}
MARKS = {"passed": "✓", "warned": "!", "failed": "✗", "not checked": "-"}


@app.command(rich_help_panel="Services")
def validate(
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    only: Annotated[
        str,
        typer.Option(metavar="STEP,...", help="Run these steps only, and what they need."),
    ] = "",
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Load and publish nothing: check what is published."),
    ] = False,
    leave_up: Annotated[
        bool,
        typer.Option("--leave-up", help="Leave the services up that were started for this."),
    ] = False,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait until services are ready.", min=1)
    ] = 1800,
) -> None:
    """Prove the whole platform, from the load to the AI's answer; exit with 1 if a step fails.

    It loads what is new through Dagster, builds, audits and publishes; compares the figures of
    Superset, Cube, a notebook and `loc ask` with the warehouse; and checks processes, secrets,
    listeners, access and versions. Services that are not up are started, and stopped at the end.
    A report with figures and screenshots is in .run/validate/.

    Examples: loc validate, loc validate --read-only --json, loc validate --only access,secrets
    """
    from proto_loc.compose import stack
    from proto_loc.validate import report, steps
    from proto_loc.validate.proof import Proof

    chosen = steps.chosen(name.strip() for name in only.split(",") if name.strip())
    proof = Proof(report.new_folder(), publish=not read_only, timeout=timeout)
    try:
        with _checklist(len(chosen)) as watch:
            steps.run(proof, chosen, watch)
        page = report.write(proof)
    finally:
        if proof.started and not leave_up:
            stack.down()
    if json:
        from json import dumps

        print(dumps(report.content(proof) | {"report": str(page)}, indent=2))
    else:
        _close(proof, page)
    raise typer.Exit(int(proof.failed))


def _checklist(number: int):
    """A context manager that shows the steps while they run, and returns the function to call."""
    from contextlib import contextmanager

    from rich.live import Live
    from rich.markup import escape
    from rich.spinner import Spinner
    from rich.table import Table

    from proto_loc.cli._console import err
    from proto_loc.validate.proof import RUNNING, Outcome

    @contextmanager
    def plain():
        def watch(outcome: Outcome, _: str) -> None:
            if outcome.verdict != RUNNING:
                err.print(_line(outcome), soft_wrap=True)

        yield watch

    @contextmanager
    def live():
        outcomes: list[Outcome] = []

        def shown(text: str) -> Table:
            table = Table.grid(padding=(0, 1))
            for outcome in outcomes:
                if outcome.verdict == RUNNING:
                    words = f"{escape(outcome.title)} [dim]{escape(text)}[/]"
                    table.add_row(Spinner("dots", text=words))
                else:
                    table.add_row(_line(outcome))
            table.add_row(f"[dim]{len(outcomes)} of {number}[/]")
            return table

        with Live(console=err, refresh_per_second=8) as display:

            def watch(outcome: Outcome, text: str) -> None:
                if outcome not in outcomes:
                    outcomes.append(outcome)
                display.update(shown(text))

            yield watch

    return live() if err.is_terminal else plain()


def _line(outcome) -> str:
    from rich.markup import escape

    style, mark = STYLES[outcome.verdict], MARKS[outcome.verdict]
    return (
        f"[{style}]{mark} {outcome.verdict:<11}[/] {outcome.seconds:5.1f} s "
        f"{escape(outcome.title)}: [dim]{escape(outcome.summary)}[/]"
    )


def _close(proof, page) -> None:
    """Print what is not as it should be, the counts, and where the report is."""
    from proto_loc.cli._console import out

    for outcome in proof.outcomes:
        for finding in outcome.findings:
            if finding.status in ("fail", "warn", "skip"):
                word = {"fail": "failed", "warn": "warning", "skip": "not checked"}[finding.status]
                out.print(f"{outcome.name}, {word}: {finding.what}", markup=False, soft_wrap=True)
                for label, text in (("why", finding.why), ("fix", finding.fix)):
                    if text:
                        out.print(f"  {label}: {text}", markup=False, soft_wrap=True)
    counts = ", ".join(
        f"{number} {verdict}"
        for verdict in MARKS
        if (number := sum(outcome.verdict == verdict for outcome in proof.outcomes))
    )
    seconds = sum(outcome.seconds for outcome in proof.outcomes)
    out.print(f"{counts}, in {seconds:.0f} s.", markup=False)
    out.print(f"Report: {page}", markup=False, soft_wrap=True)
