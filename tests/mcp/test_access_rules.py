"""A claim gives the same rows through Cube, MCP and `ask`; without a claim there are no rows."""

import json

import pytest

from proto_loc import warehouse
from proto_loc.ai import context
from proto_loc.ai.asking import queries
from proto_loc.cube.client import Cube, Question
from proto_loc.errors import LocError, UsageError

QUEENS = {"boroughs": ["Queens"]}
COUNT = "select pickup_borough, count(*) as n from marts.mart_taxi_trips group by 1"
QUESTION = Question(("trips",), ("pickup_borough",))


@pytest.fixture(scope="module")
def queens(platform) -> int:
    """The number of published trips that begin in Queens."""
    with warehouse.read("prod") as con:
        return con.execute(
            "select count(*) from marts.mart_taxi_trips where pickup_borough = 'Queens'"
        ).fetchone()[0]


def about(claims: dict) -> tuple:
    version = warehouse.current("prod").verify()
    reader = queries.reader_of(version)
    return reader, context.published(reader, version, claims)


def rows(sql: str, claims: dict) -> list:
    reader, published = about(claims)
    return context.run(reader, sql, published)["rows"]


@pytest.mark.slow
def test_the_same_claim_gives_the_same_rows_through_cube_mcp_and_ask(mcp, queens):
    """tests/superset/test_superset_roles.py tests the same rule in Superset."""
    with Cube(QUEENS) as cube:
        meta = cube.meta()
        answer = cube.load(QUESTION.query(meta), meta)
    assert [tuple(row.values()) for row in answer.rows] == [("Queens", queens)]
    calls = [
        ("query_metrics", {"metrics": ["trips"], "dimensions": ["pickup_borough"]}),
        ("run_sql", {"sql": COUNT}),
    ]
    found = mcp(*calls, where=("stdio", "--claims", json.dumps(QUEENS)))["results"]
    assert [result["data"]["rows"] for result in found] == [[["Queens", queens]]] * 2, found
    measured, _ = queries.measured(QUESTION, QUEENS)
    assert [tuple(row.values()) for row in measured.rows] == [("Queens", queens)]
    assert [list(row) for row in rows(COUNT, QUEENS)] == [["Queens", queens]]


def test_no_claim_gives_none_and_the_person_at_the_machine_sees_all(mcp, queens):
    calls = [
        ("query_metrics", {"metrics": ["trips"], "dimensions": ["pickup_borough"]}),
        ("run_sql", {"sql": COUNT}),
    ]
    none = mcp(*calls, where=("stdio", "--claims", "{}"))["results"]
    assert [result["error"] for result in none] == [True, True], none
    assert "may not be read" in none[1]["text"] and str(queens) not in str(none)
    everything = mcp(*calls)["results"]
    assert all(len(result["data"]["rows"]) > 2 for result in everything)


def test_freshness_says_when_and_of_what_but_not_how_many_rows_a_claim_hides(mcp):
    (whole,) = mcp(("show_freshness", {}))["results"]
    (part,) = mcp(("show_freshness", {}), where=("stdio", "--claims", json.dumps(QUEENS)))[
        "results"
    ]
    assert all(load["rows"] for load in whole["data"]["loads"])
    changed = {"published_hours_ago": part["data"]["published_hours_ago"]}
    loads = [load | {"rows": None} for load in whole["data"]["loads"]]
    assert part["data"] == whole["data"] | changed | {"loads": loads}


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) from marts.fct_taxi_trips",
        "select count(*) from FCT_TAXI_TRIPS",
        "select * from (with fct_taxi_trips as (select 1) select 1), fct_taxi_trips",
        "with mart_taxi_trips as (from marts.mart_taxi_trips) from mart_taxi_trips",
        "summarize marts.mart_taxi_trips",
        "show tables",
        "select * from marts.mart_data_quality",
        "select t.n, m.* from marts.mart_taxi_trips m, (select count(*) n from marts.dim_dates) t",
    ],
)
def test_sql_that_cannot_be_limited_is_refused(platform, sql):
    with pytest.raises(LocError):
        rows(sql, QUEENS)


@pytest.mark.parametrize(
    "sql",
    [
        'select distinct pickup_borough from prod.marts."MART_TAXI_TRIPS"',
        "with a as (from mart_taxi_trips) select distinct pickup_borough from a where 1 = 1",
        "select distinct pickup_borough from mart_taxi_trips union select min(pickup_borough) from"
        " marts.mart_taxi_trips",
    ],
)
def test_sql_sees_only_the_rows_of_the_claim_however_the_mart_is_named(platform, sql):
    assert [list(row) for row in rows(sql, QUEENS)] == [["Queens"]]


def test_errors_and_lists_hold_no_values_of_other_rows(platform):
    _, published = about(QUEENS)
    assert published.values == {}
    with pytest.raises(LocError) as failed:
        rows("select pickup_zone::integer from mart_taxi_trips", QUEENS)
    assert "'" not in str(failed.value)


@pytest.mark.parametrize("claims", [{"zones": ["JFK"]}, {"boroughs": "Queens"}, {"boroughs": []}])
def test_claims_that_no_rule_reads_are_refused(platform, claims):
    with pytest.raises(UsageError):
        about(claims)
