"""Measures the time from source to ``prod``, and the time that dbt adds to its own SQL."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks import Measured, bare, content, environment
from proto_loc import sources, warehouse
from proto_loc.dbt import program, run
from proto_loc.dbt.publish import publish
from proto_loc.errors import LocError
from proto_loc.settings import settings
from proto_loc.warehouse import lake

TARGET = 1.3
"""Target: dbt's build takes at most this many times as long as its bare SQL, at 10 million rows."""
ALONE = ["build", "--exclude-resource-type", "test", "unit_test"]
LARGE = 10_000_000

Report = Callable[[str], None]
"""Called with the name of the next measurement."""


@dataclass
class Pipeline:
    """The figures of one sample size; each list has one entry per run."""

    rows: int
    load: Measured
    publish: Measured
    built: list[Measured]
    """dbt's run on a new file, without tests, from the start of dbt to its exit."""
    floor: list[Measured]
    """The same SQL in one DuckDB process, also from its start to its exit; empty where a model is
    in Python.
    """
    lake_bytes: int
    prod_bytes: int
    checks: dict[str, int]


def measure(rows: int, folder: Path, *, repeat: int | None, report: Report) -> Pipeline:
    """Load a sample into a new data folder, build ``prod`` with and without dbt, and
    publish it.

    Args:
        repeat: runs with and without dbt, in turn; default 3, and 1 beyond 10 million rows.

    Raises:
        LocError: no source has a sample, a step failed, or dbt and its bare SQL did not make the
            same tables.
    """
    repeat = repeat or (3 if rows <= LARGE else 1)
    with environment(LOC_DATA=folder / "data", LOC_RUN=folder / "run"):
        report(f"{rows:,} rows: load the sample")
        with Measured() as load:
            content.load_sample(rows)
        built, floor = [], []
        for turn in range(repeat):
            report(f"{rows:,} rows: build without tests, by dbt and bare, {turn + 1} of {repeat}")
            with _session() as (session, raw):
                if turn == 0:
                    # The project is parsed before the measurement, as it is for a usual build.
                    run.execute(["parse"], session, content.quiet)
                # The bare SQL comes from dbt's first run, so dbt runs first there; then they
                # alternate.
                if turn % 2 == 0:
                    by_dbt = _by_dbt(session, built)
                if turn == 0:
                    statements = _statements(by_dbt)
                by_bare = _bare(session, raw, statements, floor) if statements else None
                if turn % 2:
                    _by_dbt(session, built)
                if by_bare:
                    _compare(session.path, by_bare)
        report(f"{rows:,} rows: build, audit, publish")
        with Measured() as publishing:
            version = publish(who="loc bench", report=content.quiet)
        lake_bytes = sum(path.stat().st_size for path in settings().lake.rglob("*.parquet"))
    return Pipeline(rows, load, publishing, built, floor, lake_bytes, version.bytes, version.checks)


@contextmanager
def _session() -> Iterator[tuple[warehouse.Session, warehouse.Version]]:
    """Open a session that is never published; dbt finds the current ``raw`` in its folder."""
    raw = lake.settle(sources.declared_columns())
    with warehouse.write("prod", who="loc bench") as session:
        session.discard()
        (session.folder / "raw.duckdb").symlink_to(raw.path)
        yield session, raw


def _by_dbt(session: warehouse.Session, runs: list[Measured]) -> run.Run:
    os.sync()
    with Measured() as measured:
        done = run.execute(ALONE, session, content.quiet)
    runs.append(measured)
    return done


def _bare(
    session: warehouse.Session, raw: warehouse.Version, statements: list[str], runs: list[Measured]
) -> Path:
    """Run the statements in a new file; return its path.

    The file has the same name as dbt's file, because the SQL contains that name.
    """
    file = session.folder / "bare" / session.path.name
    file.parent.mkdir(exist_ok=True)
    listed = file.with_name("statements.json")
    listed.write_text(json.dumps(statements))
    os.sync()
    with Measured() as measured:
        done = session.run(
            [sys.executable, "-I", bare.__file__, file, raw.path, listed],
            stderr=subprocess.PIPE,
            text=True,
        )
    if done.returncode:
        raise LocError(
            "The bare SQL failed.",
            done.stderr.strip()[-2000:],
            "Build with dbt, and see whether that works.",
        )
    runs.append(measured)
    return file


def _statements(built: run.Run) -> list[str]:
    """Return dbt's SQL in the order of completion, without dbt's temporary names.

    It is empty where a model is in Python, which DuckDB alone cannot run.
    """
    manifest = json.loads((program.target_path("prod") / "manifest.json").read_text())
    nodes = [
        manifest["nodes"][unique_id]
        for unique_id in (result["unique_id"] for result in built.results)
        if unique_id in manifest["nodes"]
    ]
    if any(node.get("language") == "python" for node in nodes):
        return []
    made = [
        f'create schema if not exists "{schema}"'
        for schema in sorted({node["schema"] for node in nodes})
    ]
    for node in nodes:
        if node["resource_type"] == "seed":
            made.append(_seed(node))
        elif node["resource_type"] in ("model", "snapshot"):
            made.append(re.sub(r"__dbt_tmp\b", "", _run_path(node).read_text()))
    return made


def _run_path(node: dict) -> Path:
    """Return the file of the SQL that dbt ran; a snapshot in YAML has a folder of that name."""
    path = program.target_path("prod") / "run" / node["package_name"] / node["original_file_path"]
    return path if path.name == Path(node["path"]).name else path / node["path"]


def _seed(node: dict) -> str:
    path = program.PROJECT / node["original_file_path"]
    with path.open(newline="") as file:
        header = next(csv.reader(file))
    types = {name: node["config"]["column_types"].get(name, "varchar") for name in header}
    return f"""create table "{node["schema"]}"."{node["alias"]}" as
        select * from read_csv('{path}', header = true, columns = {types})"""


def _compare(by_dbt: Path, by_bare: Path) -> None:
    """Raise an error if dbt and the bare SQL made different tables.

    Raises:
        LocError: they differ in a table's or view's columns, types or rows.
    """
    one, other = _contents(by_dbt), _contents(by_bare)
    if one != other:
        names = sorted(
            name for name in one.keys() | other.keys() if one.get(name) != other.get(name)
        )
        raise LocError(
            "dbt and its bare SQL did not make the same tables.",
            "; ".join(f"{name}: {one.get(name)} and {other.get(name)}" for name in names)[:2000],
            "Report this: the floor is not the same work.",
        )


def _contents(file: Path) -> dict[str, tuple]:
    """Return the columns and types of each table or view, and the rows of each table."""
    with duckdb.connect(str(file), read_only=True) as con:
        columns = con.execute(
            "select schema_name || '.' || table_name, list(column_name || ' ' || data_type "
            "order by column_index) from duckdb_columns() where not internal and "
            "database_name = current_database() group by all"
        ).fetchall()
        tables = con.execute(
            "select schema_name || '.' || table_name from duckdb_tables() where not internal and "
            "database_name = current_database()"
        ).fetchall()
        rows = {table: con.sql(f"from {table}").count("*").fetchone()[0] for (table,) in tables}
    return {name: (tuple(listed), rows.get(name)) for name, listed in columns}
