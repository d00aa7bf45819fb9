"""Tests of the requests that ``loc query`` sends, without a server; tests/cube has a real one."""

import json
import time
from decimal import Decimal

import httpx
import jwt
import pytest

from proto_loc import credentials
from proto_loc.cli.metrics import _shown
from proto_loc.cube import client
from proto_loc.cube.client import Member, Meta, Question
from proto_loc.errors import LocError, UsageError


def members(*rows: tuple[str, str]) -> dict[str, Member]:
    return {name: Member(name, name, kind) for name, kind in rows}


META = Meta(
    members(("trips.revenue", "number"), ("trips.rides", "number"), ("quality.rejected", "number")),
    members(
        ("trips.pickup_at", "time"),
        ("trips.borough", "string"),
        ("trips.hour", "number"),
        ("trips.origin", "string"),
        ("quality.origin", "string"),
    ),
)


def test_short_names_become_members_of_the_metrics_cube():
    asked = Question(
        ("revenue", "rides"), ("origin", "pickup_at:month"), order="-revenue", limit=5
    ).query(META)
    assert asked == {
        "measures": ["trips.revenue", "trips.rides"],
        "dimensions": ["trips.origin"],
        "timeDimensions": [{"dimension": "trips.pickup_at", "granularity": "month"}],
        "filters": [],
        "order": [["trips.revenue", "desc"]],
        "limit": 5,
        "timezone": "UTC",
    }


def test_conditions_on_one_dimension_are_alternatives_and_days_are_included():
    asked = Question(
        ("revenue",),
        since="2025-01-02",
        until="2025-01-31",
        where=("borough=Queens", "borough=Bronx", "hour!=3"),
    ).query(META)
    assert asked["filters"] == [
        {"member": "trips.pickup_at", "operator": "afterOrOnDate", "values": ["2025-01-02"]},
        {
            "member": "trips.pickup_at",
            "operator": "beforeOrOnDate",
            "values": ["2025-01-31T23:59:59.999999"],
        },
        {"member": "trips.borough", "operator": "equals", "values": ["Queens", "Bronx"]},
        {"member": "trips.hour", "operator": "notEquals", "values": ["3"]},
    ]


TIME = "trips.pickup_at"


def between(member, *bounds):
    """Cube's filters for the bounds of a number."""
    return [{"member": member, "operator": name, "values": [value]} for name, value in bounds]


@pytest.mark.parametrize(
    ("where", "filters"),
    [
        (["hour=7..9"], [{"and": between("trips.hour", ("gte", "7"), ("lte", "9"))}]),
        (["hour = -1.5.."], between("trips.hour", ("gte", "-1.5"))),
        (["hour>7", "hour<9"], between("trips.hour", ("gt", "7"), ("lt", "9"))),
        (
            ["hour=3", "hour=7..9"],
            [
                {
                    "or": [
                        {"member": "trips.hour", "operator": "equals", "values": ["3"]},
                        {"and": between("trips.hour", ("gte", "7"), ("lte", "9"))},
                    ]
                }
            ],
        ),
        (
            ["hour!=7..9"],
            [
                {
                    "or": [
                        *between("trips.hour", ("lt", "7"), ("gt", "9")),
                        {"member": "trips.hour", "operator": "notSet"},
                    ]
                }
            ],
        ),
        (
            ["pickup_at=2024-12..2025-02"],
            [{"member": TIME, "operator": "inDateRange", "values": ["2024-12-01", "2025-02-28"]}],
        ),
        (
            ["pickup_at>2024"],
            [{"member": TIME, "operator": "afterOrOnDate", "values": ["2025-01-01"]}],
        ),
        (
            ["pickup_at<2025-03"],
            [
                {
                    "member": TIME,
                    "operator": "beforeOrOnDate",
                    "values": ["2025-02-28T23:59:59.999999"],
                }
            ],
        ),
        (
            ["borough=a..b"],
            [{"member": "trips.borough", "operator": "equals", "values": ["a..b"]}],
        ),
    ],
)
def test_a_range_of_numbers_or_times(where, filters):
    assert Question(("revenue",), where=tuple(where)).query(META)["filters"] == filters


def test_hours_are_in_the_order_of_the_day():
    """Bug: `loc query -d hour` gave the busiest hour first."""
    asked = Question(("revenue",), ("borough", "hour", "pickup_at:month")).query(META)
    assert asked["order"] == [[TIME, "asc"], ["trips.borough", "asc"], ["trips.hour", "asc"]]
    assert "order" not in Question(("revenue",), ("borough",)).query(META)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question(("revenue",), where=("hour=9..7",)), "The range 9..7 of hour ends before"),
        (Question(("revenue",), where=("hour=..",)), "'..' is not a range."),
        (Question(("revenue",), where=("hour=7..nine",)), "hour is a number, and 'nine' is not."),
        (Question(("revenue",), where=("pickup_at=2025..2024",)), "ends before it begins"),
        (Question(("revenue",), where=("borough>M",)), "borough is neither a number nor a time"),
    ],
)
def test_a_range_that_is_none_is_refused(question, said):
    with pytest.raises(UsageError) as error:
        question.query(META)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question(()), "No metric is asked for. Choose from: revenue, rides, rejected."),
        (Question(("revenu",)), "There is no metric 'revenu'. Choose from: revenue."),
        (
            Question(("revenue", "rejected")),
            "These metrics are of several cubes. trips.revenue, quality.rejected.",
        ),
        (Question(("revenue",), ("zone",)), "There is no dimension 'zone' of trips."),
        (
            Question(("rejected",), ("borough",)),
            "There is no dimension 'borough' of quality. Choose from: origin.",
        ),
        (Question(("revenue",), ("borough:day",)), "borough is not a time."),
        (
            Question(("revenue",), ("pickup_at:fortnight",)),
            "'fortnight' is not a grain. Choose from: second,",
        ),
        (Question(("revenue",), where=("borough",)), "'borough' is not a condition."),
        (
            Question(("revenue",), order="-hour"),
            "'hour' is not in the answer. Order by one of: revenue;",
        ),
        (Question(("rejected",), since="2025-01-01"), "quality has no time dimension."),
        (Question(("revenue", "revenue")), "revenue is asked for twice."),
        (
            Question(("revenue",), ("pickup_at:day", "pickup_at:month")),
            "pickup_at is asked for by two grains.",
        ),
        (
            Question(("revenue",), since="2025-02-01", until="2025-01-01"),
            "The first day, 2025-02-01, is after",
        ),
    ],
)
def test_a_wrong_question_is_refused_by_name(question, said):
    with pytest.raises(UsageError) as refused:
        question.query(META)
    assert str(refused.value).startswith(said)


def test_a_name_that_several_cubes_have_asks_which():
    two = Meta(members(("a.rows", "number"), ("b.rows", "number")), {})
    with pytest.raises(
        UsageError, match=r"rows is the metric of several cubes. Say which: a.rows, b.rows."
    ):
        Question(("rows",)).query(two)
    assert Question(("b.rows",)).query(two)["measures"] == ["b.rows"]


@pytest.fixture
def ruled(tmp_path, monkeypatch) -> None:
    """A model of Cube with an access rule."""
    rule = "cubes: [{name: orders, meta: {access: {countries: country}}}]"
    (tmp_path / "orders.yml").write_text(rule)
    monkeypatch.setenv("LOC_CUBE_MODEL", str(tmp_path))


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iss": 5}, "The claim iss is not yours to set."),
        ({"countries": [float("nan")]}, "cannot be written as"),
    ],
)
def test_claims_that_make_no_token_are_refused(data, ruled, claims, said):
    with pytest.raises(UsageError, match=said):
        client.token(claims)


def test_a_token_ends_however_long_it_is_asked_for(data):
    claims = jwt.decode(
        client.token(client.ALL_ROWS, seconds=1e300),
        credentials.secret("cube"),
        algorithms=["HS256"],
    )
    assert claims["exp"] - claims["iat"] == client.LONGEST


def test_a_token_is_signed_with_the_secret_and_ends(data, ruled):
    claims = jwt.decode(
        client.token({"countries": ["France"]}, seconds=60),
        credentials.secret("cube"),
        algorithms=["HS256"],
    )
    assert claims["countries"] == ["France"]
    assert 0 < claims["exp"] - time.time() <= 60


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, {"error": "Invalid token"}, "refuses this platform's token. Invalid token."),
        (
            403,
            {"error": "This token is limited by boroughs"},
            "answer the query. This token is limited by boroughs",
        ),
        (
            400,
            {"error": "Error: 'x' not found"},
            "Cube did not answer the query. 'x' not found See: ./loc logs cube",
        ),
        (502, "<html>", "Cube did not answer the query. <html>"),
    ],
)
def test_what_cube_refuses_is_said_plainly(data, status, body, said):
    text = body if isinstance(body, str) else json.dumps(body)
    with client.Cube() as asked, pytest.raises(LocError) as refused:
        asked._answer(httpx.Response(status, text=text))
    assert said in str(refused.value)


def test_without_cube_the_command_to_start_it_is_named(data, port_prefix, monkeypatch):
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    with client.Cube() as asked, pytest.raises(LocError, match=r"loc up -d --only cube"):
        asked.meta()


def test_digits_are_read_exactly():
    assert client._exact("12345678901234567.89") == Decimal("12345678901234567.89")
    assert client._exact("42") == 42 and isinstance(client._exact("42"), int)
    assert client._exact(None) is None


@pytest.mark.parametrize(
    ("value", "kind", "form", "shown"),
    [
        (Decimal("0.1234"), "number", "percent_1", "12.3%"),
        (Decimal("1234.5"), "number", "currency_2", "$1,234.50"),
        (1234, "number", "currency_2", "$1,234.00"),
        (Decimal("1234.5"), "number", None, "1,234.50"),
        (1234, "number", "number_0", "1,234"),
        (1234567, "number", None, "1,234,567"),
        ("2025-01-01T00:00:00.000", "time", None, "2025-01-01"),
        ("2025-01-01T07:00:00.000", "time", None, "2025-01-01T07:00:00.000"),
        (None, "number", None, ""),
    ],
)
def test_a_table_shows_the_metrics_own_format(value, kind, form, shown):
    assert _shown(value, Member("a.b", "b", kind, format=form)) == shown


@pytest.mark.parametrize(("currency", "shown"), [("EUR", "€1.50"), ("CHF", "CHF 1.50")])
def test_a_table_shows_money_in_the_metrics_own_currency(currency, shown):
    """Bug: every currency was shown as dollars."""
    member = Member("a.b", "b", "number", format="currency_2", currency=currency)
    assert _shown(Decimal("1.5"), member) == shown
