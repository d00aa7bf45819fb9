"""Tests of the MCP server with the SDK's client, over stdio and HTTP."""

import json
import subprocess

import httpx
import psutil
import pytest

from proto_loc import credentials, warehouse
from proto_loc.ai import context
from proto_loc.cube.client import Question
from proto_loc.metrics.read import read
from proto_loc.refresh.job import load_and_refresh
from proto_loc.settings import ROOT, settings
from proto_loc.web.origins import MAX_BODY

pytestmark = pytest.mark.xdist_group("mcp")

TOOLS = {
    "list_metrics",
    "query_metrics",
    "list_tables",
    "list_columns",
    "run_sql",
    "show_freshness",
    "show_lineage",
}


@pytest.fixture(scope="module")
def answers(mcp) -> dict:
    """The answers to valid calls of one session, by tool."""
    calls = [
        ("list_metrics", {}),
        (
            "query_metrics",
            {
                "metrics": ["revenue", "trips"],
                "dimensions": ["pickup_borough"],
                "order": "-revenue",
            },
        ),
        ("list_tables", {}),
        ("list_columns", {"table": "mart_taxi_trips"}),
        (
            "run_sql",
            {
                "sql": "select pickup_borough, sum(total_amount), max(pickup_at)"
                " from marts.mart_taxi_trips group by all order by 2 desc;"
            },
        ),
        ("show_freshness", {}),
        ("show_lineage", {"table": "marts.mart_taxi_trips"}),
    ]
    found = mcp(*calls)
    assert [result["text"] for result in found["results"] if result["error"]] == []
    by_tool = {
        name: result["data"] for (name, _), result in zip(calls, found["results"], strict=True)
    }
    return by_tool | {"tools": found["tools"]}


@pytest.fixture
def con(platform):
    with warehouse.read("prod") as con:
        yield con


def test_each_tool_says_what_it_does_takes_and_gives_and_that_it_only_reads(answers):
    assert {tool["name"] for tool in answers["tools"]} == TOOLS
    for tool in answers["tools"]:
        assert len(tool["description"]) > 40 and tool["annotations"]["read_only_hint"], tool["name"]
        assert tool["output_schema"]["properties"], tool["name"]
        for name, argument in tool["input_schema"].get("properties", {}).items():
            assert argument.get("description"), f"{tool['name']} {name}"


def test_a_metric_is_the_figure_of_the_warehouse(answers, con):
    rows = answers["query_metrics"]["rows"]
    assert rows == [
        [borough, float(revenue), trips]
        for borough, revenue, trips in con.sql(
            "select pickup_borough, sum(total_amount), count(*) from marts.mart_taxi_trips group by"
            " all order by 2 desc"
        ).fetchall()
    ]
    assert answers["query_metrics"]["version"] == warehouse.current("prod").id


def test_sql_gives_the_same(answers):
    assert [row[:2] for row in answers["run_sql"]["rows"]] == [
        row[:2] for row in answers["query_metrics"]["rows"]
    ]
    assert answers["run_sql"]["rows"][0][2].startswith("2025-")


def test_a_condition_means_in_cube_what_it_means_in_sql(mcp, con):
    """Bug: in SQL, `!=` left out the rows without a value, and a date meant one moment.

    The evaluation of `ask` compares answers with this SQL.
    """
    conditions = [
        ["pickup_borough = 'Queens'"],
        ["payment_type!=Cash"],
        ["pickup_hour=7", "pickup_hour=8"],
        ["pickup_hour!=7"],
        ["pickup_at=2025-01"],
        ["pickup_at!=2025-01-05"],
        ["pickup_at=2025-01-05", "pickup_at=2025-01-06"],
    ]
    models = tuple(read(context.definitions(warehouse.current("prod"))))
    found = mcp(
        *(("query_metrics", {"metrics": ["trips"], "where": where}) for where in conditions)
    )
    for where, result in zip(conditions, found["results"], strict=True):
        assert not result["error"], result["text"]
        (trips,) = con.execute(
            context.sql(Question(("trips",), where=tuple(where)), models)
        ).fetchone()
        assert result["data"]["rows"] == [[trips]] and trips > 0, where


def test_a_value_that_no_row_has_is_refused_with_near_ones(mcp):
    """Bug: a model that wrote `queens` got 0."""
    calls = [
        ("query_metrics", {"metrics": ["trips"], "where": [f"pickup_borough{end}"]})
        for end in ("=quens", "!=Quens")
    ]
    for result in mcp(*calls)["results"]:
        assert result["error"] and "Near it are: 'Queens'." in result["text"], result["text"]


def test_metrics_and_columns_come_with_their_descriptions(answers, con):
    models = {model["name"]: model for model in answers["list_metrics"]["semantic_models"]}
    assert set(models) == {"taxi_trips", "data_quality"}
    metrics = {metric["name"]: metric for metric in models["taxi_trips"]["metrics"]}
    assert (
        metrics["revenue"]["format"] == "money" and "charged" in metrics["revenue"]["description"]
    )
    dimensions = {each["name"]: each for each in models["taxi_trips"]["dimensions"]}
    assert "Queens" in dimensions["pickup_borough"]["values"] and dimensions["pickup_at"]["grain"]
    columns = answers["list_columns"]["columns"]
    assert len(columns) == len(con.sql("describe marts.mart_taxi_trips").fetchall())
    assert all(column["description"] for column in columns)


def test_tables_freshness_and_lineage_are_those_of_what_is_published(answers, con):
    tables = {table["name"]: table["rows"] for table in answers["list_tables"]["tables"]}
    assert (
        tables["marts.fct_taxi_trips"] == con.table("marts.fct_taxi_trips").count("*").fetchone()[0]
    )
    fresh = answers["show_freshness"]
    assert (fresh["origin"], fresh["loads_waiting"]) == ("synthetic", 0) and fresh[
        "tests_passed"
    ] > 0
    assert sum(load["rows"] for load in fresh["loads"]) == 20_000
    lineage = answers["show_lineage"]
    assert lineage["defined_in"] == "dbt/models/marts/mart_taxi_trips.sql"
    assert "marts.fct_taxi_trips" in lineage["reads"] and "revenue" in lineage["metrics"]
    assert lineage["sources"] == ["taxi.green_trips", "taxi.yellow_trips"]


REFUSED = [
    ("run_sql", {"sql": "select * from read_csv('/etc/passwd')"}, "read_csv is not allowed"),
    ("run_sql", {"sql": "drop view marts.mart_taxi_trips"}, "SELECT"),
    ("run_sql", {"sql": "attach '/tmp/x.duckdb'"}, "SELECT"),
    ("run_sql", {"sql": "select 1; select 2"}, "Only one statement"),
    ("run_sql", {"sql": "select nosuch from marts.mart_taxi_trips"}, "nosuch"),
    ("run_sql", {"sql": "select 1", "limit": 100_000}, "less than or equal to 1000"),
    ("run_sql", {"sql": ""}, "no statement"),
    ("query_metrics", {"metrics": ["nosuch"]}, "There is no metric 'nosuch'"),
    ("query_metrics", {"metrics": ["revenue", "rows_loaded"]}, "several cubes"),
    ("query_metrics", {"metrics": []}, "at least 1 item"),
    ("query_metrics", {"metrics": ["trips"], "since": "yesterday"}, "pattern"),
    ("list_columns", {"table": "passwd"}, "There is no table 'passwd'"),
    ("show_lineage", {"table": "publication"}, "no lineage"),
    ("nosuch", {}, "Unknown tool"),
]


@pytest.fixture(scope="module")
def refusals(mcp) -> list[dict]:
    """The errors that one session returns for each call of :data:`REFUSED`, in order."""
    return mcp(*((tool, arguments) for tool, arguments, _ in REFUSED))["results"]


@pytest.mark.parametrize(
    ("at", "said"),
    enumerate(said for _, _, said in REFUSED),
    ids=[f"{tool}: {said}" for tool, _, said in REFUSED],
)
def test_what_cannot_be_done_is_the_tools_error_in_plain_sentences(refusals, at, said):
    result = refusals[at]
    assert result["error"] and said in result["text"], result["text"]
    assert "Traceback" not in result["text"] and result["data"] is None


def test_rows_are_bounded_and_it_says_that_there_were_more(mcp, con):
    found = mcp(
        ("run_sql", {"sql": "select trip_id from marts.mart_taxi_trips", "limit": 7}),
        ("query_metrics", {"metrics": ["trips"], "dimensions": ["pickup_zone"], "limit": 3}),
        (
            "run_sql",
            {"sql": "select count(*) from range(100000) a, range(100000) b, range(10000) c"},
        ),
        ("run_sql", {"sql": "select 1"}),
        (
            "run_sql",
            {
                "sql": (
                    "select 9007199254740993 as n, 'nan'::double as x, 0.1 as d,"
                    " 12345678901234567.89 as m"
                )
            },
        ),
    )["results"]
    assert [len(result["data"]["rows"]) for result in found[:2]] == [7, 3]
    assert all(result["data"]["truncated"] for result in found[:2])
    assert found[2]["error"] and "30 seconds" in found[2]["text"]
    assert found[3]["data"]["rows"] == [[1]], "the server goes on"
    digits = [["9007199254740993", "nan", 0.1, "12345678901234567.89"]]
    assert found[4]["data"]["rows"] == digits, (
        "a client that reads numbers as doubles reads them right"
    )


def test_a_new_version_is_seen_by_a_server_that_is_up(http, platform):
    def ask(sql: str):
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "run_sql", "arguments": {"sql": sql}},
        }
        headers = {
            "authorization": f"Bearer {credentials.secret('mcp')}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-06-18",
        }
        return httpx.post(
            f"{http}/mcp", json=body, headers=headers, trust_env=False, timeout=60
        ).json()["result"]

    before = ask("select count(*) from marts.dim_taxi_zones")["structuredContent"]
    load_and_refresh(None, who="test", report=lambda *_: None, force=True)
    after = ask("select version_id from marts.publication")["structuredContent"]
    assert after["rows"] == [[after["version"]]] and after["version"] == before["version"] + 1


def test_http_gives_what_stdio_gives(mcp, http, platform):
    call = ("query_metrics", {"metrics": ["revenue"], "dimensions": ["pickup_at:month"]})
    over_http = mcp(call, where=(f"{http}/mcp", credentials.secret("mcp")))
    assert over_http["results"] == mcp(call)["results"] and not over_http["results"][0]["error"]


def test_http_lets_in_who_has_the_token_from_this_machine_alone(http):
    def status(token: str = "", **headers: str) -> int:
        known = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.post(
            f"{http}/mcp", json={}, headers=known | headers, trust_env=False
        ).status_code

    token = credentials.secret("mcp")
    assert status() == status("nonsense") == 401
    said = httpx.post(f"{http}/mcp", json={}, trust_env=False).text
    assert (
        said
        == f"Send the token of {credentials.path('mcp')} as the header `Authorization: Bearer`.\n"
    )
    assert status(token, host="evil.example") == 400
    assert status(token, origin="http://evil.example") == status(token, origin="null") == 403
    large = {"content": bytes(MAX_BODY + 1), "headers": {"authorization": f"Bearer {token}"}}
    assert httpx.post(f"{http}/mcp", trust_env=False, **large).status_code == 413
    assert status(token, accept="application/json, text/event-stream") == 400, (
        "let in, and no message of the protocol"
    )
    listening = [
        connection.laddr
        for connection in psutil.net_connections("tcp")
        if connection.status == "LISTEN" and connection.laddr.port == settings().port("mcp")
    ]
    assert [address.ip for address in listening] == ["127.0.0.1"]


def test_a_port_that_is_taken_is_named(http, platform):
    done = subprocess.run(
        [ROOT / "loc", "mcp", "--http"], capture_output=True, text=True, timeout=60
    )
    assert (
        done.returncode == 1
        and f"MCP cannot listen on port {settings().port('mcp')}." in done.stderr
    )


def test_stdout_holds_the_protocol_and_nothing_else(platform):
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    done = subprocess.run(
        [ROOT / "loc", "mcp"],
        input=json.dumps(hello) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 1 and lines[0]["result"]["serverInfo"]["name"] == "proto_loc"
    assert "metric" in lines[0]["result"]["instructions"]


def test_no_rows_are_given_to_a_model_where_the_setting_says_so(mcp):
    found = mcp(
        ("list_metrics", {}),
        ("list_columns", {"table": "mart_taxi_trips"}),
        ("run_sql", {"sql": "select 1"}),
        ("query_metrics", {"metrics": ["trips"]}),
        LOC_LLM_SEND_ROWS="0",
    )["results"]
    assert "Queens" not in json.dumps(found)
    assert [result["error"] for result in found] == [False, False, True, True]
    assert "LOC_LLM_SEND_ROWS" in found[2]["text"]


def test_without_cube_the_metrics_say_so_and_the_rest_works(mcp):
    ports = {
        connection.laddr.port for connection in psutil.net_connections("tcp") if connection.laddr
    }
    free = next(prefix for prefix in ("", *"12345") if int(f"{prefix}4000") not in ports)
    found = mcp(
        ("query_metrics", {"metrics": ["trips"]}),
        ("run_sql", {"sql": "select 1"}),
        LOC_PORT_PREFIX=free,
    )
    found = found["results"]
    assert found[0]["error"] and "./loc up -d --only cube" in found[0]["text"]
    assert not found[1]["error"]


def test_without_data_it_says_what_to_do(mcp, tmp_path):
    (found,) = mcp(("list_tables", {}), LOC_DATA=str(tmp_path / "data"))["results"]
    assert found["error"] and "loc refresh" in found["text"]
