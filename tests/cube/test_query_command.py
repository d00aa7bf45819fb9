"""`loc query` and `loc token`, against the real Cube."""

import csv
import io
import json
import subprocess

import httpx
import pytest
from servers import MODEL

from proto_loc.settings import ROOT

pytestmark = pytest.mark.xdist_group("cube")


def loc(server, *arguments: str) -> subprocess.CompletedProcess:
    """Runs `loc` with the port of the test's Cube server."""
    code = f"import sys; from proto_loc import settings; settings.PORTS['cube'] = {server.port}; "
    code += "from proto_loc.cli import main; sys.exit(main())"
    python = ROOT / ".venvs/platform/bin/python"
    return subprocess.run(
        [python, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True
    )


def rows(server, *arguments: str) -> list[dict]:
    done = loc(server, "query", *arguments, "-f", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_metric_by_a_dimension_in_three_formats(server):
    asked = ("-m", "trips", "-m", "revenue", "-d", "pickup_borough", "--order", "pickup_borough")
    assert rows(server, *asked)[0] == {"pickup_borough": "Bronx", "trips": 250, "revenue": 25.0}
    text = loc(server, "query", *asked, "-f", "csv").stdout
    assert list(csv.reader(io.StringIO(text)))[:2] == [
        ["pickup_borough", "trips", "revenue"],
        ["Bronx", "250", "25"],
    ]
    table = loc(server, "query", *asked).stdout
    assert "Bronx" in table and "25" in table and "Pickup Borough" in table


def test_the_last_day_is_included_to_its_end(server):
    """Bug: --until with a date ended at the beginning of that day."""
    days = rows(server, "-m", "trips", "-d", "pickup_at:day", "--until", "2025-01-01")
    assert [(day["pickup_at_day"][:10], day["trips"]) for day in days] == [("2025-01-01", 1000)]
    assert rows(server, "-m", "trips", "--since", "2025-01-02")[0]["trips"] == 0


def test_conditions_limits_and_claims(server):
    asked = ("-m", "trips", "-d", "pickup_borough")
    assert [
        row["pickup_borough"] for row in rows(server, *asked, "-w", "pickup_borough=Queens")
    ] == ["Queens"]
    others = rows(server, *asked, "-w", "pickup_borough!=Queens", "-w", "pickup_borough!=Bronx")
    assert {row["pickup_borough"] for row in others} == {"Manhattan", "Brooklyn"}
    assert [
        row["pickup_borough"] for row in rows(server, *asked, "--claims", '{"boroughs": ["Bronx"]}')
    ] == ["Bronx"]
    few = loc(server, "query", *asked, "--limit", "2", "-f", "csv")
    assert len(few.stdout.splitlines()) == 3 and "first 2 rows" in few.stderr
    all_of_them = loc(server, "query", *asked, "--limit", "4", "-f", "csv")
    assert len(all_of_them.stdout.splitlines()) == 5 and "first" not in all_of_them.stderr


@pytest.mark.parametrize(
    "where",
    [
        "pickup_borough = Queens",
        "pickup_borough='Queens'",
        'pickup_borough="Queens"',
        "pickup_borough == 'Queens' ",
    ],
)
def test_spaces_and_quotes_in_a_condition_are_no_part_of_the_value(server, where):
    """Bug: each of these conditions gave 0 trips, with exit code 0."""
    assert rows(server, "-m", "trips", "-w", where) == [{"trips": 250}]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            "pickup_borough=Quens",
            "No row has 'Quens' as pickup_borough.\nwhy: Near it are: 'Queens'.",
        ),
        ("pickup_borough=queens", "Near it are: 'Queens'."),
        ("pickup_borough!=queens", "Near it are: 'Queens'."),
        ("pickup_borough=", "The values are: 'Bronx', 'Brooklyn', 'Manhattan', 'Queens'."),
        ("id=three", "id is a number, and 'three' is not."),
        (
            "pickup_at=yesterday",
            "pickup_at is a time, and 'yesterday' is not a year, month or day.",
        ),
        ("pickup_at=2025-01-01T00:00:00", "is not a year, month or day."),
    ],
)
def test_a_value_that_no_row_has_is_refused_with_near_ones(server, where, said):
    """Bug: `=Quens` gave 0, and `!=queens` counted all rows."""
    done = loc(server, "query", "-m", "trips", "-w", where)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert done.stdout == ""


def test_a_value_is_looked_for_among_the_rows_that_the_claims_let_one_see(server):
    done = loc(
        server,
        "query",
        "-m",
        "trips",
        "-w",
        "pickup_borough=Bronx",
        "--claims",
        '{"boroughs": ["Queens"]}',
    )
    assert done.returncode == 2 and "'Queens'" in done.stderr and "Brooklyn" not in done.stderr


@pytest.mark.parametrize(
    ("where", "trips"),
    [
        (["pickup_at=2025"], 1000),
        (["pickup_at=2025-01"], 1000),
        (["pickup_at=2025-01-01"], 1000),
        (["pickup_at=2025-01-02"], 0),
        (["pickup_at!=2025-01-02"], 1000),
        (["pickup_at!=2025-01"], 0),
        (["pickup_at=2024", "pickup_at = 2025"], 1000),
        (["id=7", "id= 8"], 2),
        (["id!=7"], 999),
        (["pickup_borough=Queens", "pickup_borough=Bronx"], 500),
        (["pickup_borough=Queens", "pickup_at=2024"], 0),
        (["id=7..9"], 3),
        (["id=7..9", "id=20"], 4),
        (["id>=990"], 10),
        (["id!=7..9"], 997),
        (["id!=..997"], 2),
        (["id>7", "id < 9"], 1),
        (["pickup_at=2024-12..2025-01"], 1000),
        (["pickup_at<2025"], 0),
        (["pickup_at!=2025-01-02.."], 1000),
        (["pickup_at>2024-12-31"], 1000),
    ],
)
def test_a_time_is_compared_by_its_period_and_a_number_as_a_number(server, where, trips):
    """Bug: `pickup_at=2025-01-01` meant only the first moment of that day."""
    asked = [part for each in where for part in ("-w", each)]
    assert rows(server, "-m", "trips", *asked) == [{"trips": trips}]


def test_a_number_is_ordered_as_a_number(server):
    """Bug: hours came in the order of the metric, the busiest first."""
    asked = ("-m", "revenue", "-d", "id", "--where", "id=8..11")
    assert [row["id"] for row in rows(server, *asked)] == [8, 9, 10, 11]


@pytest.mark.parametrize(("currency", "amount"), [("", "$100.00"), (", currency: EUR", "€100.00")])
def test_a_table_shows_the_format_of_the_definition(small, server, currency, amount):
    """Bug: a format with decimals, which arrives as an object, was ignored."""
    model = MODEL.replace(
        "sql: amount, type: sum", f"sql: amount, type: sum, format: currency_2{currency}"
    )
    (small / "trips.yml").write_text(model)
    try:
        shown = loc(server, "query", "-m", "revenue").stdout
    finally:
        (small / "trips.yml").write_text(MODEL)
    assert amount in shown


def test_everything_that_can_be_asked_for_is_listed(server):
    shown = loc(server, "query", "--list").stdout
    assert all(name in shown for name in ("trips", "revenue", "pickup_at", "pickup_borough"))


def test_a_misspelt_metric_is_named_with_its_neighbours(server):
    done = loc(server, "query", "-m", "revenu")
    assert (
        done.returncode == 2
        and "There is no metric 'revenu'" in done.stderr
        and "revenue" in done.stderr
    )


def test_a_minted_token_opens_the_api_until_it_ends(server):
    token = loc(server, "token", "--claims", '{"boroughs": ["Queens"]}').stdout.strip()
    address = f"http://127.0.0.1:{server.port}/cubejs-api/v1/load"
    query = {"query": json.dumps({"measures": ["trips.trips"]})}
    assert httpx.get(address, params=query).status_code == 403
    answer = httpx.get(address, params=query, headers={"authorization": token}, timeout=60)
    assert answer.json()["data"] == [{"trips.trips": "250"}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--claims", '{"origins": ["JFK"]}'], "No rule reads the claim origins."),
        ([], "It is not said which rows the token sees."),
        (
            ["--all-rows", "--claims", '{"boroughs": ["Queens"]}'],
            "--all-rows and --claims contradict.",
        ),
    ],
)
def test_a_token_is_minted_for_rows_that_are_said(server, arguments, said):
    """Bug: `loc token` signed a claim that no rule reads, and this token saw every row."""
    done = loc(server, "token", *arguments)
    assert done.returncode == 2 and said in done.stderr and done.stdout == "", done.stderr
    assert "boroughs" in done.stderr
    token = loc(server, "token", "--all-rows").stdout.strip()
    headers = {"authorization": token}
    query = {"query": json.dumps({"measures": ["trips.trips"]})}
    answer = httpx.get(
        f"http://127.0.0.1:{server.port}/cubejs-api/v1/load",
        params=query,
        headers=headers,
        timeout=60,
    )
    assert answer.json()["data"] == [{"trips.trips": "1000"}]


def test_a_query_with_a_claim_that_no_rule_reads_is_refused(server):
    done = loc(server, "query", "-m", "trips", "--claims", '{"origins": ["JFK"]}')
    assert (
        done.returncode == 2
        and "No rule reads the claim origins." in done.stderr
        and done.stdout == ""
    )
    silent = loc(server, "query", "-m", "trips", "--claims", "{}")
    assert (
        silent.returncode == 1 and "says nothing of rows" in silent.stderr and silent.stdout == ""
    )
