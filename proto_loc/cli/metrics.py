"""``loc token | query | mf``: ask the platform's Cube, or MetricFlow, for metrics."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

PANEL = "Metrics"
app = typer.Typer()


class Format(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"


Claims = Annotated[
    str,
    typer.Option(
        metavar="JSON",
        help='Whose rows are seen, by the access rules: \'{"regions": ["north"]}\'.',
    ),
]


@app.command(rich_help_panel=PANEL)
def token(
    claims: Claims = "",
    all_rows: Annotated[bool, typer.Option("--all-rows", help="Limit no rows.")] = False,
    hours: Annotated[float, typer.Option(help="For how long it is taken.", min=0.01)] = 24,
) -> None:
    """Mint a token for Cube's REST and GraphQL APIs: the header `Authorization` of a request.

    Example: curl -H "Authorization: $(./loc token --all-rows)"
        http://127.0.0.1:4000/cubejs-api/v1/meta
    """
    from proto_loc.cube import client
    from proto_loc.errors import UsageError

    if all_rows == bool(claims):
        raise UsageError(
            (
                "It is not said which rows the token sees."
                if not claims
                else "--all-rows and --claims contradict."
            ),
            "",
            "Give either --all-rows, or --claims with:"
            f" {', '.join(client.rules()) or 'no claim, for there is no rule'}.",
        )
    print(client.token(client.ALL_ROWS if all_rows else parse_claims(claims), seconds=hours * 3600))


@app.command(rich_help_panel=PANEL)
def query(
    metrics: Annotated[
        list[str], typer.Option("--metric", "-m", help="A metric; again for more.")
    ] = (),
    dimensions: Annotated[
        list[str],
        typer.Option(
            "--dimension", "-d", help="Cut by it; a time with its grain, as in TIME:month."
        ),
    ] = (),
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="First day.")
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Last day, included."),
    ] = None,
    where: Annotated[
        list[str],
        typer.Option(
            "--where",
            "-w",
            metavar="DIM=VALUE",
            help="Only these rows: DIM=VALUE, DIM!=VALUE, DIM=LOW..HIGH, DIM>=VALUE.",
        ),
    ] = (),
    order: Annotated[
        str,
        typer.Option(
            metavar="[-]NAME",
            help="Order by it; with - the largest first. By default by the times and numbers asked"
            " for with -d, else by the first metric.",
        ),
    ] = "",
    limit: Annotated[int, typer.Option(help="At most so many rows.", min=1, max=50_000)] = 1000,
    form: Annotated[
        Format, typer.Option("--format", "-f", help="How to print; csv keeps every digit.")
    ] = Format.table,
    claims: Claims = "",
    list_: Annotated[
        bool, typer.Option("--list", help="Show every metric and dimension instead.")
    ] = False,
) -> None:
    """Ask Cube for metrics, as defined in dbt, of the data that is published now.

    Examples: loc query --list, loc query -m METRIC -d DIMENSION --since 2025-01-01,
    loc query -m METRIC -m METRIC -d TIME:day -w DIMENSION=VALUE -f csv. See docs/query.md.
    """
    from proto_loc.cube import client

    with client.Cube(parse_claims(claims) if claims else client.ALL_ROWS) as asked:
        meta = asked.meta()
        if list_:
            _list(meta)
            return
        question = client.Question(
            tuple(metrics),
            tuple(dimensions),
            f"{since:%Y-%m-%d}" if since else "",
            f"{until:%Y-%m-%d}" if until else "",
            tuple(where),
            order,
            limit + (limit < client.MAX_ROWS),  # one more tells whether there are more
        )
        answer = asked.load(question.query(meta), meta)
    is_cut = len(answer.rows) > limit
    del answer.rows[limit:]
    _PRINT[form](answer)
    if is_cut:
        typer.echo(f"note: These are the first {limit:,} rows; --limit gives more.", err=True)


@app.command(
    rich_help_panel=PANEL,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def mf(context: typer.Context) -> None:
    """Run MetricFlow on the data that is published now, read-only, with its own arguments.

    Examples: loc mf list metrics, loc mf query --metrics METRIC --group-by metric_time__month,
        loc mf query --metrics METRIC --explain
    """
    from proto_loc import warehouse
    from proto_loc.metrics import metricflow

    if context.args in ([], ["--help"], ["-h"]):
        typer.echo(context.get_help())
        return
    raise typer.Exit(metricflow.run(warehouse.current("prod").verify(), context.args))


def parse_claims(text: str) -> dict:
    import json

    from proto_loc.errors import UsageError

    try:
        claims = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--claims {text!r} is no JSON.", f"{error}.", _CLAIMS) from error
    if not isinstance(claims, dict):
        raise UsageError(f"--claims {text!r} is no JSON object.", "", _CLAIMS)
    return claims


_CLAIMS = 'Write it as \'{"regions": ["north"]}\', in single quotes.'


def _list(meta) -> None:
    from rich.markup import escape

    from proto_loc.cli._console import out, table

    shown = table("", "cube", "", "name", "type", "description")
    for kind, members in (("metric", meta.metrics), ("dimension", meta.dimensions)):
        for member in members.values():
            shown.add_row(member.cube, kind, member.short, member.kind, escape(member.description))
    out.print(shown)


def _table(answer) -> None:
    from rich.markup import escape

    from proto_loc.cli._console import out, table

    numbers = tuple(c.title for c in answer.columns if c.kind not in ("string", "time", "boolean"))
    shown = table("", *(column.title for column in answer.columns), numbers=numbers)
    for row in answer.rows:
        shown.add_row(
            *(
                escape(_shown(value, column))
                for value, column in zip(row.values(), answer.columns, strict=True)
            )
        )
    out.print(shown)


def _shown(value, column) -> str:
    """A value as a person reads it."""
    from proto_loc.metrics.formats import money

    if value is None:
        return ""
    if isinstance(value, str):
        return value.removesuffix("T00:00:00.000") if column.kind == "time" else value
    kind, _, decimals = (column.format or "").partition("_")
    places = int(decimals) if decimals.isdigit() else 0 if isinstance(value, int) else 2
    if kind == "percent":
        return f"{value:.{places}%}"
    shown = f"{value:,.{places}f}"
    return money(shown, column.currency) if kind == "currency" else shown


def _json(answer) -> None:
    from json import dumps

    from proto_loc.ai.values import exact

    names = [column.short for column in answer.columns]
    rows = [dict(zip(names, map(exact, row.values()), strict=True)) for row in answer.rows]
    print(dumps(rows, indent=2, allow_nan=False))


def _csv(answer) -> None:
    import csv
    import sys

    from proto_loc.errors import PlainWriter

    writer = csv.writer(PlainWriter(sys.stdout), lineterminator="\n")
    writer.writerow(column.short for column in answer.columns)
    writer.writerows(row.values() for row in answer.rows)


_PRINT = {Format.table: _table, Format.json: _json, Format.csv: _csv}
