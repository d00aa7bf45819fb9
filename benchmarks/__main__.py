"""``loc bench``: prints measurements beside a lower bound (``floor``) from the same run."""

import sys
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.filesize import decimal as size

from benchmarks import scratch
from proto_loc import cli
from proto_loc.cli._console import err, out, table

app = typer.Typer(
    help="Measure the platform against floors taken in the same run; your data is not touched.",
    no_args_is_help=True,
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
) -> None:
    """Load, build, audit and publish samples; and compare dbt with its own SQL run bare.

    Example: loc bench pipeline --rows 1000000
    """
    from benchmarks import pipeline as bench

    for count in rows or [1_000_000, 10_000_000]:
        with scratch(keep and keep / f"pipeline-{count}") as folder:
            done = bench.measure(count, folder, repeat=repeat, report=err.print)
        shown = table(
            f"Pipeline, {count:,} rows",
            "step",
            "what is measured",
            "seconds",
            "rows a second",
            "peak memory",
            numbers=("seconds", "rows a second", "peak memory"),
        )
        for step, what, runs in (
            ("load", "make the sample, write the lake's files, publish raw", [done.load]),
            (
                "publish",
                f"build prod with dbt, audit ({sum(done.checks.values())} checks), publish",
                [done.publish],
            ),
            ("dbt", "build every model and seed from raw, no tests", done.built),
            ("floor", "the same SQL in one bare DuckDB process", done.floor),
        ):
            seconds = median([run.seconds for run in runs])
            shown.add_row(
                step,
                what,
                _seconds([run.seconds for run in runs]),
                f"{count / seconds:,.0f}",
                size(max(run.peak for run in runs)),
            )
        out.print(shown)
        target = (
            f" (target at 10 million rows: at most {bench.TARGET})" if count == bench.LARGE else ""
        )
        out.print(
            f"dbt over its bare SQL: {done.ratio:.2f}{target}. On disk: lake"
            f" {size(done.lake_bytes)}, prod {size(done.prod_bytes)}.\n"
        )


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
) -> None:
    """Compare a publish with a plain copy; then run writers and readers on one database.

    The exit code is 1 if a reader or writer met an error, or a version was torn or lost.

    Example: loc bench warehouse --size-mb 200 --seconds 10
    """
    from benchmarks import warehouse as bench

    err.print(f"publish and copy {size(size_mb * 1e6)}, {repeat} times")
    with scratch(keep and keep / "publish") as folder:
        cost = bench.publish(size_mb, folder, repeat=repeat)
    shown = table(
        f"Publish, {size(cost.bytes)}", "step", "what is measured", "seconds", numbers=("seconds",)
    )
    shown.add_row(
        "publish",
        "a session that changes one row: lock, copy, checkpoint, fsync, swap, prune",
        _seconds(cost.publish),
    )
    shown.add_row(
        "floor",
        "a plain copy of the same file, with fsync of file and folder",
        _seconds(cost.floor),
    )
    out.print(shown)
    out.print(
        f"A publish over a plain copy: {cost.ratio:.2f} (target at 2 GB: at most {bench.TARGET}).\n"
    )
    err.print(f"{writers} writers and {readers} readers for {seconds:g} s")
    with scratch(keep and keep / "crowd") as folder:
        crowd = bench.crowd(seconds, folder, writers=writers, readers=readers)
    shown = table(
        f"{writers} writers, {readers} readers, {seconds:g} s",
        "figure",
        "value",
        "target",
        "what it is",
        numbers=("value", "target"),
    )
    for figure, value, target, what in (
        ("errors", f"{sum(crowd.errors.values())}", "0", "reads or writers that failed"),
        ("torn", f"{crowd.torn}", "0", "reads of a state that is not whole"),
        ("back", f"{crowd.back}", "0", "reads older than the same reader's read before"),
        ("lost", f"{crowd.lost}", "0", "acknowledged batches that are not there at the end"),
        ("opens", f"{crowd.opens:.1f} /s", "", "open, check all, close; all readers together"),
        (
            "publishes",
            f"{crowd.publishes:.2f} /s",
            "",
            (
                f"all writers together; {crowd.published} in all, {crowd.pruned} versions pruned"
                " meanwhile"
            ),
        ),
        *(
            [
                (
                    f"staleness {name}",
                    f"{crowd.stale(share):.3f} s",
                    "",
                    "from acknowledged to read, by version and reader",
                )
                for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1))
            ]
            if crowd.staleness
            else []
        ),
    ):
        shown.add_row(figure, value, target, what)
    out.print(shown)
    for message, count in crowd.errors.most_common(10):
        err.print(f"{count} x {message}", markup=False)
    if not crowd.sound:
        raise typer.Exit(1)


@app.command()
def stack(
    idle: Annotated[float, typer.Option(help="Seconds to watch the idle services.", min=1)] = 60,
    repeat: Annotated[
        int, typer.Option(help="Refreshes of each kind to take the median of.", min=1)
    ] = 3,
    port_prefix: Annotated[
        str, typer.Option(help="LOC_PORT_PREFIX of the services that are started.")
    ] = "5",
) -> None:
    """Measure start, memory and idle load of the services, and a refresh through Dagster.

    Example: loc bench stack --idle 10 --repeat 1
    """
    from benchmarks import stack as bench

    with scratch(None) as folder:
        done = bench.measure(folder, prefix=port_prefix, idle=idle, repeat=repeat, report=err.print)
    shown = table(
        "Services", "figure", "value", "target", "what it is", numbers=("value", "target")
    )
    for figure, value, target, what in (
        (
            "first start",
            f"{done.first:.1f} s",
            "45 s",
            "`loc up -d` on an empty data folder, to published data",
        ),
        (
            "warm start",
            f"{done.warm:.1f} s",
            "12 s",
            "`loc up -d` where there is data, to all services ready",
        ),
        ("floor", f"{done.imports:.1f} s", "", "to import in one process what the services import"),
        ("memory", size(done.memory), "600 MB", "proportional share of all services"),
        ("idle", f"{done.cpu:.2%}", "1 %", "of one core, over all services"),
        ("refresh", _seconds(done.through), "", "`loc refresh --force` as a run of Dagster's"),
        ("floor", _seconds(done.direct), "", "the same with --direct"),
    ):
        shown.add_row(figure, value, target, what)
    out.print(shown)
    over = median(done.through) - median(done.direct)
    out.print(
        f"A warm start over its imports: {done.warm / done.imports:.1f}. A refresh through Dagster"
        f" over a direct one: {done.ratio:.2f}, {over:.1f} s more (target: at most 6 s)."
    )


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
) -> None:
    """Compare Cube's answers over HTTP with their SQL on DuckDB, then under repeated publishes.

    The exit code is 1 if a client met an error or an old answer.

    Example: loc bench cube --rows 1000000 --seconds 10
    """
    from benchmarks import cube as bench

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
    met = {True: "met", False: "missed"}
    shown = table(
        f"Cube, {rows:,} rows, each query new",
        "query",
        "Cube p50",
        "p95",
        "bare p50",
        "p95",
        "target",
        "",
        numbers=("Cube p50", "p95", "bare p50", "target"),
    )
    for one in done.latencies:
        target = bench.RATIO * median(one.floor) + bench.EXTRA
        figures = (median(one.cube), _p95(one.cube), median(one.floor), _p95(one.floor), target)
        shown.add_row(one.name, *(f"{1000 * value:.0f} ms" for value in figures), met[one.met])
    out.print(shown)
    shown = table(
        "Cube", "figure", "value", "target", "", "what it is", numbers=("value", "target")
    )
    crowd, cached, largest = done.crowd, median(done.cached), max(done.memory.values())
    for figure, value, target, holds, what in (
        ("cached", f"{1000 * cached:.1f} ms", "10 ms", cached <= bench.CACHED, "p50"),
        ("cached", f"{1000 * _p95(done.cached):.1f} ms", "", None, "p95"),
        ("errors", f"{crowd.errors.total()}", "0", not crowd.errors,
         f"of {crowd.asked} queries in {seconds:g} s"),
        ("staleness", f"{crowd.staleness:.2f} s", "5 s", crowd.staleness <= bench.STALE,
         f"longest after one of {crowd.published} publishes"),
        ("start", f"{done.start:.1f} s", "6 s", done.start <= bench.START, "to /readyz"),
        ("memory", size(largest), "350 MB", largest <= bench.MEMORY, "the most of those below"),
        *(("memory", size(value), "", None, what) for what, value in done.memory.items()),
    ):  # fmt: skip
        shown.add_row(figure, value, target, "" if holds is None else met[holds], what)
    out.print(shown)
    for message, number in crowd.errors.most_common(10):
        err.print(f"{number} x {message}", markup=False)
    if crowd.errors or crowd.staleness > bench.STALE:
        raise typer.Exit(1)


def _p95(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]


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
    port_prefix: Annotated[
        str, typer.Option(help="LOC_PORT_PREFIX of the Superset that is started.")
    ] = "5",
    keep: Keep = None,
) -> None:
    """Compare Superset's charts with their SQL on DuckDB, then with viewers during refreshes.

    The exit code is 1 if a chart was not answered, or showed an old version.

    Example: loc bench superset --rows 1000000 --seconds 30
    """
    from benchmarks import superset as bench

    with scratch(keep and keep / "superset") as folder:
        done = bench.measure(
            rows, folder, prefix=port_prefix, seconds=seconds, repeat=repeat, report=err.print
        )
    shown = table(
        f"The dashboard with most charts, {rows:,} rows, no cache, one at a time",
        "chart",
        *(names := ("API p50", "API p95", "bare p50", "bare p95", "API - bare")),
        numbers=names,
    )
    charts = [
        *done.api.items(),
        ("all", [seconds for runs in done.api.values() for seconds in runs]),
    ]
    bare = done.bare | {"all": [seconds for runs in done.bare.values() for seconds in runs]}
    for title, api in charts:
        figures = [
            bench.share(runs, percent) for runs in (api, bare[title]) for percent in (50, 95)
        ]
        shown.add_row(
            title, *(f"{seconds * 1000:,.0f} ms" for seconds in [*figures, figures[0] - figures[2]])
        )
    out.print(shown)
    shown = table(
        "Superset", "figure", "value", "target", "what it is", numbers=("value", "target")
    )
    for figure, value, target, what in (
        (
            "provision, first",
            f"{done.provisions[0]:.1f} s",
            "15 s",
            "`loc superset provision` on nothing",
        ),
        (
            "provision, again",
            f"{done.provisions[1]:.1f} s",
            "6 s",
            "the same where there is nothing to do",
        ),
        ("boot", f"{done.boot:.1f} s", "6 s", "from the start of the server to its first answer"),
        (
            "memory",
            size(done.memory),
            "650 MB",
            "proportional share of all its processes, at the end",
        ),
        *(
            (
                f"{name} {part}",
                f"{bench.share(runs, percent):.2f} s",
                aim,
                f"{what}; {len(runs)} views",
            )
            for name, runs, what in (
                (
                    "warm",
                    done.warm,
                    f"all charts, {bench.VIEWERS} viewers, of a version that the viewer has seen",
                ),
                ("first", done.first, "the first view of a version by anybody"),
                (
                    "others",
                    done.others,
                    "a viewer's first view of a version that somebody has asked for",
                ),
            )
            if runs
            for part, percent, aim in (
                ("p50", 50, ""),
                ("p95", 95, f"{bench.TARGET:g} s" if name == "warm" else ""),
            )
        ),
        ("publishes", f"{done.publishes}", "", "refreshes meanwhile"),
        ("errors", f"{len(done.errors)}", "0", "charts that were not answered"),
        (
            "stale",
            f"{done.stale}",
            "0",
            "charts that showed a version older than the published one",
        ),
    ):
        shown.add_row(figure, value, target, what)
    out.print(shown)
    for message in done.errors[:10]:
        err.print(message, markup=False)
    if done.errors or done.stale:
        raise typer.Exit(1)


@app.command()
def ai(
    rows: Annotated[
        int, typer.Option(help="Rows of the sample.", min=1, max=100_000_000)
    ] = 1_000_000,
    repeat: Annotated[int, typer.Option(help="Runs to take the median of.", min=1)] = 5,
    port_prefix: Annotated[
        str, typer.Option(help="LOC_PORT_PREFIX of the JupyterLab that is started.")
    ] = "5",
    keep: Keep = None,
) -> None:
    """Measure JupyterLab, the sandbox, questions and discovery, with a stand-in for the model.

    Example: loc bench ai --rows 100000 --repeat 1
    """
    from benchmarks import ai as bench

    with scratch(keep and keep / "ai") as folder:
        done = bench.measure(rows, folder, prefix=port_prefix, repeat=repeat, report=err.print)
    shown = table(
        f"Notebooks and questions, {rows:,} rows",
        "figure",
        "seconds",
        "floor",
        "target",
        "what it is",
        numbers=("seconds", "floor", "target"),
    )
    for figure, runs, floor, target, what in (
        (
            "JupyterLab",
            done.jupyter,
            done.imports,
            "5",
            "the service, to its first answer; its imports",
        ),
        *(
            (
                f"sandbox, {name}",
                runs,
                done.bare[name],
                "floor + 2.5",
                "a model's program; the same in a bare process",
            )
            for name, runs in done.boxed.items()
        ),
        ("ask, cold", done.cold, done.sql, "4", "`loc ask`; its SQL bare"),
        (
            "ask, warm",
            done.warm,
            done.sql,
            "0.3",
            "in a process that has asked before; its SQL bare",
        ),
        (
            "discover",
            [done.discover],
            [done.summarize],
            "",
            "`loc discover`; SUMMARIZE of the marts",
        ),
    ):
        shown.add_row(figure, _seconds(runs), _seconds(floor), target, what)
    out.print(shown)
    out.print(
        f"Memory: JupyterLab {size(done.memory)} (target 120 MB), the peak of a discovery"
        f" {size(done.peak)}."
    )


def _seconds(values: list[float]) -> str:
    """Return the median, and the range if there are several runs."""
    text = f"{median(values):.2f}"
    return text if len(values) == 1 else f"{text} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    sys.exit(cli.main(tree=typer.main.get_command(app), name="loc bench"))
