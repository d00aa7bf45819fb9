"""Commands on the warehouse's published databases."""

import sys
from pathlib import Path
from typing import Annotated

import typer

NAME = "db"
PANEL = "Data"
app = typer.Typer(
    help="Look at the published databases, compare their versions, go back.", no_args_is_help=True
)

Database = Annotated[
    str, typer.Option("--database", "-d", help="raw (the catalogue of what is loaded) or prod.")
]
Id = Annotated[int, typer.Argument(help="Id of a version, as in `loc db history`.")]


@app.command("list")
def list_() -> None:
    """List the databases: what is current, since when, how large. Each current version is read in
    full and compared with its checksums, raw with its files in the lake."""
    from rich.filesize import decimal

    from proto_loc import warehouse
    from proto_loc.cli._console import out, table
    from proto_loc.settings import settings

    shown = table(
        "",
        "database",
        "version",
        "published",
        "by",
        "tables",
        "rows",
        "size",
        "kept",
        numbers=("version", "tables", "rows", "size", "kept"),
    )
    failed: list[warehouse.WarehouseError] = []
    for database in warehouse.DATABASES:
        try:
            serving = warehouse.store.current_id(database)
        except warehouse.VersionDamaged as damage:
            shown.add_row(database, "-", "damaged", *["-"] * 4, "0")
            failed.append(damage)
            continue
        if serving is None:
            shown.add_row(database, "-", "no data yet: run loc refresh", *["-"] * 4, "0")
            continue
        kept = str(len(warehouse.store.versions(database)))
        (verdict,) = warehouse.verify(database, [serving])
        if verdict.trouble:
            shown.add_row(database, str(serving), verdict.state, *["-"] * 4, kept)
            failed.append(verdict.trouble)
            continue
        version = verdict.version
        shown.add_row(
            database,
            str(version.id),
            version.published_at[:19],
            version.who,
            str(len(version.tables)),
            f"{sum(version.tables.values()):,}",
            decimal(version.bytes),
            kept,
        )
    dev = settings().warehouse / "dev.duckdb"
    if dev.exists():
        shown.add_row(
            "dev",
            "-",
            "your own file, never published",
            "",
            "",
            "",
            decimal(dev.stat().st_size),
            "",
        )
    out.print(shown)
    if failed:
        raise failed[0]


@app.command()
def path(
    database: Annotated[str, typer.Argument(help="raw, prod or dev.")] = "prod",
    version: Annotated[
        int | None, typer.Option(help="Another version than the current one.")
    ] = None,
) -> None:
    """Print the path of a database's file, for any tool that reads DuckDB. What Trino keeps is in
    no file.

    Example: duckdb -readonly "$(./loc db path)"
    """
    if database == "dev" and version is None:
        print(_dev())
    else:
        found = _version(database, version)
        print(found.keeper.file(found))


@app.command()
def history(database: Database = "prod") -> None:
    """List the versions kept, newest first; each is read in full and compared with its
    checksums.
    """
    from rich.filesize import decimal

    from proto_loc import warehouse
    from proto_loc.cli._console import out, table

    serving = warehouse.store.current_id(database)
    shown = table(
        database,
        "",
        "version",
        "state",
        "published",
        "by",
        "based on",
        "rows",
        "size",
        "checks",
        "git",
        numbers=("version", "based on", "rows", "size"),
    )
    for verdict in warehouse.verify(database, reversed(warehouse.store.versions(database))):
        version = verdict.version
        shown.add_row(
            "current" if verdict.id == serving else "",
            str(verdict.id),
            verdict.state,
            *(() if version is None else (
                version.published_at[:19],
                version.who,
                str(version.based_on or "-"),
                f"{sum(version.tables.values()):,}",
                decimal(version.bytes),
                ", ".join(f"{count} {status}" for status, count in sorted(version.checks.items())),
                _short(version.git_revision or "-"),
            )),
        )  # fmt: skip
    out.print(shown)


@app.command()
def verify(
    every: Annotated[
        bool, typer.Option("--all", help="Every version kept, not only the current ones.")
    ] = False,
) -> None:
    """Read what is published in full, with the files of the lake, and compare it with the checksums
    of when it was written. The exit code is 1 if anything is damaged.

    Example: loc db verify --all
    """
    from proto_loc import warehouse
    from proto_loc.cli._console import out, table

    shown = table(
        "", "database", "version", "", "files compared", "without checksum", numbers=("version",)
    )
    verdicts = []
    for database in warehouse.DATABASES:
        serving = warehouse.store.current_id(database)
        if serving is not None:
            chosen = reversed(warehouse.store.versions(database)) if every else [serving]
            verdicts += warehouse.verify(database, chosen, values=True)
    for verdict in verdicts:
        numbers = ("-", "-") if verdict.trouble else (str(verdict.files), str(verdict.unknown))
        shown.add_row(verdict.database, str(verdict.id), verdict.state, *numbers)
    out.print(shown)
    if any(verdict.unknown for verdict in verdicts):
        out.print("What was published before checksums were kept is compared by size alone.")
    troubles = [verdict.trouble for verdict in verdicts if verdict.trouble]
    for trouble in troubles[1:]:
        out.print(str(trouble), markup=False)
    if troubles:
        raise troubles[0]


@app.command()
def rollback(
    version: Annotated[
        int | None, typer.Argument(help="Id of the version; default the one that it was made from.")
    ] = None,
    database: Database = "prod",
) -> None:
    """Serve an earlier version again; nothing is copied or lost, and a higher id takes you
    forward again.
    """
    from proto_loc import warehouse
    from proto_loc.cli._console import out, show_log

    show_log()
    before = warehouse.store.current_id(database)
    current = warehouse.rollback(database, version)
    out.print(
        f"{database} now serves version {current.id}, published"
        f" {current.published_at[:19]}, instead of {before}."
    )


@app.command()
def move(
    name: Annotated[str, typer.Argument(metavar="ENGINE", help="duckdb or trino.")],
) -> None:
    """Move prod to another engine: build it there from the same loads, copy the histories of
    snapshots, and publish if every row count, outcome and metric is as before. The versions of the
    engine that is left stay, and `loc db rollback` with its LOC_ENGINE goes back to them.

    Needs LOC_ENGINE=trino, since that environment knows both engines.

    Example: LOC_ENGINE=trino ./loc db move trino
    """
    from proto_loc import warehouse
    from proto_loc.cli._console import out, progress
    from proto_loc.dbt.moving import Moving
    from proto_loc.dbt.publish import publish
    from proto_loc.errors import UsageError
    from proto_loc.settings import ENGINES, settings
    from proto_loc.warehouse import engine

    if name not in ENGINES:
        raise UsageError(f"There is no engine {name!r}.", "", f"Choose from: {', '.join(ENGINES)}.")
    if settings().engine != "trino":
        raise UsageError(
            "A move needs LOC_ENGINE=trino.",
            "The environment of the other engine does not know Trino.",
            f"Run `LOC_ENGINE=trino ./loc db move {name}`.",
        )
    source = warehouse.current("prod")
    if source.engine == name:
        raise UsageError(
            f"prod is kept by {source.keeper.title} already.",
            f"That is version {source.id}.",
            "Nothing is to do.",
        )
    onto = engine.named(name)
    with progress() as report:
        version = publish(
            who=f"loc db move {name}",
            moving=Moving(source, onto),
            report=lambda *state: report("build", *state),
        )
    out.print(
        f"Version {version.id} of prod is kept by {onto.title}: all row counts, outcomes and"
        f" metrics are those of version {source.id}. Set LOC_ENGINE={name} and start the services"
        f" again; `LOC_ENGINE={source.engine} ./loc db rollback {source.id}` goes back."
    )


@app.command()
def diff(before: Id, after: Id, database: Database = "prod") -> None:
    """Compare two versions: tables, changes of their columns, row counts."""
    from proto_loc import warehouse
    from proto_loc.cli._console import out, table

    shown = table(
        f"{database}: version {before} to {after}",
        "table",
        "change",
        f"rows {before}",
        f"rows {after}",
        "difference",
        "columns",
        numbers=(f"rows {before}", f"rows {after}", "difference"),
    )
    changes = warehouse.diff(database, before, after)
    for item in changes:
        if item.status == "same":
            continue
        counted = item.rows_before is not None and item.rows_after is not None
        shown.add_row(
            item.name,
            item.status,
            *("-" if n is None else f"{n:,}" for n in (item.rows_before, item.rows_after)),
            f"{item.rows_after - item.rows_before:+,}" if counted else "-",
            "\n".join(item.columns),
        )
    if shown.row_count:
        out.print(shown)
    same = sum(item.status == "same" for item in changes)
    out.print(f"{same} of {len(changes)} tables and views have the same columns and row counts.")


@app.command()
def shell(
    database: Annotated[str, typer.Argument(help="raw, prod or dev.")] = "prod",
    version: Annotated[
        int | None, typer.Option(help="Another version than the current one.")
    ] = None,
    command: Annotated[
        str | None, typer.Option("--command", "-c", help="Run this SQL and end.")
    ] = None,
) -> None:
    """Open DuckDB's shell on a database: read-only on raw and prod, writing on dev. What Trino
    keeps has a prompt for SQL of Trino.

    Example: loc db shell -c "summarize marts.TABLE"
    """
    from proto_loc.warehouse.file_engine import run_shell

    if database == "dev" and version is None:
        run_shell(_dev(), command)
    found = _version(database, version)
    found.keeper.shell(found, command)


@app.command()
def retire(
    what: Annotated[
        str,
        typer.Argument(metavar="SOURCE[.TABLE]", help="A source, or a table of one, as in raw."),
    ],
    partition: Annotated[
        str | None, typer.Option(help="One partition only, such as 2025-02.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take a source's loads out: the next refresh builds prod without them. It says which ones, and
    asks.

    Their files stay as long as a version of raw has them, and a rollback of raw brings them back.

    Examples: loc db retire SOURCE.TABLE --partition 2025-02, loc db retire SOURCE
    """
    from proto_loc import warehouse
    from proto_loc.cli._console import out, show_log, table
    from proto_loc.errors import UsageError
    from proto_loc.sources import declared_columns
    from proto_loc.warehouse import lake

    show_log()
    source, _, name = what.partition(".")
    loads = lake.matching(source, name or None, partition)
    shown = table("To retire", "table", "partition", "origin", "file", "rows", numbers=("rows",))
    for load in loads:
        shown.add_row(
            f"{load.source}.{load.table_name}",
            load.partition,
            load.origin,
            load.input,
            f"{load.rows:,}",
        )
    out.print(shown)
    rows = sum(load.rows for load in loads)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                f"{len(loads)} loads with {rows:,} rows were not retired.",
                "There is no terminal to ask on.",
                "Say --yes if they are to go.",
            )
        typer.confirm(f"Retire these {len(loads)} loads with {rows:,} rows?", abort=True)
    before = warehouse.store.current_id("raw")
    with lake.loading(declared_columns(), who="loc db retire") as loading:
        loading.retire(loads)
    out.print(
        f"Retired {len(loads)} loads with {rows:,} rows: raw now serves version"
        f" {loading.session.version.id}. Run `loc refresh` to build prod without them; while"
        f" version {before} of raw is kept, `loc db rollback {before} --database raw` brings them"
        " back."
    )


@app.command()
def prune(
    keep: Annotated[
        int | None,
        typer.Option(
            help="How many of the newest versions stay; default LOC_KEEP_VERSIONS.", min=1
        ),
    ] = None,
    grace: Annotated[
        float | None,
        typer.Option(
            help=(
                "Seconds for which a superseded version or a file in the bin stays; default"
                " LOC_GRACE, LOC_BIN_GRACE."
            ),
            min=0,
        ),
    ] = None,
    now: Annotated[
        bool,
        typer.Option(
            "--now", help="No grace time: remove what no process has open, and empty the bin."
        ),
    ] = False,
) -> None:
    """Remove old versions of every database, and the lake's files that none of those left uses; say
    what stays and why.

    The current version and the newest always stay. The lake's files wait in a bin first.
    """
    from rich.filesize import decimal

    from proto_loc import warehouse
    from proto_loc.cli._console import out, show_log, table
    from proto_loc.settings import settings
    from proto_loc.warehouse import lake

    show_log()
    shown = table("Kept", "database", "version", "size", "why", numbers=("version", "size"))
    for database in warehouse.DATABASES:
        if warehouse.store.current_id(database) is not None:
            gone = warehouse.prune(database, keep=keep, grace=grace, now=now)
            out.print(f"{database}: removed {', '.join(map(str, gone)) or 'nothing'}.")
            for version in warehouse.kept(database, keep=keep, grace=grace, now=now):
                shown.add_row(database, str(version.id), decimal(version.bytes), version.why)
    wait = 0 if now else settings().bin_grace if grace is None else grace
    if warehouse.store.current_id("raw") is not None:
        gone = lake.sweep(grace=wait)
        out.print(f"lake: {'moved to the bin' if wait else 'removed'} {len(gone)} files.")
    out.print(shown)
    if waiting := lake.waiting():
        size = sum(
            file.stat().st_size
            for path in waiting
            for file in (path, *path.rglob("*"))
            if file.is_file()
        )
        out.print(
            f"{len(waiting)} files and folders ({decimal(size)}) wait {wait:g} s for their removal,"
            f" in {settings().lake / lake.BIN} and beside it; --now removes them."
        )


def _short(revision: str) -> str:
    commit, dirty = revision[:9], revision.endswith("-dirty")
    return f"{commit} with changes" if dirty else commit


def _dev() -> Path:
    from proto_loc.settings import settings

    return settings().warehouse / "dev.duckdb"


def _version(database: str, version: int | None):
    from proto_loc import warehouse

    return warehouse.current(database) if version is None else warehouse.find(database, version)
