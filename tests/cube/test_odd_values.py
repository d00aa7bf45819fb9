"""Values that once gave wrong results: LIKE's wildcards, large integers, Infinity."""

import json

import pytest
from servers import Server
from test_query_command import loc

from proto_loc import warehouse

pytestmark = pytest.mark.xdist_group("cube")
MODEL = """\
cubes:
  - name: odd
    sql_table: marts.odd
    dimensions:
      - { name: id, sql: id, type: number, primary_key: true, public: true }
      - { name: txt, sql: txt, type: string }
      - { name: big, sql: big, type: number }
      - { name: ubig, sql: ubig, type: number }
      - { name: dec, sql: dec, type: number }
    measures:
      - { name: odds, type: count }
      - { name: amount, sql: amount, type: sum }
      - { name: most, sql: dbl, type: max }
      - { name: big_sum, sql: big, type: sum }
      - { name: wide, sql: wide, type: max }
"""
ROWS = r"""
    (1, 'transfer_only', 10, 9007199254740995, 1.5::double, 18446744073709551615::ubigint,
        12345678901234567.89, 0.1),
    (2, 'transferXonly', 20, 9007199254740996, 'infinity', 1, 0.5, 0.2),
    (3, '50% off', 40, null, 'nan', 2, null, 0.3),
    (4, '50 off', 80, 1, -0.0, 3, null, 0.4),
    (5, null, 160, 2, null, null, null, null),
    (6, 'a\b', 320, 3, 0.0034, 4, 1, 1)
"""


@pytest.fixture(scope="module")
def odd(small, server) -> Server:
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute(
            "create table marts.odd as select id, txt, amount, big::bigint as big, dbl, ubig, "
            "wide::decimal(38, 2) as wide, dec::decimal(4, 2) as dec "
            f"from (values {ROWS}) t(id, txt, amount, big, dbl, ubig, wide, dec)"
        )
    (small / "odd.yml").write_text(MODEL)
    return server


def figure(odd, measure: str, dimension: str, operator: str, *values: str) -> str:
    filters = [{"member": f"odd.{dimension}", "operator": operator, "values": values}]
    return odd.rows({"measures": [f"odd.{measure}"], "filters": filters})[0][f"odd.{measure}"]


@pytest.mark.parametrize(
    ("operator", "value", "amount"),
    [
        ("contains", "transfer_only", "10"),
        ("contains", "%", "40"),
        ("contains", "\\", "320"),
        ("contains", "R_O", "10"),
        ("notContains", "transfer_only", "620"),
        ("startsWith", "50%", "40"),
        ("notStartsWith", "50%", "590"),
        ("endsWith", "_only", "10"),
        ("notEndsWith", "_only", "620"),
        ("startsWith", "a\\", "320"),
    ],
)
def test_wildcards_in_a_value_are_characters(odd, operator, value, amount):
    """Bug: LIKE had no ESCAPE, so `contains "transfer_only"` found nothing.

    `notContains` excluded nothing.
    """
    assert figure(odd, "amount", "txt", operator, value) == amount


@pytest.mark.parametrize(
    ("dimension", "operator", "values", "count"),
    [
        ("big", "equals", ["9007199254740995"], "1"),
        ("big", "equals", ["9007199254740995", "1"], "2"),
        ("big", "notEquals", ["9007199254740995"], "5"),
        ("big", "gt", ["9007199254740995"], "1"),
        ("big", "lte", ["9007199254740995"], "4"),
        ("ubig", "equals", ["18446744073709551615"], "1"),
        ("ubig", "equals", ["18446744073709551614"], "0"),
        ("dec", "equals", ["0.1"], "1"),
        ("dec", "equals", ["0.10"], "1"),
        ("dec", "gt", ["0.3"], "2"),
        ("big", "equals", ["1.5"], "0"),
        ("big", "equals", ["1e0"], "1"),
    ],
)
def test_numbers_are_compared_digit_by_digit(odd, dimension, operator, values, count):
    """Bug: compared as doubles, 9007199254740995 was equal to its neighbour."""
    assert figure(odd, "odds", dimension, operator, *values) == count


def test_numbers_are_answered_digit_by_digit(odd):
    assert odd.rows({"measures": ["odd.big_sum", "odd.wide"]}) == [
        {"odd.big_sum": "18014398509481997", "odd.wide": "12345678901234567.89"}
    ]


def test_a_number_that_json_has_rounded_already_is_refused(odd):
    """JavaScript reads 9007199254740995 without quotes as 9007199254740996, the id of
    another row.
    """
    filters = [{"member": "odd.big", "operator": "equals", "values": [9007199254740995]}]
    answer = odd.ask({"measures": ["odd.odds"], "filters": filters})
    assert answer.status_code == 400 and "in quotes" in answer.json()["error"]
    text = "query ($v: Float) { cube { odd(where: {big: {equals: $v}}) { odds } } }"
    answer = odd.post("/cubejs-api/graphql", {"query": text, "variables": {"v": 9007199254740995}})
    assert "in quotes" in answer.text and '"odds"' not in answer.text


def test_graphql_gives_no_rounded_figure(odd):
    """GraphQL's Float is a double; a figure that a double would round is refused.

    The error says how to get the exact figure.
    """
    answer = odd.post("/cubejs-api/graphql", {"query": "{ cube { odd { big odds } } }"}).json()
    assert (
        "ask by REST" in answer["errors"][0]["message"]
        and "9007199254740995" in answer["errors"][0]["message"]
    )
    answer = odd.post("/cubejs-api/graphql", {"query": "{ cube { odd { amount } } }"}).json()
    assert answer["data"]["cube"] == [{"odd": {"amount": 630}}]
    where = "{ cube { odd(where: {big: {equals: 9007199254740995}}) { odds } } }"
    assert odd.post("/cubejs-api/graphql", {"query": where}).json()["data"]["cube"] == [
        {"odd": {"odds": 1}}
    ]


@pytest.mark.parametrize(
    ("form", "infinity", "nan"),
    [("table", "Infinity", "NaN"), ("json", '"inf"', '"nan"'), ("csv", "Infinity", "NaN")],
)
def test_infinity_in_a_measure_is_shown(odd, form, infinity, nan):
    """Bug: `loc query` failed with an OverflowError."""
    done = loc(odd, "query", "-m", "most", "-d", "id", "--order", "id", "-f", form)
    assert done.returncode == 0, done.stderr
    assert infinity in done.stdout and nan in done.stdout
    if form == "json":
        json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_json_keeps_every_digit(odd):
    """Bug: a DECIMAL was rounded to a double. JSON readers also round whole numbers above 2^53."""
    done = loc(odd, "query", "-m", "wide", "-m", "big_sum", "-f", "json")
    assert json.loads(done.stdout) == [
        {"wide": "12345678901234567.89", "big_sum": "18014398509481997"}
    ]
