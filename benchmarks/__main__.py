"""``loc bench``: prints measurements beside a lower bound (``floor``) from the same run."""

import json as json_format
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import scratch
from benchmarks.figures import COLUMNS, NUMBERS, Result
from proto_loc import cli
from proto_loc.cli._console import err, out, table
from proto_loc.errors import UsageError

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Keep = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help=(
            "Work in new folders in this one and keep them; default temporary ones in TMPDIR or"
            " .run."
        ),
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
Prefix = Annotated[
    str, typer.Option(help="LOC_PORT_PREFIX of the services that are started.", metavar="PREFIX")
]


@app.callback(
    invoke_without_command=True,
    epilog="Examples: ./loc bench    ./loc bench --quick    ./loc bench pipeline --rows 1000000",
)
def every(
    context: typer.Context,
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller sizes: 5 minutes instead of 15.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Run this benchmark only; repeat it for several.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder of the report; default a new one in .run/bench."
        ),
    ] = None,
    write_docs: Annotated[
        bool,
        typer.Option("--write-docs", help="Also write the report into docs/performance.md."),
    ] = False,
    port_prefix: Prefix = "5",
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure the platform against floors taken in the same run; your data is not touched.

    Without a command, all benchmarks run into one table, for about 15 minutes on two cores. The
    report, as Markdown and JSON, has the machine, its load and the versions. The exit code is 1 if
    a benchmark failed; the others run all the same.
    """
    from benchmarks import every, report
    from proto_loc.docs import measured

    names = list(every.FULL)
    if context.invoked_subcommand:
        if quick or only or folder or write_docs or json or port_prefix != "5":
            raise UsageError(
                "An option of all benchmarks stands before the name of one.",
                "",
                f"Put options after {context.invoked_subcommand}; see ./loc bench"
                f" {context.invoked_subcommand} --help.",
            )
        return
    if unknown := sorted(set(only or []) - set(names)):
        raise UsageError(
            f"There is no benchmark {unknown[0]!r}.", "", f"Choose from: {', '.join(names)}."
        )
    if only and write_docs:
        raise UsageError("docs/performance.md has all benchmarks.", "", "Leave out --only.")
    if write_docs:
        measured.around(report.PAGE, report.COMMAND)  # before 15 minutes of work
    options = (
        *(["--quick"] if quick else []),
        *(part for name in only or [] for part in ("--only", name)),
    )
    done = every.run(
        [name for name in names if not only or name in only],
        " ".join(["./loc bench", *options]),
        quick=quick,
        port_prefix=port_prefix,
        say=lambda line: err.print(line, markup=False, soft_wrap=True),
    )
    page = report.write(done, folder)
    if json:
        print(json_format.dumps(done.content(), indent=2))
    else:
        _show(done.results)
        out.print(f"Report: {page}", markup=False, soft_wrap=True)
    for result in done.failed:
        for fault in result.faults:
            err.print(f"{result.name} failed: {fault}", markup=False, soft_wrap=True)
    for result in done.results:
        if result.left_out:
            err.print(f"{result.name} was left out: {result.left_out}", markup=False)
    if done.failed:
        if write_docs:
            err.print("docs/performance.md stays as it was, because a benchmark failed.")
        raise typer.Exit(1)
    if write_docs:
        report.write_page(done)
        err.print("docs/performance.md has these figures now.")


def _show(results: list[Result]) -> None:
    """Print the figures of all results as one table."""
    columns = COLUMNS if len(results) == 1 else ("benchmark", *COLUMNS)
    title = results[0].name if len(results) == 1 else "All benchmarks"
    made = table(title, *columns, numbers=NUMBERS)
    for result in results:
        for figure in result.figures:
            cells = figure.cells()
            made.add_row(*(cells if len(results) == 1 else (result.name, *cells)))
    out.print(made)


def _finish(name: str, json: bool, measure: Callable[[Result], None]) -> None:
    """Run one benchmark and print its figures; the exit code is 1 if it has faults.

    Raises:
        LocError: there is nothing to measure, or a step failed.
    """
    from benchmarks.content import NothingToMeasure

    result = Result(name)
    try:
        measure(result)
    except NothingToMeasure as error:
        if not json:
            raise
        result.left_out = str(error)
    if json:
        print(json_format.dumps(result.plain()))
    else:
        _show([result])
    for fault in result.faults:
        err.print(fault, markup=False, soft_wrap=True)
    if result.faults or result.left_out:
        raise typer.Exit(1)


@app.command()
def pipeline(
    rows: Annotated[
        list[int] | None,
        typer.Option(
            help="Rows of the sample; repeat it for several sizes. Default 1000000 and 10000000.",
            min=1,
            max=100_000_000,
        ),
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(
            help="Builds to take the median of; default 3, and 1 beyond 10 million rows.", min=1
        ),
    ] = None,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Load, build, audit and publish samples; and compare dbt with its own SQL run bare.

    Example: loc bench pipeline --rows 1000000
    """
    from benchmarks import pipeline as bench
    from benchmarks.rows import of_pipeline

    def measure(result: Result) -> None:
        for count in rows or [1_000_000, 10_000_000]:
            with scratch(keep and keep / f"pipeline-{count}") as folder:
                done = bench.measure(count, folder, repeat=repeat, report=err.print)
            result.figures += of_pipeline(done)

    _finish("pipeline", json, measure)


@app.command()
def warehouse(
    size_mb: Annotated[int, typer.Option(help="Size of the file to publish, in MB.", min=1)] = 2000,
    repeat: Annotated[
        int, typer.Option(help="Publishes, and copies, to take the median of.", min=1)
    ] = 5,
    seconds: Annotated[
        float,
        typer.Option(
            help="How long writers and readers run; more than 5 lets reads meet pruning.", min=1
        ),
    ] = 60,
    writers: Annotated[int, typer.Option(help="Processes that publish.", min=1)] = 2,
    readers: Annotated[int, typer.Option(help="Processes that read.", min=1)] = 20,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Compare a publish with a plain copy; then run writers and readers on one database.

    The exit code is 1 if a reader or writer met an error, or a version was torn or lost.

    Example: loc bench warehouse --size-mb 200 --seconds 10
    """
    from benchmarks import warehouse as bench
    from benchmarks.rows import of_crowd, of_publish

    def measure(result: Result) -> None:
        err.print(f"publish and copy {size_mb:,} MB, {repeat} times")
        with scratch(keep and keep / "publish") as folder:
            cost = bench.publish(size_mb, folder, repeat=repeat)
        result.figures += of_publish(cost, size_mb)
        err.print(f"{writers} writers and {readers} readers for {seconds:g} s")
        with scratch(keep and keep / "crowd") as folder:
            crowd = bench.crowd(seconds, folder, writers=writers, readers=readers)
        result.figures += of_crowd(crowd, writers, readers)
        result.faults += crowd.faults()

    _finish("warehouse", json, measure)


@app.command()
def stack(
    idle: Annotated[float, typer.Option(help="Seconds to watch the idle services.", min=1)] = 60,
    repeat: Annotated[
        int, typer.Option(help="Refreshes of each kind to take the median of.", min=1)
    ] = 3,
    port_prefix: Prefix = "5",
    json: Json = False,
) -> None:
    """Measure start, memory and idle load of the services, and a refresh through Dagster.

    Example: loc bench stack --idle 10 --repeat 1
    """
    from benchmarks import stack as bench
    from benchmarks.rows import of_stack

    def measure(result: Result) -> None:
        with scratch() as folder:
            done = bench.measure(
                folder, prefix=port_prefix, idle=idle, repeat=repeat, report=err.print
            )
        result.figures += of_stack(done)

    _finish("stack", json, measure)


@app.command()
def trino(
    rows: Annotated[
        int, typer.Option(help="Rows of the sample.", min=1, max=100_000_000)
    ] = 300_000,
    repeat: Annotated[int, typer.Option(help="Runs to take the median of.", min=1)] = 3,
    port_prefix: Prefix = "5",
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Compare a build on Trino with the same on DuckDB, and time a publish and a rollback.

    It needs LOC_ENGINE=trino, so it is not among all benchmarks.

    Example: LOC_ENGINE=trino loc bench trino --rows 20000 --repeat 1
    """
    from benchmarks import trino as bench
    from benchmarks.rows import of_trino

    def measure(result: Result) -> None:
        with scratch(keep and keep / "trino") as folder:
            done = bench.measure(rows, folder, prefix=port_prefix, repeat=repeat, report=err.print)
        result.figures += of_trino(done)

    _finish("trino", json, measure)


@app.command()
def cube(
    rows: Annotated[
        int, typer.Option(help="Rows of the sample that is asked.", min=1, max=100_000_000)
    ] = 10_000_000,
    repeat: Annotated[int, typer.Option(help="New queries of each shape.", min=1)] = 20,
    seconds: Annotated[
        float, typer.Option(help="How long clients ask while versions are published.", min=1)
    ] = 60,
    clients: Annotated[int, typer.Option(help="Clients that ask at once.", min=1)] = 20,
    publishes: Annotated[
        int, typer.Option(help="Publishes after which memory is looked at.", min=1)
    ] = 50,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Compare Cube's answers over HTTP with their SQL on DuckDB, then under repeated publishes.

    The exit code is 1 if a client met an error or an old answer.

    Example: loc bench cube --rows 1000000 --seconds 10
    """
    from benchmarks import cube as bench
    from benchmarks.rows import of_cube

    def measure(result: Result) -> None:
        with scratch(keep) as folder:
            done = bench.measure(
                rows,
                folder,
                repeat=repeat,
                seconds=seconds,
                clients=clients,
                publishes=publishes,
                report=err.print,
            )
        result.figures += of_cube(done)
        result.faults += done.crowd.faults()

    _finish("cube", json, measure)


@app.command()
def superset(
    rows: Annotated[
        int, typer.Option(help="Rows of the sample.", min=1, max=100_000_000)
    ] = 10_000_000,
    seconds: Annotated[
        float, typer.Option(help="How long ten viewers look, beside refreshes.", min=1)
    ] = 120,
    repeat: Annotated[
        int, typer.Option(help="How often each chart is asked for without the cache.", min=2)
    ] = 5,
    port_prefix: Prefix = "5",
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Compare Superset's charts with their SQL on DuckDB, then with viewers during refreshes.

    The exit code is 1 if a chart was not answered, or showed an old version.

    Example: loc bench superset --rows 1000000 --seconds 30
    """
    from benchmarks import superset as bench
    from benchmarks.rows import of_superset

    def measure(result: Result) -> None:
        with scratch(keep and keep / "superset") as folder:
            done = bench.measure(
                rows, folder, prefix=port_prefix, seconds=seconds, repeat=repeat, report=err.print
            )
        result.figures += of_superset(done)
        result.faults += done.faults()

    _finish("superset", json, measure)


@app.command()
def ai(
    rows: Annotated[
        int, typer.Option(help="Rows of the sample.", min=1, max=100_000_000)
    ] = 1_000_000,
    repeat: Annotated[int, typer.Option(help="Runs to take the median of.", min=1)] = 5,
    port_prefix: Prefix = "5",
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Measure JupyterLab, the sandbox, questions and discovery, with a stand-in for the model.

    Example: loc bench ai --rows 100000 --repeat 1
    """
    from benchmarks import ai as bench
    from benchmarks.rows import of_ai

    def measure(result: Result) -> None:
        with scratch(keep and keep / "ai") as folder:
            done = bench.measure(rows, folder, prefix=port_prefix, repeat=repeat, report=err.print)
        result.figures += of_ai(done)

    _finish("ai", json, measure)


if __name__ == "__main__":
    sys.exit(cli.main(tree=typer.main.get_command(app), name="loc bench"))
