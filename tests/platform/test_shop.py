"""The platform serves any domain: a shop's content in a clone without the demonstration's.

The tests take two minutes, because six services start.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from clone import Clone
from test_words import domain_words

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(600)]


def query(shop: Clone, sql: str) -> list:
    """Rows of the published file."""
    done = shop.python(
        "-c",
        "import json, sys; from proto_loc import warehouse\n"
        "with warehouse.read('prod') as con:\n"
        "    print(json.dumps(con.execute(sys.argv[1]).fetchall(), default=str))",
        sql,
    )
    return json.loads(done.stdout)


def test_the_shop_is_published_with_its_figures_and_its_audit(shop: Clone):
    (count, total) = query(shop, "select count(*), sum(amount) from marts.mart_orders")[0]
    assert count == 180
    figures = dict(
        query(shop, "select metric, figure from marts.metric_figures where dimension = ''")
    )
    assert figures == {"order_count": "180", "sales": total}
    assert query(shop, "select tests_passed from marts.publication") == [[6]]


def test_a_second_refresh_finds_nothing_new(shop: Clone):
    before = query(shop, "select max(version_id) from marts.publication")
    shop.loc("refresh", "--direct")
    assert query(shop, "select max(version_id) from marts.publication") == before


def test_what_is_generated_is_what_the_metrics_say(shop: Clone):
    assert "agree with the definitions" in shop.loc("generate", "--check").stdout


def test_every_door_gives_the_figures_of_metricflow(shop: Clone):
    """The suite of the doors runs as it is, in the clone: recorded figures, dataset, Cube,
    Superset, notebook, ask.
    """
    done = shop.python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-skips", "tests/parity"),
        PLATFORM_OF_TESTS=str(Path(shop.variables["LOC_DATA"]).parent),
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout.splitlines()[-1]


def test_the_fork_touches_no_file_of_the_platform(shop: Clone):
    """A fork that never edits proto_loc/ merges the platform's next version without a conflict."""
    assert shop.git("diff", "--name-only", "upstream", "--", "proto_loc") == ""
    assert shop.git("status", "--porcelain", "--", "proto_loc") == ""
    assert "dbt/models/marts/mart_orders.sql" in shop.git("diff", "--name-only", "upstream")


@pytest.fixture(scope="module")
def cube(shop: Clone) -> Iterator[None]:
    """Cube on the shop, started as its supervisor starts it."""
    address = f"http://127.0.0.1:{shop.variables['LOC_PORT_PREFIX']}4000/readyz"
    process = shop.start("exec", "cube")
    try:
        end = time.monotonic() + 90
        while not answers(address):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(30)


def answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def orders_by_country(shop: Clone, claims: dict) -> dict[str, int]:
    """What ``loc query`` shows to whom a token with these claims belongs."""
    done = shop.loc(
        *("query", "-m", "order_count", "-d", "country", "-f", "csv"),
        *(("--claims", json.dumps(claims)) if claims is not None else ()),
    )
    rows = [line.split(",") for line in done.stdout.splitlines()[1:]]
    return {country: int(count) for country, count in rows}


def test_an_access_rule_bounds_the_rows(shop: Clone, cube):
    """A claim gives its rows; where a rule exists, no claim gives none."""
    expected = dict(query(shop, "select country, count(*) from marts.mart_orders group by all"))
    assert orders_by_country(shop, None) == expected and len(expected) == 3
    assert orders_by_country(shop, {"countries": ["France"]}) == {"France": expected["France"]}
    other = shop.loc("query", "-m", "sales", "--claims", '{"planets": ["Mars"]}', check=False)
    assert (other.returncode, other.stdout) == (2, "") and "sees no rows" in other.stderr


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


def test_a_benchmark_runs(shop: Clone):
    done = shop.loc(
        *("bench", "warehouse", "--size-mb", "1", "--repeat", "1", "--seconds", "1"),
        *("--writers", "1", "--readers", "1"),
    )
    assert "publish" in done.stdout


def test_every_command_that_shows_the_platform_works(shop: Clone):
    for command in (["db", "history"], ["db", "path"], ["urls"]):
        assert shop.loc(*command).stdout


def test_no_page_for_people_or_models_names_the_demonstration(shop: Clone):
    """What is shown is made of the metrics and models that the project has."""
    shown = [
        shop.loc(*command).stdout
        for command in (["discover", "--json", "--no-narrative"], ["db", "history"])
    ]
    assert domain_words("\n".join(shown)) == []
