"""Makes the rows of the table, which are figures with a floor, from each benchmark's results."""

from statistics import median

from benchmarks import ai, cube, pipeline, stack, superset, trino, warehouse
from benchmarks.figures import BYTES, COUNT, RATE, SECONDS, SHARE, Figure


def of_pipeline(done: pipeline.Pipeline) -> list[Figure]:
    """Return the figures of one size of sample."""
    size, checks = f"{done.rows:,} rows", sum(done.checks.values())
    floor = [run.seconds for run in done.floor]
    lowest = median(floor) if floor else None
    built = median(run.seconds for run in done.built)
    return [
        Figure(
            f"load, {size}", done.load.seconds, SECONDS, "make the sample, write it, publish raw"
        ),
        Figure(
            f"publish, {size}",
            done.publish.seconds,
            SECONDS,
            f"build prod with dbt, audit ({checks} checks), publish; the SQL in one bare DuckDB",
            floor=lowest,
        ),
        Figure.of(
            f"dbt, {size}",
            [run.seconds for run in done.built],
            "dbt over its bare SQL: every model, seed and snapshot from raw, no tests",
            floor=lowest,
            target=pipeline.TARGET * lowest if lowest and done.rows == pipeline.LARGE else None,
        ),
        Figure(f"rows a second, {size}", done.rows / built, RATE, "what dbt builds"),
        Figure(
            f"memory, {size}",
            max(run.peak for run in done.built),
            BYTES,
            "peak of a build with dbt; the peak of the bare SQL",
            floor=max((run.peak for run in done.floor), default=None),
        ),
        Figure(f"lake, {size}", done.lake_bytes, BYTES, "files of raw on the disk"),
        Figure(f"prod, {size}", done.prod_bytes, BYTES, "the published file"),
    ]


def of_publish(done: warehouse.Publish, megabytes: int) -> list[Figure]:
    """Return the cost of a publish."""
    floor = median(done.floor)
    return [
        Figure.of(
            f"publish, {megabytes:,} MB",
            done.publish,
            "A publish over a plain copy: lock, copy, change a row, checkpoint, fsync, swap; the"
            " copy with fsync",
            floor=floor,
            target=warehouse.TARGET * floor if done.bytes >= warehouse.LARGE else None,
        )
    ]


def of_crowd(done: warehouse.Crowd, writers: int, readers: int) -> list[Figure]:
    """Return what readers saw beside writers."""
    what = f"of {readers} readers beside {writers} writers"
    figures = [
        Figure("errors", done.errors.total(), COUNT, f"failures {what}", target=0),
        Figure("torn", done.torn, COUNT, "reads of a state that is not whole", target=0),
        Figure(
            "back", done.back, COUNT, "reads older than the same reader's read before", target=0
        ),
        Figure("lost", done.lost, COUNT, "acknowledged batches that are not there", target=0),
        Figure("opens", done.opens, RATE, f"open, check all, close, {what}"),
        Figure(
            "publishes",
            done.publishes,
            RATE,
            f"all writers together; {done.published} in all, {done.pruned} versions pruned",
        ),
    ]
    if done.staleness:
        figures.append(
            Figure.of("staleness", done.staleness, "from a publish until a reader has read it")
        )
    return figures


def of_stack(done: stack.Stack) -> list[Figure]:
    """Return the cost of the services."""
    direct = median(done.direct)
    imports = "in one process, what the services import"
    return [
        Figure(
            "first start",
            done.first,
            SECONDS,
            f"`loc up -d` on an empty data folder, to published data; {imports}",
            floor=done.imports,
            target=45,
        ),
        Figure(
            "warm start",
            done.warm,
            SECONDS,
            f"`loc up -d` where there is data, to all services ready; {imports}",
            floor=done.imports,
            target=12,
        ),
        Figure("memory", done.memory, BYTES, "proportional share of all services", target=600e6),
        Figure("idle", done.cpu, SHARE, "of one core, over all services", target=0.01),
        Figure.of(
            "refresh",
            done.through,
            "`loc refresh --force` as a run of Dagster; with --direct",
            floor=direct,
            target=direct + 6,
        ),
    ]


def of_trino(done: trino.Trino) -> list[Figure]:
    """Return the cost of a build and a publish on Trino."""
    statement = median(done.statement)
    return [
        Figure.of(
            f"refresh, {done.rows:,} rows",
            done.refresh,
            "`loc refresh --force --direct` on Trino; with DuckDB",
            floor=median(done.on_files),
        ),
        Figure.of(
            "publish",
            done.publish,
            "from the end of a writer's work until its version is served, with all tables; a"
            " statement that reads none",
            floor=statement,
            target=trino.TARGET,
        ),
        Figure.of(
            "rollback",
            done.rollback,
            "to the version before; a statement that reads no table",
            floor=statement,
            target=trino.TARGET,
        ),
    ]


def of_cube(done: cube.Cube) -> list[Figure]:
    """Return Cube's times over its SQL, and what clients met beside publishes."""
    crowd = done.crowd
    asked = f"of {crowd.asked} queries beside {crowd.published} publishes"
    figures = [
        Figure.of(
            shape.name,
            shape.cube,
            "a new query over HTTP; its SQL on DuckDB",
            floor=(floor := median(shape.floor)),
            target=cube.RATIO * floor + cube.EXTRA,
        )
        for shape in done.latencies
    ]
    return [
        *figures,
        Figure.of("cached", done.cached, "the same query again", target=cube.CACHED),
        Figure("errors", crowd.errors.total(), COUNT, asked, target=0),
        Figure(
            "staleness",
            crowd.staleness,
            SECONDS,
            "the longest time that an old version answered after a publish",
            target=cube.STALE,
        ),
        Figure("start", done.start, SECONDS, "to /readyz", target=cube.START),
        *(
            Figure(f"memory {when}", value, BYTES, "of Cube's process", target=cube.MEMORY)
            for when, value in done.memory.items()
        ),
    ]


def of_superset(done: superset.Figures) -> list[Figure]:
    """Return Superset's times over its SQL, and what viewers met beside refreshes."""
    api = {**done.api, "all charts": [taken for runs in done.api.values() for taken in runs]}
    bare = {**done.bare, "all charts": [taken for runs in done.bare.values() for taken in runs]}
    first, again = done.provisions
    views = (
        (
            "warm",
            done.warm,
            f"all charts for one of {superset.VIEWERS} viewers who saw the version",
        ),
        ("first", done.first, "the first view of a version by anybody"),
        ("others", done.others, "a viewer's first view of a version that somebody has seen"),
    )
    return [
        *(
            Figure.of(
                title, runs, "the chart's API without cache; its SQL", floor=median(bare[title])
            )
            for title, runs in api.items()
        ),
        Figure("provision", first, SECONDS, "`loc superset provision` on nothing", target=15),
        Figure("provision again", again, SECONDS, "where there is nothing to do", target=6),
        Figure("boot", done.boot, SECONDS, "from the server's start to its answer", target=6),
        Figure("memory", done.memory, BYTES, "proportional share, at the end", target=650e6),
        *(
            Figure.of(f"view, {name}", runs, f"{what}; {len(runs)} views")
            for name, runs, what in views
            if runs
        ),
        *(
            [
                Figure(
                    "view, warm, p95",
                    superset.share(done.warm, 95),
                    SECONDS,
                    "the 95th percentile of the warm views",
                    target=superset.TARGET,
                )
            ]
            if done.warm
            else []
        ),
        Figure("publishes", done.publishes, COUNT, "refreshes meanwhile"),
        Figure("errors", len(done.errors), COUNT, "charts that were not answered", target=0),
        Figure("stale", done.stale, COUNT, "charts of a version older than the last", target=0),
    ]


def of_ai(done: ai.Figures) -> list[Figure]:
    """Return the times of JupyterLab and of questions, without the model's own."""
    sql = median(done.sql)
    return [
        Figure.of(
            "JupyterLab",
            done.jupyter,
            "the service, to its first answer; its imports",
            floor=median(done.imports),
            target=5,
        ),
        *(
            Figure.of(
                f"sandbox, {name}",
                runs,
                "a model's program; the same in a bare process",
                floor=(floor := median(done.bare[name])),
                target=floor + 2.5,
            )
            for name, runs in done.boxed.items()
        ),
        Figure.of("ask, cold", done.cold, "`loc ask`; its SQL bare", floor=sql, target=4),
        Figure.of(
            "ask, warm",
            done.warm,
            "in a process that has asked before; its SQL bare",
            floor=sql,
            target=0.3,
        ),
        Figure(
            "discover",
            done.discover,
            SECONDS,
            "`loc discover`; SUMMARIZE of the marts",
            floor=done.summarize,
        ),
        Figure("memory", done.memory, BYTES, "JupyterLab without a kernel", target=120e6),
        Figure("memory, discover", done.peak, BYTES, "the peak of `loc discover`"),
    ]
