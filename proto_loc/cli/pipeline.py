"""The commands that move data: load, refresh, first-load, dbt."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

PANEL = "Data"
Force = Annotated[
    bool, typer.Option("--force", help="Build and publish even if nothing has changed.")
]
Direct = Annotated[bool, typer.Option("--direct", help="Run it here, even if Dagster is up.")]


@app.command(rich_help_panel=PANEL)
def refresh(force: Force = False, direct: Direct = False) -> None:
    """Load what is new, build and audit the models, publish prod.

    Files in data/landing/ that were never loaded are new. An empty platform without such files
    loads the synthetic sample. If a file is refused or a test fails, nothing is published and prod
    stays as it was. If Dagster is up, it does the work, with the same result.
    """
    from proto_loc.refresh.request import Request

    _run(Request(force=force), "loc refresh", direct)


@app.command(rich_help_panel=PANEL)
def load(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[SOURCE] sample | FILE...", help="A source, the word sample, or files."
        ),
    ],
    rows: Annotated[
        int | None,
        typer.Option(help="Rows in the sample; the source has a default."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the sample; the same seed gives the same rows."),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Let a file take away rows of another one that it does not have."
        ),
    ] = False,
    direct: Direct = False,
) -> None:
    """Load a source's sample, or files, then refresh.

    Sources are the folders of pipelines/. Without a source's name, the files go to the one source
    that declares them. A load replaces the partitions that it has; a sample never replaces real
    records. If rows of another file would be lost, the command asks, or wants --replace. If a file
    is refused, none is loaded. A source that fetches its rows needs only its name; with --replace
    it fetches all of them again.

    Examples: loc load sample --rows 1000000, loc load shop ~/Downloads/orders-*.csv
    """
    from proto_loc.errors import UsageError
    from proto_loc.refresh.request import Request
    from proto_loc.sources import (
        FetchingSource,
        WouldReplace,
        find_source,
        find_sources,
        landing_files,
        source_with_sample,
    )

    name = ""
    first = what[0]
    if first in find_sources() or not (first == "sample" or Path(first).exists() or "." in first):
        source = find_source(first)
        name, what = source.name, what[1:]
        if not what and isinstance(source, FetchingSource):
            _run(Request(source=name, replace=replace), "loc load", direct)
            return
        what = what or [str(path) for path in landing_files(name)]
        if not what:
            raise UsageError(
                f"There is no file for {name}.",
                f"data/landing/{name}/ is empty.",
                f"Put files there, or name them: `loc load {name} FILES`.",
            )
    if what == ["sample"]:
        if replace:
            raise UsageError(
                "--replace is for files.",
                "The sample never replaces real records.",
                "Leave it out.",
            )
        of_sample = {
            name: value for name, value in (("rows", rows), ("seed", seed)) if value is not None
        }
        source = source_with_sample(name)
        request = Request(**{"rows": source.sample_rows or 0, "source": name, **of_sample})
        _run(request, "loc load sample", direct)
        return
    if "sample" in what and not Path("sample").exists():
        raise UsageError(
            "The sample and files cannot be loaded in one command.",
            "",
            "Run `loc load sample` by itself.",
        )
    if rows is not None or seed is not None:
        raise UsageError(
            "--rows and --seed are for the sample.",
            "Files are loaded whole.",
            "Leave them out, or load the sample.",
        )
    files = tuple(str(Path(name).absolute()) for name in what)
    try:
        _run(Request(files=files, replace=replace, source=name), "loc load", direct)
    except WouldReplace as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        typer.echo(error.said(), err=True)
        if not typer.confirm("Replace it?", err=True):
            raise typer.Exit(error.exit_code) from None
        _run(Request(files=files, replace=True, source=name), "loc load", direct)


@app.command("first-load", rich_help_panel=PANEL)
def first_load(
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for Dagster to come up, else it runs here.")
    ] = 60,
) -> None:
    """Fill an empty platform with the sample, or with the files in data/landing/.

    Does nothing if prod holds data.
    """
    import time

    from proto_loc import warehouse
    from proto_loc.dagster import client
    from proto_loc.refresh.request import Request

    if warehouse.store.current_id("prod") is not None and warehouse.current("prod").tables:
        typer.echo(f"Version {warehouse.current('prod').id} of prod holds data: nothing to do.")
        return
    end = time.monotonic() + wait
    while not client.is_up() and time.monotonic() < end:
        time.sleep(0.5)
    _run(Request(), "loc first-load", direct=False)


@app.command(
    rich_help_panel=PANEL,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def dbt(
    context: typer.Context,
    forget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCHEMA.TABLE",
            help="Give up the history of a snapshot that the project no longer has.",
        ),
    ] = None,
) -> None:
    """Run dbt with its own arguments, after --.

    The target is dev, your own file, unless you say prod. There, build publishes if every test
    passes; commands that only read run on a private copy.

    Examples: loc dbt -- build, loc dbt -- build --target prod, loc dbt -- show --select
        MODEL
    """
    from proto_loc.dbt import passthrough

    if context.args in ([], ["--help"], ["-h"]):
        typer.echo(context.get_help())
        return
    raise typer.Exit(
        passthrough.passthrough(
            [a for i, a in enumerate(context.args) if (i, a) != (0, "--")], forget or []
        )
    )


def _run(request, who: str, direct: bool) -> None:
    from proto_loc import fork_file
    from proto_loc.cli import _console
    from proto_loc.dagster import client
    from proto_loc.refresh.job import load_and_refresh

    _console.show_log()
    if hint := fork_file.first_step():
        typer.echo(hint)
        return
    dagster = None if direct else client.find()
    with _console.progress() as report:
        if dagster:
            started = lambda url: _console.err.print(f"Dagster runs it: {url}", soft_wrap=True)  # noqa: E731
            done = dagster.refresh(request, who=who, report=report, started=started)
        else:
            done = load_and_refresh(
                request.loading(who), who=who, report=report, force=request.force
            )
    _close(done)


def _close(done) -> None:
    """Print the loads, the accepted and rejected rows, and the published version."""
    from proto_loc.cli._console import out, table
    from proto_loc.warehouse import lake

    for outcome in done.outcomes:
        if outcome.replaced and outcome.replaced.origin != "synthetic":
            before = outcome.replaced
            note = (
                f"takes the place of {before.input} ({before.rows:,} rows, loaded"
                f" {before.loaded_at:%Y-%m-%d %H:%M})"
            )
            out.print(f"{outcome.input}: {note}.", markup=False)
        if outcome.skipped:
            out.print(f"{outcome.input}: not loaded, {outcome.skipped}.", markup=False)
        if outcome.ignored:
            out.print(
                f"{outcome.input}: columns left out: {', '.join(outcome.ignored)}.", markup=False
            )
        if outcome.note:
            out.print(f"{outcome.input}: {outcome.note}.", markup=False)
    by_load = done.prod.facts.get("outcomes", {})
    new = [outcome.load for outcome in done.outcomes if outcome.load and not outcome.skipped]
    # A table of rejects has a load of each file, most of them without a row.
    loads = [
        load
        for load in new or done.loads
        if load.rows or not load.table_name.endswith(lake.REJECTS)
    ]
    shown = table(
        "Loaded" if new else "In prod",
        "file",
        "source",
        "table",
        "partition",
        "origin",
        "rows",
        "accepted",
        "rejected",
        numbers=("rows", "accepted", "rejected"),
    )
    judged = [load for load in loads if str(load.load_id) in by_load]
    for load in loads:
        shown.add_row(
            _plain(load.input),
            load.source,
            load.table_name,
            load.partition,
            load.origin,
            f"{load.rows:,}",
            *_verdicts([load] if load in judged else [], by_load),
        )
    shown.add_section()
    shown.add_row(
        "total",
        "",
        "",
        "",
        "",
        f"{sum(load.rows for load in loads):,}",
        *_verdicts(judged, by_load),
    )
    out.print(shown)
    reasons: dict[str, int] = {}
    for load in judged:
        for outcome, rows in by_load[str(load.load_id)].items():
            if outcome != "accepted":
                reasons[outcome] = reasons.get(outcome, 0) + rows
    if reasons:
        shown = table(
            "Rejected, by first reason", "reason", "rows", "share", numbers=("rows", "share")
        )
        for reason, rows in sorted(reasons.items(), key=lambda item: -item[1]):
            shown.add_row(reason, f"{rows:,}", f"{rows / sum(load.rows for load in judged):.2%}")
        out.print(shown)
    if any(load.origin == "synthetic" for load in done.loads):
        out.print("Rows of origin synthetic are a generated sample, not real records.")
    checks = ", ".join(f"{count} {status}" for status, count in sorted(done.prod.checks.items()))
    if done.built:
        steps = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in done.seconds.items())
        out.print(f"Published version {done.prod.id} of prod ({checks}): {steps}.")
    else:
        out.print(
            f"Nothing has changed: version {done.prod.id} of prod stays ({checks}). --force builds"
            " it anyway."
        )


def _verdicts(loads, by_load: dict[str, dict[str, int]]) -> tuple[str, str]:
    """Format accepted and rejected rows of audited loads; words, not zeros, if none is audited."""
    if not loads:
        return "not audited", ""
    counts = [by_load[str(load.load_id)] for load in loads]
    accepted = sum(count.get("accepted", 0) for count in counts)
    return f"{accepted:,}", f"{sum(sum(count.values()) for count in counts) - accepted:,}"


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
