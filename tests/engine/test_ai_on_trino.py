"""SQL of people and models runs on Trino as on DuckDB: the same rows, limits and refusals."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from published import loc, plain, sorted_rows

from proto_loc import warehouse
from proto_loc.ai import context, prompts
from proto_loc.ai.asking import queries
from proto_loc.cube.client import Question
from proto_loc.errors import LocError, UsageError
from proto_loc.settings import ROOT
from proto_loc.warehouse.guard import Refused, TooLong
from proto_loc.warehouse.iceberg import reader as reading
from proto_loc.warehouse.query_process import FileReader

pytestmark = pytest.mark.slow  # three servers of Java: see conftest

QUEENS = {"boroughs": ["Queens"]}
MART = "marts.mart_taxi_trips"
PUBLISHED = """
import json
from proto_loc import warehouse
from proto_loc.ai import context, prompts
from proto_loc.ai.asking import queries
version = warehouse.current("prod")
known = context.published(queries.reader_of(version), version)
tables = {name: [node["description"], {column: text for column, (_, text) in
    node["columns"].items()}] for name, node in known.tables.items()}
print(json.dumps([tables, known.values, prompts.ask(known, True)]))
"""


@pytest.fixture(scope="module")
def version(sample) -> warehouse.Version:
    return warehouse.find("prod", 1)


@pytest.fixture(scope="module")
def trino_reader(version):
    found = version.keeper.reader(version, schema="marts")
    yield found
    found.close()


@pytest.fixture(scope="module")
def file_reader(on_files):
    path = Path(on_files["LOC_DATA"]) / "warehouse/prod/current/prod.duckdb"
    found = FileReader(path, schema="marts")
    yield found
    found.close()


@pytest.mark.parametrize(
    "sql",
    [
        f"select * from {MART} order by trip_id limit 50",
        "select count(*) as n, sum(total_amount) as s, min(pickup_at) as a, max(pickup_date) as b"
        f" from prod.{MART}",
        "select pickup_borough, cast(sum(tip_amount) as double) / nullif(cast(sum(fare_amount) as"
        f" double), 0) as rate from {MART} group by 1 order by 1",
        "select 1 as a, cast(null as varchar) as b, true as c, date '2025-01-31' as d,"
        " timestamp '2025-01-31 01:02:03.123456' as e, cast('1.50' as decimal(10, 2)) as f,"
        " cast('NaN' as double) as g, cast('1e300' as double) as h, array[1, 2] as i,"
        " cast('-170141183460469' as bigint) as j, '' as k",
        "select metric, dimension, value, figure from marts.metric_figures order by 1, 2, 3, 4",
        f"select month, count(*) filter (where fare_amount > 20) as n from {MART} group by 1"
        " order by 1",
    ],
)
def test_both_engines_give_the_same_names_values_and_types(sql, trino_reader, file_reader):
    one, other = trino_reader.run(sql), file_reader.run(sql)
    assert one.columns == other.columns and one.truncated == other.truncated
    assert plain(one.rows) == plain(other.rows)


def test_rows_are_cut_at_the_limit(trino_reader):
    found = trino_reader.run(f"select trip_id from {MART}", limit=7)
    assert (len(found.rows), found.truncated) == (7, True)
    assert not trino_reader.run("select 1", limit=1).truncated
    assert trino_reader.run("select ? + 1", params=[41]).rows == [(42,)]


def test_what_runs_too_long_is_ended_on_the_server(trino_reader, trino):
    mark = "a statement of the test of time"
    with pytest.raises(TooLong, match="It ran longer than 1 seconds"):
        trino_reader.run(
            f"select count(*), '{mark}' from {MART} a cross join {MART} b cross join {MART} c"
            " where a.fare_amount + b.fare_amount + c.fare_amount < 0",
            timeout=1,
        )
    query = (
        "select count(*) from system.runtime.queries where state not in ('FINISHED', 'FAILED')"
        f" and query like '%{mark}%' and query not like '%runtime%'"
    )
    end = time.monotonic() + 30
    while trino(query) != [[0]]:
        assert time.monotonic() < end, "Trino still runs it"
        time.sleep(0.2)
    assert trino_reader.run("select 1").rows == [(1,)]


def test_an_answer_that_is_too_large_is_refused(trino_reader, monkeypatch):
    monkeypatch.setattr(reading, "MAX_ANSWER", 1_000_000)
    with pytest.raises(LocError, match="The result is too large"):
        trino_reader.run("select rpad('x', 10000, 'y') from table(sequence(1, 5000))", timeout=60)
    monkeypatch.undo()
    assert trino_reader.run("select 1").rows == [(1,)]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("select nope from marts.publication", "COLUMN_NOT_FOUND: .*nope"),
        ("select * from marts.nope", "TABLE_NOT_FOUND"),
        ("select cast(origin as bigint) from marts.publication", "INVALID_CAST_ARGUMENT"),
        ("selec 1", None),
        ("select * from raw__taxi.yellow_trips", None),
    ],
)
def test_a_statement_that_fails_says_why(sql, why, trino_reader):
    with pytest.raises(LocError) as caught:
        trino_reader.run(sql)
    assert isinstance(caught.value, Refused) if why is None else why
    if why:
        assert re.search(why, caught.value.why), caught.value.why
        assert (caught.value.what, caught.value.fix) == (
            "The query failed.",
            "Correct it and try again.",
        )


def test_a_server_that_is_down_is_said(version, monkeypatch):
    reader = version.keeper.reader(version)
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        free = taken.getsockname()[1]
    monkeypatch.delenv("LOC_PORT_PREFIX")
    monkeypatch.setenv("LOC_TRINO_PORT", str(free))
    with pytest.raises(LocError, match="Trino does not answer"):
        reader.run("select 1", timeout=20)


def test_a_question_knows_the_same_of_both(version, on_files):
    about = context.published(queries.reader_of(version), version)
    own = [
        {
            name: [
                node["description"],
                {column: text for column, (_, text) in node["columns"].items()},
            ]
            for name, node in about.tables.items()
        },
        about.values,
    ]
    done = subprocess.run(
        [sys.executable, "-c", PUBLISHED],
        env=os.environ | on_files | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    tables, known, prompt = json.loads(done.stdout)
    assert json.loads(json.dumps(own)) == [tables, known]
    assert "DuckDB's SQL" in prompt and "Trino" not in prompt
    written = prompts.ask(about, True)
    assert "Trino's SQL" in written and "DuckDB" not in written


def test_the_sql_of_a_question_gives_the_same_rows(version, trino_reader, file_reader):
    models = context.published(queries.reader_of(version), version).models
    for question in (
        Question(("trips", "revenue"), ("pickup_borough",), order="-revenue"),
        Question(
            ("trip_minutes", "average_fare"), ("pickup_at:month",), "2025-01-01", "2025-02-27"
        ),
        Question(("trips",), where=("pickup_borough=Queens", "pickup_borough=Bronx")),
        Question(("trips",), where=("pickup_borough!=Queens", "pickup_at=2025-01")),
    ):
        try:
            sql = context.sql(question, models)
        except UsageError as error:  # pragma: no cover
            raise AssertionError(f"{question}: {error}") from error
        one, other = trino_reader.run(sql), file_reader.run(sql)
        assert sorted_rows(one.rows) == sorted_rows(other.rows) != [], sql


def test_claims_limit_the_rows_of_every_form_of_a_statement(version):
    reader = queries.reader_of(version)
    all_rows = context.published(reader, version)
    limited = context.published(reader, version, QUEENS)
    (queens,) = context.run(
        reader, f"select count(*) from {MART} where pickup_borough = 'Queens'", all_rows
    )["rows"][0]
    for sql in (
        f"select count(*) from {MART}",
        "select count(*) from mart_taxi_trips",
        'select count(*) from prod."marts"."MART_TAXI_TRIPS" t',
        f"with t as (select * from {MART}) select count(*) from t",
        f"select (select count(*) from {MART})",
        f"select /* /* */ count(*) from {MART} -- */ */",
    ):
        assert context.run(reader, sql, limited)["rows"] == [[queens]], sql
    for sql in (
        "select count(*) from marts.fct_taxi_trips",
        "select count(*) from staging.taxi_zones",
        f"select count(*) from (table {MART})",
        'select * from marts."mart_taxi_trips$files"',
        f"select count(*) from {MART} for version as of 1",
        "select * from information_schema.tables",
        f"describe {MART}",
        "show tables",
    ):
        with pytest.raises(Refused):
            context.run(reader, sql, limited)
    with pytest.raises(Refused):
        context.run(reader, f"select count(*) from {MART}", context.published(reader, version, {}))
    with pytest.raises(LocError) as caught:
        context.run(reader, f"select cast(pickup_zone as bigint) from {MART}", limited)
    assert caught.value.why == "INVALID_CAST_ARGUMENT."


def test_an_error_for_a_model_that_gets_no_values_quotes_none(version):
    without = version.keeper.statements.without_values
    assert (
        without("INVALID_CAST_ARGUMENT: Cannot cast 'secret' to BIGINT.") == "INVALID_CAST_ARGUMENT"
    )
    assert "nope" in without("COLUMN_NOT_FOUND: line 1:8: Column 'nope' cannot be resolved.")
    assert without("something else: secret") == ""


def test_a_report_finds_the_same_on_both(sample, on_files, tmp_path):
    found = [
        _findings(loc("discover", "--out", str(tmp_path / f"{at}.html"), **variables))
        for at, variables in enumerate(({}, on_files))
    ]
    assert found[0] == found[1] != []


def _findings(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if " go together " in line or "follow" in line]


def test_the_shell_runs_a_statement_and_reads_only(sample):
    shown = loc("db", "shell", "-c", "select 6 * 7 as answer; show tables from prod.marts")
    assert "42" in shown and "mart_taxi_trips" in shown
    refused = loc("db", "shell", "-c", "drop table marts.publication", ok=False)
    assert "Access Denied" in refused and "Traceback" not in refused
    path = loc("db", "path", ok=False)
    assert "is in no file" in path and "loc db shell" in path
    assert loc("db", "path", "raw").strip().endswith("raw.duckdb")
