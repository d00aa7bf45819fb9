"""Notebooks read what Trino keeps as they read a file of DuckDB."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import Running

from proto_loc import services
from proto_loc.settings import ROOT
from proto_loc.setup import environments, node

pytestmark = pytest.mark.slow  # three servers of Java: see conftest

PYTHON = ROOT / ".venvs/notebooks/bin/python"
CELLS = """
import json, sys
from pathlib import Path
from IPython.testing.globalipapp import start_ipython
from proto_loc import warehouse
from proto_loc.warehouse import scratch

scratch.FOLDER = Path(sys.argv[1])
shell = start_ipython()
shell.run_line_magic("load_ext", "proto_loc.jupyter.kernel_extension")
con, found = warehouse.read("prod"), {}
found["identity"] = getattr(con, "_connection", None) and con.sql("select current_user").fetchone()
mart = "marts.mart_taxi_trips"
frame = con.sql(f"select * from prod.{mart} order by trip_id limit 20").df()
found["types"] = {name: str(kind) for name, kind in frame.dtypes.items()}
found["frame"] = frame.to_json(date_format="iso")
rows = con.sql(f"select pickup_borough, count(*) as n from {mart} group by 1 order by 1")
found["columns"], found["first"], found["rest"] = rows.columns, rows.fetchone(), rows.fetchall()
again = con.execute("select count(*) from marts.publication where tests_passed > ?", [0])
found["execute"] = [again.fetchone(), con.description[0][0] is not None, con.fetchall()]
found["many"] = con.execute(f"select trip_id from {mart} order by 1").fetchmany(3)
cell = shell.run_cell_magic("sql", "", f"select count(*) as n, sum(total_amount) as s from {mart}")
found["cell"] = [list(cell.keys), [str(value) for value in list(cell)[0]]]
mine = warehouse.scratch("kept")
warehouse.keep(mine, "long", f"select * from {mart} where distance_miles > 10")
warehouse.keep(mine, "long", f"select * from {mart} where distance_miles > 20")
found["kept"] = mine.sql("select count(*), sum(fare_amount)::varchar, min(pickup_at)::varchar,"
    " max(pickup_zone) from long").fetchone()
found["kinds"] = dict(mine.execute("select column_name, data_type from duckdb_columns()"
    " where table_name = 'long'").fetchall())
print("FOUND" + json.dumps(found, default=str))
"""
WRITE = """
%load_ext proto_loc.jupyter.kernel_extension
from proto_loc import warehouse
warehouse.read("prod").sql("create table marts.mine as select 1 as one").fetchall()
"""


@pytest.fixture(scope="module")
def environment() -> None:
    environments.sync("notebooks")


@pytest.fixture(scope="module")
def cube(sample, environment) -> Iterator[Running]:
    node.install()
    with Running("cube") as started:
        yield started


def run(folder: Path, **variables: str) -> dict:
    """What the cells find in a kernel's environment."""
    done = subprocess.run(
        [PYTHON, "-c", CELLS, folder],
        env=os.environ | variables | {"PYTHONPATH": str(ROOT), "HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "FOUND" in done.stdout, done.stdout + done.stderr
    return json.loads(done.stdout.rpartition("FOUND")[2].splitlines()[0])


def test_a_connection_a_cell_and_a_scratch_database_give_the_same_on_both(
    sample, on_files, environment, tmp_path
):
    (tmp_path / "trino").mkdir()
    (tmp_path / "files").mkdir()
    one, other = run(tmp_path / "trino"), run(tmp_path / "files", **on_files)
    assert one.pop("identity") == ["notebooks"] and other.pop("identity") is None
    assert one == other


def test_a_write_is_refused_in_a_sentence(sample, environment, tmp_path):
    file = tmp_path / "write.ipy"
    file.write_text(WRITE)
    done = subprocess.run(
        [PYTHON, "-m", "IPython", "--no-banner", file],
        env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    shown = done.stdout + done.stderr
    assert "Published data cannot be changed from here." in shown and "Traceback" not in shown


@pytest.mark.parametrize("name", ["start_here", "explore_trips", "ask_your_data"])
def test_a_notebook_of_the_demonstration_runs_from_top_to_bottom(name, cube, tmp_path):
    copy = tmp_path / f"{name}.ipynb"
    copy.write_bytes((ROOT / "notebooks" / copy.name).read_bytes())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    _, env = services.start("jupyter")
    env.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        [
            PYTHON,
            "-m",
            "pytest",
            "--nbmake",
            "--nbmake-timeout=120",
            "-q",
            "-p",
            "no:cacheprovider",
            copy,
        ],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_parser_of_the_notebooks_refuses_what_the_platforms_refuses(environment):
    """Each environment has another release of sqlglot."""
    tests = ROOT / "tests/unit/test_trino_statements.py"
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", tests]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    env.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
