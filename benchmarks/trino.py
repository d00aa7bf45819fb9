"""Measures a build, a publish and a rollback on Trino against the same on DuckDB."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import environment, run, seconds_of, timed
from benchmarks.content import NothingToMeasure, load_sample
from proto_loc import warehouse
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.trino import client, identities, places, readiness

Report = Callable[[str], None]
"""Called with the name of the next measurement."""
TARGET = 1.0
"""Seconds that a publish and a rollback may take."""


@dataclass
class Trino:
    """The times of each run, in seconds."""

    rows: int
    """Rows of the sample."""
    refresh: list[float]
    on_files: list[float]
    """Lower bound of ``refresh``: the same command with DuckDB."""
    publish: list[float]
    """From the end of the writer's work to the served version, with all tables of ``prod``."""
    rollback: list[float]
    statement: list[float]
    """Lower bound of ``publish`` and ``rollback``: one statement that reads no table."""


def measure(rows: int, folder: Path, *, prefix: str, repeat: int, report: Report) -> Trino:
    """Start Trino on a separate data folder, measure, and stop it.

    Raises:
        NothingToMeasure: the engine is another one.
        LocError: a command failed.
    """
    if settings().engine != "trino":
        raise NothingToMeasure(
            "There is no Trino to measure.",
            f"LOC_ENGINE is {settings().engine}.",
            "Set LOC_ENGINE=trino; docs/trino.md says what that brings.",
        )
    done = Trino(rows, [], [], [], [], [])
    refresh = (ROOT / "loc", "refresh", "--force", "--direct")
    files = {"LOC_ENGINE": "duckdb"}
    files |= {"LOC_DATA": str(folder / "on-files"), "LOC_RUN": str(folder / "run-on-files")}
    with environment(**files):
        load_sample(rows)
    with environment(LOC_DATA=folder / "data", LOC_RUN=folder / "run", LOC_PORT_PREFIX=prefix):
        report("the start of Nessie and two nodes of Trino, and the first builds")
        load_sample(rows)
        with _servers():
            run(*refresh, **files)
            run(*refresh)
            for number in range(1, repeat + 1):
                report(f"build, publish and rollback, {number} of {repeat}")
                done.on_files.append(timed(*refresh, **files))
                done.refresh.append(timed(*refresh))
                done.statement.append(seconds_of(_ask))
                done.publish.append(_publish())
                done.rollback.append(seconds_of(lambda: warehouse.rollback("prod")))
    return done


@contextmanager
def _servers() -> Iterator[None]:
    run(ROOT / "loc", "setup", "trino")
    with ExitStack() as ends:
        for name in ("nessie", *places.NODES):
            log = ends.enter_context(Path(f"{private_folder(settings().run)}/{name}.out").open("w"))
            server = subprocess.Popen([ROOT / "loc", "exec", name], stdout=log, stderr=log)
            ends.callback(server.wait)
            ends.callback(server.terminate)
        readiness.wait_ready()
        yield


def _publish() -> float:
    """Publish a version in which one small table is new, with all others."""
    with warehouse.write("prod", who="loc bench") as session, session.connect() as con:
        con.execute("drop table if exists marts.of_a_benchmark")
        con.execute("create table marts.of_a_benchmark as select 1 as number")
        start = time.perf_counter()
    return time.perf_counter() - start


def _ask() -> None:
    with client.connect(identities.WRITER) as connection:
        connection.cursor().execute("select 1").fetchall()
