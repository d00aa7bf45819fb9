"""Texts for people and models come from a project's own definitions; the project here is a shop."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from proto_loc import warehouse
from proto_loc.ai import context, prompts
from proto_loc.ai.asking.queries import reader_of
from proto_loc.errors import LocError
from proto_loc.settings import ROOT

TAXI = re.compile(
    r"taxi|\btrips?\b|borough|\bzone|pickup|dropoff|\btlc\b|\bfares?\b|yellow|\bgreen\b|synthetic",
    re.IGNORECASE,
)
CLIENT = [ROOT / ".venvs/notebooks/bin/python", ROOT / "tests/mcp/sdk_client.py"]
COLUMNS = {
    "order_id": ("integer", "Key of the order."),
    "ordered_at": ("timestamp", "When the customer ordered."),
    "country": ("varchar", "Country of the customer."),
    "amount": ("decimal(12,2)", "What the customer paid."),
}
ORDERS = """
create schema marts;
create table marts.mart_orders as select i as order_id,
    timestamp '2025-01-01' + to_hours(i * 5) as ordered_at,
    ['Norway', 'Chile', 'Japan'][1 + i % 3] as country, (i % 50)::decimal(12, 2) as amount
    from range(400) r(i)
"""
RECORDS = """
create table marts.publication as select 1 as version_id, 'file' as origin, 3 as tests_passed,
    0 as tests_warned;
create table marts.metric_figures (metric varchar, dimension varchar, value varchar, figure varchar)
"""


def metric(name: str, measure: str, description: str, **meta: str) -> dict:
    given = {
        "name": measure,
        "filter": None,
        "join_to_timespine": False,
        "fill_nulls_with": None,
    }
    return {
        "name": name,
        "label": None,
        "description": description,
        "type": "simple",
        "original_file_path": "models/marts/mart_orders.yml",
        "config": {"meta": meta},
        "filter": None,
        "type_params": {"measure": given, "input_measures": [{"name": measure}]},
    }


def manifest(metrics: bool) -> dict:
    """dbt's manifest of a shop with one mart, with the parts that the platform reads."""
    node = {
        "resource_type": "model",
        "name": "mart_orders",
        "alias": "mart_orders",
        "schema": "marts",
        "description": "One row is one order of a customer.",
        "original_file_path": "models/marts/mart_orders.sql",
        "patch_path": "shop://models/marts/mart_orders.yml",
        "config": {"contract": {"enforced": True}},
        "columns": {
            name: {"name": name, "data_type": kind, "description": text}
            for name, (kind, text) in COLUMNS.items()
        },
    }
    common = {"is_partition": False, "label": None, "expr": None}
    measure = {"non_additive_dimension": None, "agg_time_dimension": None}
    semantic = {
        "name": "orders",
        "label": None,
        "description": "Orders of customers.",
        "original_file_path": "models/marts/mart_orders.yml",
        "depends_on": {"nodes": ["model.shop.mart_orders"]},
        "entities": [{"name": "order", "type": "primary"}],
        "primary_entity": None,
        "defaults": {"agg_time_dimension": "ordered_at"},
        "config": {"meta": {}},
        "measures": [
            measure | {"name": "orders_made", "agg": "count", "expr": "order_id"},
            measure | {"name": "paid", "agg": "sum", "expr": "amount"},
        ],
        "dimensions": [
            common
            | {
                "name": "ordered_at",
                "type": "time",
                "type_params": {"time_granularity": "hour"},
                "description": "When the customer ordered.",
            },
            common
            | {
                "name": "country",
                "type": "categorical",
                "type_params": None,
                "description": "Country of the customer.",
            },
        ],
    }
    defined = [
        metric("sales", "paid", "What customers paid.", format="money"),
        metric("order_count", "orders_made", "Orders.", format="count"),
    ]
    return {
        "nodes": {"model.shop.mart_orders": node},
        "sources": {},
        "parent_map": {},
        "child_map": {},
        "semantic_models": {"semantic_model.shop.orders": semantic} if metrics else {},
        "metrics": {f"metric.shop.{each['name']}": each for each in defined} if metrics else {},
    }


def publish(sql: str, content: dict) -> warehouse.Version:
    with warehouse.write("prod", who="test") as session:
        with session.connect() as con:
            con.execute(sql)
        (session.folder / "dbt").mkdir()
        (session.folder / "dbt/manifest.json").write_text(json.dumps(content))
    return warehouse.current("prod")


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> dict[str, str]:
    """Environment variables of a platform with 400 orders. Do not change it: tests share it."""
    return _home(tmp_path_factory.mktemp("shop"), ORDERS + ";" + RECORDS, manifest(metrics=True))


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict[str, str]:
    """A shop without metrics."""
    return _home(tmp_path_factory.mktemp("plain"), ORDERS + ";" + RECORDS, manifest(metrics=False))


def _home(folder: Path, sql: str, content: dict) -> dict[str, str]:
    variables = {"LOC_DATA": str(folder / "data"), "LOC_RUN": str(folder / "run")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        publish(sql, content)
    return variables


@pytest.fixture
def use(monkeypatch):
    """Switches this process to a platform; returns the parts of its published version."""

    def switch(variables: dict[str, str]) -> context.Published:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        version = warehouse.current("prod")
        return context.published(reader_of(version), version)

    return switch


def run(*arguments: str, variables: dict[str, str], **settings: str):
    return subprocess.run(
        [ROOT / "loc", *arguments],
        env=os.environ | variables | settings,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("cube", [True, False])
def test_the_prompt_speaks_of_the_projects_own_metrics(use, shop, cube):
    prompt = prompts.ask(use(shop), cube)
    assert not TAXI.findall(prompt)
    for own in ("marts.mart_orders", '"metrics": ["order_count"]', "country=Chile", "Norway"):
        assert own in prompt, own
    assert ("service is down" in prompt) is not cube


def test_without_a_metric_the_prompt_offers_sql_alone(use, plain):
    prompt = prompts.ask(use(plain), cube=True)
    assert not TAXI.findall(prompt) and '"metrics"' not in prompt and "first form" not in prompt
    assert '{"sql"' in prompt and "marts.mart_orders" in prompt


def test_without_a_question_ask_shows_one_of_the_projects_own(shop, plain):
    done = run("ask", variables=shop)
    assert done.returncode == 2 and 'loc ask "Order count by country, largest first"' in done.stderr
    done = run("ask", variables=plain)
    assert done.returncode == 2 and "Write it after `loc ask`." in done.stderr


def test_a_model_is_told_of_the_shop_and_nothing_else(shop, model):
    sql = "select country, sum(amount) as sales from mart_orders group by all order by 1"
    server, settings = model([json.dumps({"sql": sql})])
    done = run("ask", "Sales?", "-f", "csv", variables=shop, **settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1].startswith("Chile,") and not TAXI.findall(server.received)


def mcp(variables: dict[str, str], *calls: tuple) -> dict:
    done = subprocess.run(
        [*CLIENT, "stdio"],
        input=json.dumps(calls),
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_tools_of_mcp_speak_of_the_projects_own_metrics(shop):
    answer = mcp(shop, ("list_metrics", {}), ("list_columns", {"table": "mart_orders"}))
    assert not TAXI.findall(json.dumps(answer))
    descriptions = {tool["name"]: tool["description"] for tool in answer["tools"]}
    assert '"order_count"' in descriptions["query_metrics"]
    assert "Orders" in answer["instructions"]
    (found,) = answer["results"][0]["data"]["semantic_models"]
    assert {each["name"] for each in found["metrics"]} == {"sales", "order_count"}


def test_without_a_metric_mcp_says_what_to_do(plain):
    answer = mcp(plain, ("list_metrics", {}), ("list_tables", {}))
    metrics, tables = answer["results"]
    assert metrics["error"] and "docs/metrics.md" in metrics["text"]
    assert not tables["error"] and "For example" not in json.dumps(answer["tools"])


def test_a_report_speaks_of_the_shop(shop, tmp_path):
    page = tmp_path / "report.html"
    done = run("discover", "--no-narrative", "--out", str(page), variables=shop)
    assert done.returncode == 0, done.stderr
    text = re.sub(r"base64,[^\"]*", "", page.read_text())
    assert not TAXI.findall(done.stdout + text.partition("</head>")[2])
    assert "Orders of customers." in text and "Origin of the data: file." in text


def test_without_a_metric_a_report_says_what_to_do(plain):
    done = run("discover", "--no-narrative", variables=plain)
    assert done.returncode == 1 and "docs/metrics.md" in done.stderr


def test_without_a_table_it_says_what_to_do(use, tmp_path):
    empty = manifest(metrics=False) | {"nodes": {}}
    with pytest.raises(LocError, match=r"holds no table to ask about.*dbt/models/marts"):
        use(_home(tmp_path, f"create schema marts; {RECORDS}", empty))
