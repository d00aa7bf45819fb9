"""Published and read times are in UTC, whatever the machine's time zone is."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml

from proto_loc.settings import ROOT

ZONES = ("America/New_York", "Asia/Kathmandu")
SELECT = (
    "select day::varchar as day, moment::varchar as moment, moment::date::varchar as shown from"
    " main.moments"
)
UTC = ["2025-03-01", "2025-03-01 02:30:00+00", "2025-03-01"]
"""In New York it is still February; in Kathmandu it is a quarter past eight."""

PUBLISH_AND_READ = """
import json, os, sys
from pathlib import Path
from proto_loc import warehouse
from proto_loc.ai.sql_reader import SqlReader
from proto_loc.warehouse import guard, query_process, scratch
from pipelines.taxi import reader

sql = sys.argv[1]
with warehouse.write("prod", who="test") as session, session.connect() as con:
    con.execute("create schema marts; create schema staging")
    con.execute("create table main.moments as select m as moment, m::date as day "
                "from (select timestamptz '2025-03-01 02:30:00+00' as m)")
file = warehouse.current("prod").path
rows = {}
with warehouse.read("prod") as con:
    rows["read"] = con.execute(sql).fetchone()
    rows["a cursor"] = con.cursor().execute(sql).fetchone()
# A second connection shares the first one's database, which is locked by then.
for turn in ("first", "again"):
    held = guard.connect(file)
    rows[f"guard {turn}"] = guard.run(held, sql).rows[0]
with SqlReader(query_process.FileReader(file)) as child:
    rows["ask"] = child.raw(sql)["rows"][0]
scratch.FOLDER = Path(os.environ["LOC_RUN"])
with warehouse.scratch() as con:
    rows["scratch"] = con.execute(sql.replace("main.moments", "prod.main.moments")).fetchone()
with reader.scratch_folder() as folder, reader.connect(folder) as con:
    rows["loader"] = con.execute(sql.replace(
        "main.moments",
        "(select m as moment, m::date as day"
        " from (select timestamptz '2025-03-01 02:30:00+00' as m))"
    )).fetchone()
print(json.dumps(rows))
"""


@pytest.mark.parametrize("zone", ZONES)
def test_times_are_the_same_in_any_zone_of_the_machine(data, zone):
    """Bug: a TIMESTAMPTZ followed the machine's zone.

    The same loads gave another day under another TZ, and readers got different values.
    """
    env = {**os.environ, "TZ": zone, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PUBLISH_AND_READ, SELECT],
        env=env,
        capture_output=True,
        text=True,
        cwd=data.parent,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert len(rows) == 7
    assert {door: list(row) for door, row in rows.items()} == dict.fromkeys(rows, UTC)
    shell = [sys.executable, "-m", "proto_loc.cli", "db", "shell", "-c", SELECT]
    done = subprocess.run(shell, env=env, capture_output=True, text=True)
    assert all(value in done.stdout for value in UTC) and "02-28" not in done.stdout, (
        done.stdout + done.stderr
    )


def test_dbt_builds_the_same_in_any_zone_of_the_machine(data, tmp_path):
    """The test uses the shipped profile: every target sets the zone, and dbt applies it."""
    targets = yaml.safe_load((ROOT / "dbt" / "profiles.yml").read_text())["proto_loc"]["outputs"]
    assert [target["settings"]["TimeZone"] for target in targets.values()] == ["UTC", "UTC"]
    (tmp_path / "models").mkdir()
    shutil.copy(ROOT / "dbt" / "profiles.yml", tmp_path)
    (tmp_path / "dbt_project.yml").write_text(
        "name: proto_loc\nversion: '1.0.0'\nprofile: proto_loc\nflags: {send_anonymous_usage_stats:"
        " false}\n"
    )
    (tmp_path / "models" / "moments.sql").write_text(
        "{{ config(materialized='table') }} select m as moment, m::date as day "
        "from (select '2025-03-01 02:30:00+00'::timestamptz as m)"
    )
    duckdb.connect(str(tmp_path / "raw.duckdb")).close()
    command = [Path(sys.executable).parent / "dbt", "--quiet", "run", "--target", "prod"]
    env = {**os.environ, "LOC_SESSION": "1", "TZ": ZONES[0]}
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    with duckdb.connect(str(tmp_path / "prod.duckdb"), read_only=True) as con:
        con.execute("set TimeZone = 'UTC'")
        assert list(con.execute(SELECT).fetchone()) == UTC


def test_duckdb_is_opened_in_one_place():
    """A connection that is not opened by ``proto_loc.sql`` reads times in the machine's zone."""
    free_of_times = {
        "proto_loc/sql.py",
        "proto_loc/warehouse/guard.py",
        "proto_loc/warehouse/finish.py",
        "proto_loc/superset/duckdb_door.py",  # lists keywords
    }
    files = [
        path for folder in ("proto_loc", "pipelines") for path in (ROOT / folder).rglob("*.py")
    ]
    opening = {
        str(path.relative_to(ROOT))
        for path in files
        if re.search(r"duckdb\.connect\(\S*", path.read_text())
    }
    assert opening <= free_of_times
