"""The platform works with any domain: here a shop, in a clone without the demonstration.

The tests take two minutes, because six services start.
"""

import json
from pathlib import Path

import pytest
from clone import Clone
from descriptions import undescribed_columns
from words import domain_words

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(600)]


def test_the_shop_is_published_with_its_figures_and_its_audit(shop: Clone):
    (count, total) = shop.published("select count(*), sum(amount) from marts.mart_orders")[0]
    assert count == 180
    figures = dict(
        shop.published("select metric, figure from marts.metric_figures where dimension = ''")
    )
    assert figures == {"order_count": "180", "sales": total}
    assert shop.published("select tests_passed from marts.publication") == [[8]]


def test_a_second_refresh_finds_nothing_new(shop: Clone):
    before = shop.published("select max(version_id) from marts.publication")
    shop.loc("refresh", "--direct")
    assert shop.published("select max(version_id) from marts.publication") == before


def test_what_is_generated_is_what_the_metrics_say(shop: Clone):
    assert "agree with the definitions" in shop.loc("generate", "--check").stdout


@pytest.mark.slow
def test_every_door_gives_the_figures_of_metricflow(shop: Clone):
    """The parity suite runs unchanged in the clone.

    It asks the recorded figures, the dataset, Cube, Superset, a notebook, and ask.
    """
    done = shop.python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-skips", "tests/parity"),
        PLATFORM_OF_TESTS=str(Path(shop.variables["LOC_DATA"]).parent),
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout.splitlines()[-1]


def test_every_column_of_every_mart_is_described(shop: Clone):
    file = Path(shop.loc("db", "path").stdout.strip())
    assert undescribed_columns(file.parent) == []


def test_the_fork_touches_no_file_of_the_platform(shop: Clone):
    """A fork that does not edit proto_loc/ merges the platform's next version without a
    conflict.
    """
    assert shop.git("diff", "--name-only", "upstream", "--", "proto_loc") == ""
    assert shop.git("status", "--porcelain", "--", "proto_loc") == ""
    assert "dbt/models/marts/mart_orders.sql" in shop.git("diff", "--name-only", "upstream")


BY_COUNTRY = "from marts.mart_orders group by country order by country"


def test_the_tools_of_mcp_give_the_shop_to_a_model(shop: Clone, cube):
    calls = [
        ("list_metrics", {}),
        ("query_metrics", {"metrics": ["sales"], "dimensions": ["country"], "order": "country"}),
        ("run_sql", {"sql": f"select country, sum(amount) {BY_COUNTRY}"}),
        ("show_lineage", {"table": "marts.mart_orders"}),
    ]  # fmt: skip
    done = shop.run(
        shop.folder / ".venvs/notebooks/bin/python",
        shop.folder / "tests/mcp/sdk_client.py",
        "stdio",
        stdin=json.dumps(calls),
    )
    metrics, measured, selected, lineage = json.loads(done.stdout)["results"]
    assert not any(result["error"] for result in (metrics, measured, selected, lineage)), (
        done.stdout
    )
    (model,) = metrics["data"]["semantic_models"]
    assert [metric["name"] for metric in model["metrics"]] == ["order_count", "sales"]
    assert (
        measured["data"]["rows"] == selected["data"]["rows"] and len(measured["data"]["rows"]) == 3
    )
    assert "shop.orders" in lineage["text"]


def test_discovery_profiles_the_mart(shop: Clone):
    summary = json.loads(shop.loc("discover", "--json", "--no-narrative").stdout)
    assert any("country" in finding for finding in summary["findings"])
    report = Path(summary["report"]).read_text()
    assert "Orders" in report and "product" in report


def test_the_state_of_the_platform_has_its_sources_metrics_and_lineage(shop: Clone):
    """The home page shows what this command prints."""
    state = json.loads(shop.loc("status", "--json", check=False).stdout)
    tables = {row["table"]: row for row in state["tables"]}
    assert set(tables) == {"customers", "orders"} and state["steps"] == []
    assert all(row["rows"] > 0 and row["unpublished"] == 0 for row in tables.values())
    metrics = {row["name"]: row for row in state["metrics"]}
    assert set(metrics) == {"order_count", "sales"}
    (count,) = shop.published("select count(*) from marts.mart_orders")
    assert [metrics["order_count"]["figure"]] == count
    mart = next(row for row in state["marts"] if row["name"] == "marts.mart_orders")
    assert mart["sources"] == ["shop.customers", "shop.orders"]
    assert mart["metrics"] == ["order_count", "sales"]


BENCHMARKS = {
    "warehouse": (
        "--size-mb 1 --repeat 1 --seconds 1 --writers 1 --readers 1",
        "publish, 1 MB",
    ),
    # the benchmark fails if the two do not make the same tables
    "pipeline": ("--rows 500 --repeat 2", "dbt, 500 rows"),
    # the benchmark fails if Cube and the SQL answer differently
    "cube": (
        "--rows 500 --repeat 1 --seconds 2 --clients 1 --publishes 1",
        "20 days, by country",
    ),
}
"""By name: options for a small run, which does not measure speed, and a figure with a floor."""


@pytest.mark.parametrize(
    "name",
    ["warehouse", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pipeline", "cube"))],
)
def test_a_benchmark_runs_and_leaves_a_persons_data_alone(shop: Clone, name: str):
    latest = "select max(version_id) from marts.publication"
    before = shop.published(latest)
    options, expected = BENCHMARKS[name]
    result = json.loads(shop.loc("bench", name, *options.split(), "--json").stdout)
    ratios = {figure["name"]: figure["ratio"] for figure in result["figures"]}
    assert ratios[expected] > 0 and result["faults"] == []
    assert shop.published(latest) == before


def test_a_benchmark_of_what_the_project_lacks_says_so(shop: Clone, bare: Clone):
    done = shop.loc("bench", "superset", check=False)
    assert done.returncode == 1 and "There is no chart to measure" in done.stderr
    done = bare.loc("bench", "pipeline", check=False)
    assert done.returncode == 1 and "needs a source with a sample" in done.stderr


def test_every_command_that_shows_the_platform_works(shop: Clone):
    for command in (["db", "history"], ["db", "path"], ["urls"]):
        assert shop.loc(*command).stdout


def test_no_page_for_people_or_models_names_the_demonstration(shop: Clone):
    """The pages come from the metrics and models of the project."""
    shown = [
        shop.loc(*command).stdout
        for command in (["discover", "--json", "--no-narrative"], ["db", "history"])
    ]
    assert domain_words("\n".join(shown)) == []
