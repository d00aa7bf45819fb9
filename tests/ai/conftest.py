"""Fixtures: a small database, its reader, and programs in the sandbox."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from proto_loc.ai.chatting import sandbox
from proto_loc.ai.sql_reader import SqlReader
from proto_loc.settings import ROOT
from proto_loc.warehouse.query_process import FileReader


@pytest.fixture(scope="session")
def notebooks() -> Path:
    """The Python of the environment ``notebooks``, in which programs run; it is installed first."""
    subprocess.run([ROOT / "loc", "--sync", "notebooks"], check=True)
    return ROOT / ".venvs/notebooks/bin/python"


@pytest.fixture(scope="session")
def database(tmp_path_factory) -> Path:
    """A DuckDB file with one table, ``trips``: 100 rows with fare, borough and day."""
    path = tmp_path_factory.mktemp("database") / "prod.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute(
            "create table trips as select (i * 1.25)::decimal(10, 2) as fare, ['Queens', 'Bronx'][1"
            " + i % 2] as borough, date '2025-01-01' + i::int as day from range(100) r(i)"
        )
    return path


@pytest.fixture
def reader(database) -> Iterator[SqlReader]:
    with SqlReader(FileReader(database, schema="marts"), timeout=20) as found:
        yield found


@pytest.fixture
def box(notebooks, reader) -> Callable[..., sandbox.Outcome]:
    """Runs a program in the sandbox. The test is skipped if this machine cannot run a sandbox."""
    if why := sandbox.unavailable():
        pytest.skip(why)

    def run(code: str, **limits) -> sandbox.Outcome:
        return sandbox.run(code, reader, sandbox.Limits(**limits))

    return run


@pytest.fixture
def outside(notebooks, tmp_path) -> Callable[[str], str]:
    """Runs a program without a sandbox, and returns what it assigned to ``result``.

    It is the control of a test.
    """

    def run(code: str) -> str:
        done = subprocess.run(
            [notebooks, "-c", f"{code}\nprint('got:', result['value'])"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        return done.stdout if done.returncode == 0 else f"failed: {done.stderr}"

    return run
