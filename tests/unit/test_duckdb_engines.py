"""Every DuckDB engine in the locks can read a file that the golden DuckDB wrote."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from proto_loc.settings import ROOT
from proto_loc.setup import node
from proto_loc.setup.environments import golden, uv
from proto_loc.setup.locks import entries

MAKE = """
create type colour as enum ('yellow', 'green');
create table trips as select range as id, (range / 7)::decimal(12, 2) as amount,
    timestamptz '2025-01-01 00:00:00+00' + to_minutes(range) as at,
    case when range % 3 = 0 then 'green' else 'yellow' end::colour as colour,
    [range, range + 1] as zones, {'a': range} as more, repeat('x', (range % 50)::int) as text
    from range(50000);
create view green as select * from trips where colour = 'green';
create macro total() as table
    select count(*) as n, sum(amount)::varchar as amount, max(zones[2]) as zone,
    sum(more.a)::varchar as more, sum(length(text))::varchar as text from green;
"""
READ = "select * from total()"
PYTHON = (
    "import duckdb, sys; print(*duckdb.connect(sys.argv[1],"
    f" read_only=True).execute({READ!r}).fetchone())"
)


def python(version: str) -> Callable[[Path], list[str]]:
    """Return a function that reads a file with that version of DuckDB's Python package.

    The package is in its own environment.
    """

    def read(path: Path) -> list[str]:
        if version == duckdb.__version__:
            return subprocess.check_output([sys.executable, "-c", PYTHON, path], text=True).split()
        return uv(
            "run",
            "--quiet",
            "--no-project",
            "--isolated",
            "--python",
            golden()["tools"]["python"],
            "--with",
            f"duckdb=={version}",
            "python",
            "-c",
            PYTHON,
            path,
        ).split()

    return read


def cli(path: Path) -> list[str]:
    """Read a file with the program ``duckdb`` that ``loc db shell`` starts."""
    program = Path(sys.executable).parent / "duckdb"
    said = subprocess.check_output([program, "-readonly", "-json", path, "-c", READ], text=True)
    return [str(value) for value in json.loads(said)[0].values()]


NODE = """
const duckdb = require('@duckdb/node-api');
(async () => {
  const options = { access_mode: 'READ_ONLY' };
  const instance = await duckdb.DuckDBInstance.create(process.argv[1], options);
  const rows = await (await instance.connect()).runAndReadAll(process.argv[2]);
  console.log(rows.getRows()[0].map(String).join(' '));
})();
"""


def in_node(path: Path) -> list[str]:
    """Read a file with the driver in Cube, from proto_loc/cube/server/package-lock.json."""
    node.install()
    return subprocess.check_output(
        [node.program(), "-e", NODE, path, READ], text=True, cwd=node.CUBE
    ).split()


def versions(package: str) -> dict[str, str]:
    """Return the version of a package in each lock that contains it."""
    texts = {path.stem: entries(path.read_text()) for path in (ROOT / "locks").glob("*.txt")}
    return {
        lock: re.match(r"[^=]*==(\S+)", text[package])[1]
        for lock, text in texts.items()
        if package in text
    }


ENGINES: dict[str, Callable[[Path], list[str]]] = {
    **{f"python of {lock}": python(version) for lock, version in versions("duckdb").items()},
    "duckdb-cli": cli,
    "node of cube": in_node,
}


@pytest.fixture(scope="session")
def written(tmp_path_factory) -> tuple[Path, list[str]]:
    """A file in the newest storage format of the golden DuckDB, and the values in it."""
    assert duckdb.__version__ == golden()["core"]["duckdb"]
    path = tmp_path_factory.mktemp("engines") / "prod.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as prod (storage_version 'latest'); use prod")
        connection.execute(MAKE)
        return path, [str(value) for value in connection.execute(READ).fetchone()]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_in_the_locks_reads_the_file_of_the_golden_one(engine, written, registry):
    path, expected = written
    assert ENGINES[engine](path) == expected


def test_an_engine_that_cannot_read_it_is_found(written, registry):
    """DuckDB 1.1 cannot read the storage format of DuckDB 1.5."""
    with pytest.raises(Exception, match="newer|version"):
        python("1.1.3")(written[0])


def test_every_environment_and_the_command_line_have_the_one_duckdb():
    found = versions("duckdb") | versions("duckdb-cli")
    assert set(found) >= set(golden()["environments"])
    found |= {"cube": golden()["npm"]["@duckdb/node-api"].partition("-")[0]}
    assert set(found.values()) == {golden()["core"]["duckdb"]}
