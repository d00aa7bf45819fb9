"""One claim gives the same rows of the shop through every interface.

The tests start Cube, MCP and Superset, so they take a minute.
"""

import json
from collections.abc import Callable

import pytest
from clone import Clone, lend_superset

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(600)]

FRANCE = {"countries": ["France"]}
SQL = "select country, count(*) as order_count from marts.mart_orders group by all order by all"
METRICS = {"metrics": ["order_count"], "dimensions": ["country"], "order": "country"}


@pytest.fixture(scope="module")
def orders(shop: Clone) -> list[list]:
    """The published orders by country."""
    rows = shop.published(SQL)
    assert [country for country, _ in rows] == ["France", "Italy", "Spain"]
    return rows


@pytest.fixture
def doors(shop: Clone, cube: None, model: Callable) -> Callable:
    """Queries the orders by country with these claims, through every interface but Superset.

    ``None`` means no claims. It returns the rows by interface, or the text of the error.
    """

    def ask(claims: dict | None) -> dict[str, list | str]:
        option = () if claims is None else ("--claims", json.dumps(claims))
        answers = {"Cube": query_cube(shop, option)}
        answers |= call_mcp(shop, option)
        for form, text in (("metrics", json.dumps(METRICS)), ("SQL", json.dumps({"sql": SQL}))):
            _, settings = model([text, text])  # a failed query is repeated once
            answers[f"ask, {form}"] = ask_model(shop, option, settings)
        return answers

    return ask


def query_cube(shop: Clone, option: tuple) -> list | str:
    names = ("-m", "order_count", "-d", "country", "--order", "country")
    done = shop.loc("query", *names, "-f", "json", *option, check=False)
    return rows_of(done)


def ask_model(shop: Clone, option: tuple, settings: dict) -> list | str:
    done = shop.loc("ask", "Orders by country?", "-f", "json", *option, check=False, **settings)
    return rows_of(done)


def rows_of(done) -> list | str:
    """Return the rows that a command printed as JSON, or its error message."""
    if done.returncode:
        assert done.stdout == "" and "Traceback" not in done.stderr
        return done.stderr
    printed = json.loads(done.stdout)
    rows = printed["rows"] if isinstance(printed, dict) else printed
    return [list(row.values()) if isinstance(row, dict) else row for row in rows]


def call_mcp(shop: Clone, option: tuple) -> dict[str, list | str]:
    client = shop.folder / "tests/mcp/sdk_client.py"
    done = shop.run(
        *(shop.folder / ".venvs/notebooks/bin/python", client, "stdio", *option),
        stdin=json.dumps([("query_metrics", METRICS), ("run_sql", {"sql": SQL})]),
    )
    return {
        f"MCP, {form}": result["text"] if result["error"] else result["data"]["rows"]
        for form, result in zip(("metrics", "SQL"), json.loads(done.stdout)["results"], strict=True)
    }


IN_SUPERSET = (
    "import os, sys; from proto_loc import services\n"
    "command, environment = services.start('superset-provision')\n"
    "os.execvpe(command[0], [command[0], '-P', sys.argv[1]], environment)"
)
"""Runs a program in Superset's environment, with the settings and secrets of its provisioning."""


@pytest.fixture(scope="module")
def superset(shop: Clone, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    """By person: the status and the rows of one chart in Superset."""
    lend_superset(shop, tmp_path_factory)
    shop.loc("exec", "superset-provision")
    people = {
        "paris": ["Viewer", "Paris"],
        "paris-analyst": ["Analyst", "Paris"],
        "nobody": ["Viewer"],
        "everybody": ["Viewer", "All rows"],
    }
    program = shop.folder / "tests/platform/superset_rows.py"
    done = shop.python("-c", IN_SUPERSET, program, stdin=json.dumps(people))
    return json.loads(done.stdout.splitlines()[-1])


def test_a_claim_gives_the_same_rows_through_cube_superset_mcp_and_ask(doors, superset, orders):
    """In Superset, the shop's role Paris has the same claim."""
    france = [row for row in orders if row[0] == "France"]
    answers = doors(FRANCE)
    assert len(answers) == 5 and all(rows == france for rows in answers.values()), answers
    assert superset["paris"] == superset["paris-analyst"] == [200, france]


def test_no_claim_gives_no_rows_where_a_rule_exists(doors, superset, orders):
    answers = doors({})
    assert len(answers) == 5
    for door, refusal in answers.items():
        assert isinstance(refusal, str), f"{door} gave {refusal}"
        assert "sees none" in refusal or "may not be read" in refusal, f"{door}: {refusal}"
        assert not any(str(count) in refusal for _, count in orders), f"{door}: {refusal}"
    assert superset["nobody"] == [200, []]


@pytest.mark.slow
def test_whoever_may_see_all_rows_sees_the_same_through_every_door(doors, superset, orders):
    answers = doors(None)
    assert len(answers) == 5 and all(rows == orders for rows in answers.values()), answers
    status, rows = superset["everybody"]
    assert (status, sorted(rows)) == (200, orders)


@pytest.mark.slow
def test_a_claim_that_no_rule_reads_is_refused_by_name(doors):
    for door, refusal in doors({"planets": ["Mars"]}).items():
        assert isinstance(refusal, str) and "planets" in refusal, f"{door}: {refusal}"
