"""Superset on Trino: the same figures as on DuckDB, and people's SQL can only read."""

import csv
import io
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from published import publish_pair
from samples import copy_superset
from supersets import Person, Superset

from proto_loc import warehouse
from proto_loc.settings import ROOT, settings

pytestmark = pytest.mark.slow  # three servers of Java: see conftest

DASHBOARDS = ("taxi-overview", "data-quality-and-freshness")
OF_ITS_OWN_PUBLISH = {"Published data", "Last publish (UTC)", "Rows loaded", "dbt tests passed"}
"""Charts of when and from what a version was published; their rows differ between the engines."""


def metadata(superset: Superset) -> dict[str, str]:
    """The address of each database in Superset's metadata."""
    import sqlite3

    with sqlite3.connect(superset.database) as con:
        return dict(con.execute("select database_name, sqlalchemy_uri from dbs"))


@pytest.fixture(scope="module")
def on_duckdb(
    on_files: dict[str, str], tmp_path_factory: pytest.TempPathFactory, session_port_prefix: str
) -> Iterator[Superset]:
    """A Superset on DuckDB's files; it is stopped."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in on_files.items():
            patch.setenv(name, value)
        copy_superset(tmp_path_factory)
    home = Path(on_files["LOC_DATA"]).parent
    served = Superset(home, session_port_prefix, {"LOC_ENGINE": "duckdb"})
    served.provision()
    yield served
    served.stop()


@pytest.fixture(scope="module")
def on_files_rows(on_duckdb: Superset) -> dict[str, list]:
    """What a person sees with DuckDB."""
    try:
        return seen(on_duckdb.start().log_in())
    finally:
        on_duckdb.stop()


@pytest.fixture(scope="module")
def superset(
    sample, on_duckdb: Superset, on_files_rows: dict, session_port_prefix: str
) -> Iterator[Superset]:
    """The Superset of :func:`on_duckdb` after a change of the engine, on the version of Trino.

    Do not change it: tests share it.
    """
    home = settings().data.parent
    shutil.copytree(on_duckdb.home / "data/superset", home / "data/superset")
    for secret in (on_duckdb.home / "run/secrets").glob("superset*"):
        shutil.copy(secret, home / "run/secrets")
    served = Superset(
        home,
        session_port_prefix,
        {"LOC_ENGINE": "trino", "LOC_TRINO_MEMORY": "1G", "LOC_QUERY_TIMEOUT": "8"},
    )
    served.provisioned = served.provision()
    try:
        yield served.start()
    finally:
        served.stop()


@pytest.fixture(scope="module")
def admin(superset: Superset) -> Person:
    return superset.log_in()


GRAINS = ("PT1S", "PT1M", "PT1H", "P1D", "P1W", "P1M", "P3M", "P1Y")
CSV_OF = "Top pick-up zones"


def seen(person: Person) -> dict[str, list]:
    """All that a person sees: the rows of each chart, and figures by grain, filter and value."""
    found: dict[str, list] = {}
    for slug in DASHBOARDS:
        for chart in person.call("GET", f"dashboard/{slug}/charts")["result"]:
            if chart["slice_name"] in OF_ITS_OWN_PUBLISH:
                continue
            answer = person.call("GET", f"chart/{chart['id']}/data/")["result"]
            found[chart["slice_name"]] = [part["data"] for part in answer]
            if chart["slice_name"] == CSV_OF:
                text = person.get(f"/api/v1/chart/{chart['id']}/data/?format=csv").text
                found["as CSV"] = list(csv.reader(io.StringIO(text)))
    for column in ("pickup_at", "pickup_date"):
        for grain in GRAINS:
            by = {
                "timeGrain": grain,
                "columnType": "BASE_AXIS",
                "sqlExpression": column,
                "label": column,
                "expressionType": "SQL",
            }
            days = {"time_range": "2025-01-05 : 2025-01-07", "granularity": column}
            found[f"{column} {grain}"] = person.figures("trips", by=(by,), row_limit=9999, **days)
    every = ("average_duration", "average_fare", "fares", "miles", "passengers", "revenue")
    every += ("revenue_per_mile", "tip_rate", "tips", "trip_minutes", "trips")
    found["metrics"] = person.figures(*every, by=("colour", "month", "passenger_count"))
    for operator, value in (
        ("IN", ["Queens", "Bronx"]), ("LIKE", "Q%"), ("ILIKE", "q%"), ("!=", "Queens"),
        ("IS NOT NULL", None), ("==", "it's"), ("NOT IN", ["a\\b", "50%"]),
    ):  # fmt: skip
        chosen = [{"col": "pickup_borough", "op": operator, "val": value}]
        found[f"{operator} {value}"] = person.figures("trips", by=("colour",), filters=chosen)
    numbers = [{"col": "passenger_count", "op": ">=", "val": 2}]
    found["numbers"] = person.figures("trips", filters=numbers)
    own = {"expressionType": "SQL", "sqlExpression": "sum(tip_amount) -- own", "label": "Own, 5 %"}
    found["own"] = person.figures(own, by=("vendor",), orderby=[[own, False]], row_limit=3)
    dataset = person.item("dataset", table_name="mart_taxi_trips")["id"]
    values = person.call("GET", f"datasource/table/{dataset}/column/payment_type/values/")
    found["values"] = values["result"]
    found["lab"] = person.rows(
        "select colour, count(*) as n, sum(total_amount) as s, min(pickup_at) as at,"
        " max(pickup_date) as d, cast(null as integer) as no, true as yes, 1.50 as exact"
        " from prod.marts.mart_taxi_trips group by colour order by colour; "
    )
    return {name: ordered(rows) for name, rows in found.items()}


def ordered(rows: list) -> list:
    """Rows with doubles to nine digits, in an order of their own: a chart may not say any."""
    return sorted(map(repr, map(rounded, rows)))


def rounded(item: object) -> object:
    if isinstance(item, float):
        return float(f"{item:.9g}")
    if isinstance(item, str) and re.fullmatch(r"-?\d+\.\d+", item):  # an average in a CSV
        return rounded(float(item))
    if isinstance(item, dict):  # each platform has loaded the sample at its own time
        return {key: rounded(value) for key, value in item.items() if key != "loaded_at"}
    return sorted(map(repr, map(rounded, item))) if isinstance(item, list) else item


def test_a_change_of_the_engine_is_provisioned_and_a_change_back_too(on_duckdb, superset):
    """What people made stays: the same metadata is used with another address."""
    assert metadata(on_duckdb) == {"prod": "duckdb:///prod"}
    assert metadata(superset) == {"prod": "trino:///prod"}
    assert "was changed" not in superset.provisioned
    back = Superset(superset.home, superset.prefix, {"LOC_ENGINE": "duckdb"})
    try:
        back.provision()
        assert metadata(superset) == {"prod": "duckdb:///prod"}
    finally:
        superset.provision()
    assert metadata(superset) == {"prod": "trino:///prod"}


def test_everything_that_a_person_sees_is_as_on_duckdb(on_files_rows, admin):
    found = seen(admin)
    assert found.keys() == on_files_rows.keys() and len(found) > 40
    different = {name for name in found if found[name] != on_files_rows[name]}
    assert not different, {
        name: (found[name][:3], on_files_rows[name][:3]) for name in sorted(different)[:3]
    }
    assert all(found[name] for name in found if name not in ("== it's",))


def test_charts_of_a_publish_say_what_it_was(admin):
    for slug in DASHBOARDS:
        for chart in admin.call("GET", f"dashboard/{slug}/charts")["result"]:
            if chart["slice_name"] in OF_ITS_OWN_PUBLISH:
                (answer, *_) = admin.call("GET", f"chart/{chart['id']}/data/")["result"]
                assert answer["rowcount"] == 1, chart["slice_name"]


def test_sql_lab_lists_schemas_tables_and_columns(admin):
    database = admin.item("database", database_name="prod")["id"]
    assert set(admin.call("GET", f"database/{database}/schemas/")["result"]) == {"marts", "staging"}
    tables = admin.call("GET", f"database/{database}/tables/?q=(schema_name:marts)")["result"]
    assert "mart_taxi_trips" in {table["value"] for table in tables}
    place = "?name=mart_taxi_trips&schema=marts"
    table = admin.call("GET", f"database/{database}/table_metadata/{place}")
    kinds = {column["name"]: column["type"] for column in table["columns"]}
    assert (kinds["pickup_at"], kinds["trip_id"]) == ("TIMESTAMP", "BIGINT")
    assert kinds["total_amount"][:7] == "DECIMAL" and "trip_id" in table["selectStar"]
    made = admin.call(
        "POST",
        "dataset/",
        {"database": database, "schema": "marts", "table_name": "agg_daily_zone"},
    )
    try:
        columns = admin.call("GET", f"dataset/{made['id']}")["result"]["columns"]
        kinds = {item["column_name"]: (item["is_dttm"], item["type_generic"]) for item in columns}
        assert kinds["pickup_date"] == (True, 2) and kinds["trips"] == (False, 0)
        assert kinds["colour"] == (False, 1)
    finally:
        admin.call("DELETE", f"dataset/{made['id']}")


@pytest.mark.parametrize(
    ("statement", "ran"),
    [
        ("select 1 as x -- one", "select 1 as x -- one\nLIMIT 11"),
        ("select 1 as x limit 3 -- few", "select 1 as x limit 3 -- few"),
        (
            "select x from unnest(sequence(1, 99)) t(x) order by x desc limit 90 -- many",
            "select x from unnest(sequence(1, 99)) t(x) order by x desc limit 11 -- many",
        ),
        (
            "select 1 as x fetch first 90 rows only",
            "SELECT * FROM (\nselect 1 as x fetch first 90 rows only\n) LIMIT 11",
        ),
        ("values 1, 2;", "values 1, 2\nLIMIT 11"),
        ("describe marts.mart_taxi_trips", "describe marts.mart_taxi_trips"),
        ("explain select 1", "explain select 1"),
    ],
)
def test_a_limit_is_put_after_what_was_written(admin, statement, ran):
    answer = admin.sql(statement, limit=10).json()
    assert answer["query"]["executedSql"] == ran and answer["data"]


WORKING = [
    ("show schemas", 2, None),
    ("show tables from prod.marts like 'mart%'", 2, None),
    ("show columns from marts.mart_taxi_trips", None, None),
    ("explain (type distributed) select * from marts.mart_taxi_trips", 1, None),
    ("with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) table_ as"
     " (select 1)".replace(" table_ as (select 1)", " select sum(n) as n from r"), 1, {"n": 15}),
    ("select decimal '1.50' as a, interval '1 06:30:00' day to second as b, U&'\\0041' as c", 1,
     None),
    ("select reduce(array[1, 2, 3], 0, (s, x) -> s + x, s -> s) as n", 1, {"n": 6}),
    ("select count(*) as n from (select colour from marts.mart_taxi_trips group by colour)", 1,
     {"n": 2}),
    ("select 'it''s -- no /* comment */' as t /* one */ -- two", 1,
     {"t": "it's -- no /* comment */"}),
    ("select decimal '12345678901234567890123456789' as wide", 1, None),
    ("select mart_taxi_trips.colour from prod.marts.mart_taxi_trips limit 1", 1, None),
    ("select * from mart_taxi_trips limit 2", 2, None),
]  # fmt: skip


def test_what_only_reads_works(admin):
    for statement, count, row in WORKING:
        found = admin.rows(statement)
        assert found and count in (None, len(found)), statement
        assert row is None or found == [row], statement


HOSTILE = [
    "drop table marts.mart_taxi_trips",
    "insert into marts.mart_taxi_trips select * from marts.mart_taxi_trips",
    "update marts.mart_taxi_trips set colour = 'red'",
    "delete from marts.mart_taxi_trips",
    "merge into marts.mart_taxi_trips t using marts.mart_taxi_trips u on true when matched then"
    " delete",
    "truncate table marts.mart_taxi_trips",
    "create table marts.t as select 1 as x",
    "create view marts.v as select 1 as x",
    "create schema s",
    "create or replace table marts.mart_taxi_trips as select 1 as x",
    "create function f() returns integer return 1",
    "alter table marts.mart_taxi_trips execute optimize",
    "alter table marts.mart_taxi_trips execute remove_orphan_files(retention_threshold => '0s')",
    "alter table marts.mart_taxi_trips rename to marts.other",
    "comment on table marts.mart_taxi_trips is 'x'",
    "analyze marts.mart_taxi_trips",
    "refresh materialized view marts.v",
    "create catalog c using memory",
    "drop catalog prod",
    "show catalogs",
    "show session",
    "show create table marts.mart_taxi_trips",
    "show stats for marts.mart_taxi_trips",
    "show grants",
    "set session query_max_run_time = '10h'",
    "reset session query_max_run_time",
    "set role all",
    "set time zone 'Asia/Tokyo'",
    "set path prod.system",
    "use v1.marts",
    "start transaction",
    "call system.runtime.kill_query(query_id => 'x', message => 'y')",
    "call v1.system.rollback_to_snapshot('marts', 'mart_taxi_trips', 1)",
    "grant select on marts.mart_taxi_trips to user x",
    "deny select on marts.mart_taxi_trips to user x",
    "prepare p from select 1",
    "execute p",
    "execute immediate 'drop table marts.mart_taxi_trips'",
    "deallocate prepare p",
    "describe input p",
    "explain analyze delete from marts.mart_taxi_trips",
    "explain analyze insert into marts.t select 1",
    "explain call system.runtime.kill_query(query_id => 'x')",
    "with a as (select 1 as x) insert into marts.t select * from a",
    "with a as (delete from marts.mart_taxi_trips) select * from a",
    "with function f(n integer) returns integer return n select f(1)",
    "select 1; drop table marts.mart_taxi_trips",
    "/* select */ drop table marts.mart_taxi_trips",
    "-- select 1\r drop table marts.mart_taxi_trips",
    "select * from system.runtime.queries",
    "select * from system.runtime.nodes",
    "select * from system.metadata.catalogs",
    "select * from system.jdbc.tables",
    "select * from SYSTEM.information_schema.tables",
    "select * from v2.marts.mart_taxi_trips",
    "select * from v1.information_schema.tables",
    'select * from "s_abc".marts.mart_taxi_trips',
    "select * from prod.system.iceberg_tables",
    "select * from system.iceberg_tables",
    "select * from raw__taxi.trips",
    "describe raw__taxi.trips",
    "show tables from raw__taxi",
    'select * from marts."mart_taxi_trips$files"',
    'select * from marts."mart_taxi_trips$snapshots"',
    'select * from marts."MART_TAXI_TRIPS$PARTITIONS"',
    'describe marts."mart_taxi_trips$files"',
    'select "$path" from marts.mart_taxi_trips',
    'select t."$file_modified_time" from marts.mart_taxi_trips t',
    "select * from marts.mart_taxi_trips for version as of 1",
    "select * from marts.mart_taxi_trips for timestamp as of timestamp '2025-01-01 00:00:00'",
    "select * from table(prod.system.table_changes(schema_name => 'marts', table_name =>"
    " 'mart_taxi_trips', start_snapshot_id => 1, end_snapshot_id => 2))",
    "select * from table(system.query(query => 'select 1'))",
    "select prod.system.f(1)",
    'select * from U&"m\\0061rts".mart_taxi_trips',
    "select rpad('x', 2000000000, 'y')",
    "select \"lpad\"('x', 2000000000, 'y')",
    "select format('%2000000000s', 'x')",
    "select 1 into marts.t",
    'describe prod.marts."mart_taxi_trips$files"',
    "select rpad('x', 2_000_000_000, 'y')",
    "select 'without an end",
    "select " + "array[" * 30 + "1" + "]" * 30,
    "select " + "(" * 3_000 + "1" + ")" * 3_000,
    "select * from " + "(select * from " * 900 + "marts.dim_dates" + ")" * 900,
    "select * from " + ", ".join("marts.dim_dates" for _ in range(99)),
    "",
    "-- nothing",
]
REFUSED = (
    r"not allowed|does not parse|is not a table|is not a column|Only one statement|nested too"
    r"|FROM takes|small length|small number|is no statement|too large to plan|may not be read"
    r"|cannot be (read|analysed)|Error parsing|provide|not a query|Missing"
)


def test_what_does_more_than_read_is_refused_with_a_message(superset, admin):
    """Nothing reaches Trino, and nothing keeps a thread busy."""
    workers, tables = superset.workers(), warehouse.current("prod").tables
    started = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(admin.sql, HOSTILE))
    for statement, answer in zip(HOSTILE, answers, strict=True):
        shown = f"{statement[:90]!r}: {answer.status_code} {answer.text[:300]}"
        assert 400 <= answer.status_code < 500 and "Traceback" not in answer.text, shown
        assert re.search(REFUSED, answer.text), shown
    assert len(HOSTILE) > 80 and time.monotonic() - started < 120
    assert superset.workers() == workers and warehouse.current("prod").tables == tables


@pytest.mark.parametrize(
    "expression",
    [
        "1) from (values 2",
        "(select count(*) from marts.mart_taxi_trips)",
        "1 from marts.mart_taxi_trips",
        'max("$path")',
        "rpad('x', 2000000000, 'y')",
    ],
)
def test_a_chart_cannot_do_what_sql_lab_cannot(admin, expression):
    answer = admin.chart({"expressionType": "SQL", "sqlExpression": expression, "label": "v"})
    assert 400 <= answer.status_code < 500 and "Traceback" not in answer.text, answer.text


@pytest.mark.parametrize(
    "address",
    ["trino:///v1", "trino://writer@127.0.0.1:8443/prod", "trino+rest:///prod", "duckdb:///prod",
     "trino:///prod?source=x", "sqlite://", "duckdb:///:memory:"],
)  # fmt: skip
def test_no_second_database_can_be_added(admin, address):
    for path in ("database/", "database/test_connection/"):
        body = {"database_name": "second", "sqlalchemy_uri": address}
        answer = admin.request("POST", f"/api/v1/{path}", json=body)
        assert 400 <= answer.status_code < 500, f"{path} {answer.status_code} {answer.text}"
    assert [database["database_name"] for database in admin.items("database")] == ["prod"]


def test_a_connection_s_parameters_change_nothing(admin, trino):
    database = admin.item("database", database_name="prod")["id"]
    extra = '{"engine_params": {"connect_args": {"user": "writer", "catalog": "system"}}}'
    kept = admin.call("GET", f"database/{database}")["result"]
    admin.request(
        "PUT",
        f"/api/v1/database/{database}",
        json={"extra": extra, "impersonate_user": True, "allow_dml": True},
    )
    try:
        assert admin.rows("select current_user as u, current_catalog as c") == [
            {"u": "dashboards", "c": f"v{warehouse.current('prod').id}"}
        ]
        assert "not allowed" in admin.refusal("create table marts.t as select 1 as x")
    finally:
        admin.request(
            "PUT",
            f"/api/v1/database/{database}",
            json={"extra": kept.get("extra") or "{}", "impersonate_user": False},
        )


def test_errors_say_what_is_wrong(admin):
    assert "nosuch" in admin.refusal("select nosuch from marts.mart_taxi_trips")
    assert "nosuch" in admin.refusal("select * from nosuch.t")
    assert "Division by zero" in admin.refusal("select 1/0")
    answer = admin.chart({"expressionType": "SQL", "sqlExpression": "sum(nosuch)", "label": "x"})
    assert answer.status_code == 400 and "nosuch" in answer.text


LONG = (
    "select count(*) from marts.dim_dates a, marts.dim_dates b, marts.dim_dates c"
    " where a.date_day < b.date_day and b.date_day < c.date_day"
)


def running_on(trino) -> list:
    """Queries of Superset that Trino runs."""
    return trino(
        "select query_id from system.runtime.queries where \"user\" = 'dashboards' and state not in"
        " ('FINISHED', 'FAILED')"
    )


def test_a_query_that_runs_too_long_is_stopped_on_trino(superset, admin, trino):
    workers = superset.workers()
    assert "It ran longer than 8 seconds" in admin.refusal(LONG)
    assert superset.workers() == workers and running_on(trino) == []


def test_the_stop_button_stops_a_query_on_trino(superset, admin, trino):
    database = admin.item("database", database_name="prod")["id"]
    client, answers = os.urandom(5).hex(), []
    body = {"database_id": database, "sql": LONG, "runAsync": False, "client_id": client}

    def run() -> None:
        answers.append(superset.log_in().post("/api/v1/sqllab/execute/", json=body))

    began = time.monotonic()
    thread = threading.Thread(target=run)
    thread.start()
    while not running_on(trino):
        assert thread.is_alive() and time.monotonic() < began + 60
        time.sleep(0.1)
    admin.call("POST", "query/stop", {"client_id": client})
    thread.join()
    assert "stopped" in answers[0].text and "longer than" not in answers[0].text
    assert running_on(trino) == []


def test_a_result_is_cut_at_the_limit_and_may_be_downloaded(admin):
    statement = "select x from unnest(sequence(1, 100)) t(x)"
    answer = admin.sql(statement, limit=10).json()
    assert len(answer["data"]) == 10 and answer["query"]["limitingFactor"]
    client = admin.sql(statement + " limit 20").json()["query"]["id"]
    text = admin.get(f"/api/v1/sqllab/export/{client}/").text
    assert len(list(csv.reader(io.StringIO(text)))) == 21


HELD = [
    "select pickup_borough, count(*) as n from marts.mart_taxi_trips group by 1",
    "with a as (select * from marts.MART_TAXI_TRIPS) select distinct pickup_borough from a",
    'select distinct pickup_borough from prod . "Marts" . /* c */ "Mart_Taxi_Trips" -- c',
    "select distinct t.pickup_borough from unnest(array[1]) u(x), marts.mart_taxi_trips as t",
    "select pickup_borough from mart_taxi_trips where pickup_borough = 'Queens' or true limit 5",
    "select distinct mart_taxi_trips.pickup_borough from marts.mart_taxi_trips join"
    " marts.mart_taxi_trips b using (trip_id)",
    "select (select min(pickup_borough) from marts.mart_taxi_trips) as pickup_borough",
    "select p as pickup_borough from (select pickup_borough p from marts.mart_taxi_trips where"
    " pickup_borough in (select pickup_borough from marts.mart_taxi_trips)) group by 1",
    "select pickup_borough from mart_taxi_trips mart_taxi_trips group by 1",
    "select 'mart_taxi_trips' as mart_taxi_trips, min(pickup_borough) pickup_borough from"
    " marts.mart_taxi_trips",
]
AROUND = [
    "select pickup_borough from marts.mart_taxi_trips tablesample bernoulli (50) group by 1",
    "select distinct pickup_borough from (marts.mart_taxi_trips cross join (values 1) v(x))",
    "with mart_taxi_trips as (select * from marts.mart_taxi_trips) select * from mart_taxi_trips",
    "table marts.mart_taxi_trips",
    "select * from (table mart_taxi_trips)",
    "select * from table(exclude_columns(table(marts.mart_taxi_trips), descriptor(vendor)))",
    'select * from marts."mart_taxi_trips$files"',
    "show stats for marts.mart_taxi_trips",
    'select * from marts.U&"m\\0061rt_taxi_trips"',
]


def test_a_person_with_a_claim_sees_the_rows_of_its_rules(superset, admin):
    everything = {
        row["pickup_borough"]: row["trips"]
        for row in admin.figures("trips", by=("pickup_borough",))
    }
    assert len(everything) > 2
    viewer = superset.add_person("queens", "Viewer", "Queens")
    only = [{"pickup_borough": "Queens", "trips": everything["Queens"]}]
    assert viewer.figures("trips", by=("pickup_borough",)) == only
    dataset = admin.item("dataset", table_name="mart_taxi_trips")["id"]
    values = f"datasource/table/{dataset}/column/pickup_borough/values/"
    assert viewer.call("GET", values)["result"] == ["Queens"]
    samples = viewer.post(
        f"/datasource/samples?datasource_type=table&datasource_id={dataset}&per_page=50&page=1",
        json={},
    ).json()["result"]["data"]
    assert samples and {row["pickup_borough"] for row in samples} == {"Queens"}
    assert superset.add_person("nobody", "Viewer").figures("trips", by=("pickup_borough",)) == []
    analyst = superset.add_person("queens-analyst", "Analyst", "Queens")
    for statement in HELD:
        assert {row["pickup_borough"] for row in analyst.rows(statement)} == {"Queens"}, statement
    for statement in AROUND:
        said = analyst.refusal(statement)
        assert re.search(f"You may read only some rows|{REFUSED}", said), (statement, said)
    (plan,) = analyst.rows("explain select count(*) from marts.mart_taxi_trips")
    assert "Queens" in str(plan)
    described = "describe marts.mart_taxi_trips"
    assert analyst.rows(described) == admin.rows(described)


def test_a_virtual_dataset_shows_a_person_the_rows_of_their_rules(superset, admin):
    """The admin's rows are in the cache before."""
    analyst = superset.add_person("queens-virtual", "Analyst", "Queens")
    database = admin.item("database", database_name="prod")["id"]
    held = {"database": database, "schema": "marts", "table_name": "ruled", "sql": HELD[2]}
    made = admin.call("POST", "dataset/", held)["id"]
    body = {
        "datasource": {"id": made, "type": "table"},
        "queries": [{"metrics": [], "columns": ["pickup_borough"]}],
        "result_type": "full",
        "result_format": "json",
    }
    try:
        assert len(admin.call("POST", "chart/data", body)["result"][0]["data"]) > 2
        found = analyst.call("POST", "chart/data", body)["result"][0]["data"]
        assert found == [{"pickup_borough": "Queens"}]
    finally:
        admin.call("DELETE", f"dataset/{made}")


def test_a_publish_and_a_rollback_show_at_once(admin):
    before, both = publish_pair(6), "select one.number, two.number as other from one, two"
    assert admin.figures("trips")[0]["trips"] > 10_000
    assert admin.chart("trips").json()["result"][0]["is_cached"]
    publish_pair(7)
    assert admin.rows(both) == [{"number": 7, "other": 7}]
    assert not admin.chart("trips").json()["result"][0]["is_cached"]
    warehouse.rollback("prod", before.id)
    assert admin.rows(both) == [{"number": 6, "other": 6}]
    assert admin.chart("trips").json()["result"][0]["is_cached"]


def test_a_version_of_the_other_engine_is_named(on_files):
    """Superset with LOC_ENGINE=trino, while the version that is served is DuckDB's."""
    code = "from proto_loc.superset import serving; serving.version()"
    done = subprocess.run(
        [ROOT / ".venvs/superset/bin/python", "-c", code],
        env=os.environ | on_files | {"LOC_ENGINE": "trino", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert "Version 1 of prod is kept by the engine duckdb" in done.stderr
    assert "loc db move trino" in done.stderr
