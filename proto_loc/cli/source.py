"""``loc source``: makes a source from a look at its data, lists, tests, loads, removes it."""

from typing import Annotated

import typer

NAME = "source"
PANEL = "Data"
app = typer.Typer(help="Sources of your own: from data to a dashboard.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The source, a folder of pipelines/.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, such as sales.")],
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="More files, as a shell expands a pattern."),
    ] = None,
    csv: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="CSV files; again for more.")
    ] = None,
    parquet: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Parquet files.")
    ] = None,
    json: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="JSON or NDJSON files.")
    ] = None,
    excel: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Excel files.")] = None,
    sql: Annotated[
        str, typer.Option(metavar="DSN", help="A database: PostgreSQL, MySQL or SQLite.")
    ] = "",
    api: Annotated[str, typer.Option(metavar="URL", help="An endpoint of a REST API.")] = "",
    dlt: Annotated[
        str, typer.Option(metavar="MODULE", help="A dlt source, MODULE or MODULE:FUNCTION.")
    ] = "",
    table: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=GLOB]",
            help="A table of the database; of files, a table and the pattern of its files.",
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE=COLUMN,...", help="Columns that identify a row; none after the = sign."
        ),
    ] = None,
    partition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE=PARTITION",
            help="What a load replaces: file, month:COLUMN, day:COLUMN, or nothing for the table.",
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Look at data, then write, build, load and publish a source with its dashboard.

    It shows what it infers and asks. It writes pipelines/NAME/, the dbt models with tests and
    metrics, a dashboard and a notebook. All of these are yours: no file is ever overwritten. If a
    step fails, no file and no load remains.

    Examples: loc source add sales --csv 'sales-*.csv', loc source add crm --sql
        sqlite:///crm.db --table customers
    """
    from proto_loc.cli import _source_add as adding
    from proto_loc.cli._console import show_log

    show_log()
    kinds = {"csv": csv, "parquet": parquet, "json": json, "excel": excel}
    origin = adding.Origin.of(kinds, files or [], table or [], sql=sql, api=api, dlt=dlt)
    options = {"--key": key or [], "--partition": partition or []}
    adding.add(name, origin, options, ask=not yes)


@app.command("list")
def list_() -> None:
    """Show the sources with their tables, loads and rows."""
    from proto_loc.cli import _source_care as care

    care.show()


@app.command()
def test(name: Name) -> None:
    """Build and test the models of a source on dev; prod stays as it is."""
    from proto_loc.cli import _source_care as care
    from proto_loc.cli._console import show_log

    show_log()
    care.test(name)


@app.command()
def load(
    name: Name,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Files; without them, what is new."),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Let a file take away rows of another one."),
    ] = False,
    direct: Annotated[
        bool, typer.Option("--direct", help="Run it here, even if Dagster is up.")
    ] = False,
) -> None:
    """Load files of a source, or what is new in it, and publish.

    What is new are files in data/landing/NAME/ that were never loaded, and new rows of a database
    or an API.
    """
    from proto_loc.cli import _source_care as care

    care.load(name, files or [], replace=replace, direct=direct)


@app.command()
def remove(name: Name, yes: Yes = False) -> None:
    """Remove a source that `loc source add` wrote: its files, models and loads.

    Files that you changed are named, and moved to data/removed/ with the others. If a model or
    dashboard of yours still uses the source, nothing is removed.
    """
    from proto_loc.cli import _source_care as care
    from proto_loc.cli._console import show_log

    show_log()
    care.remove(name, ask=not yes)
