"""A token with the claim ``boroughs`` sees only rows of those boroughs, through every API."""

import pytest
from servers import Server

pytestmark = pytest.mark.xdist_group("cube")
QUEENS = {"boroughs": ["Queens"]}
VIEWS = """\
cubes:
  - name: zones
    sql: select distinct pickup_borough as borough from marts.trips
    dimensions: [{ name: borough, sql: borough, type: string, primary_key: true, public: true }]
    measures: [{ name: zones, type: count }]
  - name: inner
    sql: select * from marts.trips
    meta: { access: { boroughs: pickup_borough } }
    joins:
      - name: zones
        sql: "{CUBE}.pickup_borough = {zones}.borough"
        relationship: many_to_one
    dimensions:
      - { name: id, sql: id, type: number, primary_key: true }
      - { name: pickup_borough, sql: pickup_borough, type: string }
      - { name: of_all, sql: "{zones.zones}", type: number, sub_query: true }
    measures: [{ name: rows, type: count }]
  - name: copy
    sql: select * from marts.trips
    dimensions:
      - { name: id, sql: id, type: number, primary_key: true }
      - { name: pickup_borough, sql: pickup_borough, type: string }
    measures: [{ name: rows, type: count }]
  - name: rides
    extends: trips
    joins:
      - name: zones
        sql: "{CUBE}.pickup_borough = {zones}.borough"
        relationship: many_to_one
    dimensions:
      - { name: place, sql: "{zones.borough}", type: string }
  - name: stops
    sql: select id, ['Bronx', 'Queens'][1 + id % 2] as pickup_borough from marts.trips where id <
        100
    meta: { access: { boroughs: pickup_borough } }
    joins: [{ name: trips, sql: "{CUBE}.id = {trips}.id", relationship: one_to_one }]
    dimensions:
      - { name: id, sql: id, type: number, primary_key: true, public: true }
      - { name: pickup_borough, sql: pickup_borough, type: string }
    measures: [{ name: stops, type: count }]
views:
  - name: figures
    cubes: [{ join_path: trips, includes: [trips, revenue] }]
  - name: places
    cubes: [{ join_path: trips, includes: [trips, pickup_borough] }]
"""


@pytest.fixture(scope="module")
def limited(server, small):
    (small / "views.yml").write_text(VIEWS)
    return server


def test_the_example(limited):
    query = {"measures": ["trips.trips"], "dimensions": ["trips.pickup_borough"]}
    assert limited.rows(query, **QUEENS) == [
        {"trips.pickup_borough": "Queens", "trips.trips": "250"}
    ]
    assert len(limited.rows(query)) == 4
    two = limited.rows(query, boroughs=["Queens", "Bronx"])
    assert {row["trips.pickup_borough"] for row in two} == {"Queens", "Bronx"}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "filters": [
                {
                    "member": "trips.pickup_borough",
                    "operator": "equals",
                    "values": ["Bronx", "Queens"],
                }
            ]
        },
        {"filters": [{"or": [{"member": "trips.pickup_borough", "operator": "set"},
                             {"member": "trips.id", "operator": "gt", "values": ["0"]}]}]},
        {"segments": ["trips.all"]},
        {
            "timeDimensions": [
                {"dimension": "trips.pickup_at", "dateRange": ["2025-01-01", "2025-12-31"]}
            ]
        },
        {"timezone": "America/New_York"},
        {"total": True},
    ],
    ids=str,
)  # fmt: skip
def test_no_form_of_a_query_sees_more(limited, more):
    assert limited.rows({"measures": ["trips.trips"], **more}, **QUEENS) == [{"trips.trips": "250"}]


def test_single_rows_are_limited_too(limited):
    query = {"dimensions": ["trips.id", "trips.pickup_borough"], "ungrouped": True, "limit": 1000}
    rows = limited.rows(query, **QUEENS)
    assert len(rows) == 250 and {row["trips.pickup_borough"] for row in rows} == {"Queens"}


def test_a_filter_on_another_borough_finds_nothing(limited):
    query = {
        "measures": ["trips.trips"],
        "filters": [{"member": "trips.pickup_borough", "operator": "equals", "values": ["Bronx"]}],
    }
    assert limited.rows(query, **QUEENS) == [{"trips.trips": "0"}]


@pytest.mark.parametrize("view", ["figures", "places"])
def test_a_view_is_limited_whether_it_shows_the_borough_or_not(limited, view):
    assert limited.rows({"measures": [f"{view}.trips"]}, **QUEENS) == [{f"{view}.trips": "250"}]


def test_each_query_of_a_blend_and_of_a_comparison_is_limited(limited):
    time = {"dimension": "trips.pickup_at", "granularity": "day"}
    whole = {"compareDateRange": [["2025-01-01", "2025-01-01"], ["2025-01-01", "2025-01-02"]]}
    answer = limited.ask(
        {"measures": ["trips.trips"], "timeDimensions": [time | whole]}, **QUEENS
    ).json()
    assert [
        sum(int(row["trips.trips"] or 0) for row in each["data"]) for each in answer["results"]
    ] == [250, 250]
    blend = [
        {"measures": [f"trips.{name}"], "timeDimensions": [time]} for name in ("trips", "revenue")
    ]
    first, second = limited.ask(blend, **QUEENS).json()["results"]
    assert (first["data"][0]["trips.trips"], second["data"][0]["trips.revenue"]) == ("250", "25")


@pytest.mark.parametrize(
    "fields",
    ["trips { trips pickup_borough }",
     'trips(where: {pickup_borough: {in: ["Bronx", "Queens"]}}) { trips pickup_borough }'],
)  # fmt: skip
def test_graphql_is_limited(limited, fields):
    answer = limited.post(
        "/cubejs-api/graphql", {"query": f"{{ cube {{ {fields} }} }}"}, **QUEENS
    ).json()
    assert [row["trips"]["pickup_borough"] for row in answer["data"]["cube"]] == ["Queens"]


def test_the_sql_of_a_query_has_the_limit_in_it(limited):
    answer = limited.post(
        "/cubejs-api/v1/sql", {"query": {"measures": ["trips.trips"]}}, **QUEENS
    ).json()
    sql, values = answer["sql"]["sql"]
    assert "pickup_borough = ?" in sql and values == ["Queens"]


def test_a_dry_run_gives_no_rows(limited):
    answer = limited.post(
        "/cubejs-api/v1/dry-run", {"query": {"measures": ["trips.trips"]}}, **QUEENS
    )
    assert answer.status_code == 200 and "data" not in answer.json()


@pytest.mark.parametrize(
    "query",
    [
        {"measures": ["zones.zones"]},
        {"dimensions": ["zones.borough"]},
        {"measures": ["trips.trips"], "dimensions": ["zones.borough"]},
        {"measures": ["rides.trips"], "dimensions": ["zones.borough"]},
        {"measures": ["rides.trips"], "dimensions": ["rides.place"]},
        {"measures": ["rides.trips"], "filters": [{"member": "zones.borough", "operator": "set"}]},
    ],
    ids=str,
)
def test_a_cube_whose_rows_cannot_be_limited_is_refused(limited, query):
    """The cube is also refused if the query reads it only on the path of a join."""
    answer = limited.ask(query, **QUEENS)
    assert answer.status_code in (400, 403), answer.text
    if answer.status_code == 400:
        assert "join" in answer.text, "the cubes have no join"
    else:
        assert "zones has no rule for boroughs" in answer.json()["error"]


@pytest.mark.parametrize(
    "claim", [[], "Queens", None, [""], [1], {"a": 1}, [["Queens"]], 0, False], ids=str
)
def test_a_claim_that_is_no_list_of_names_sees_nothing(limited, claim):
    answer = limited.ask({"measures": ["trips.trips"]}, boroughs=claim)
    assert answer.status_code == 403 and "must be a list of names" in answer.json()["error"]


SILENT = {"sub": "somebody", "iss": "an identity provider"}


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        (SILENT, "says nothing of rows"),
        ({"origins": ["JFK"]}, "No rule reads the claim origins"),
        ({"boroughs": ["Queens"], "origins": ["JFK"]}, "No rule reads the claim origins"),
        ({"Boroughs": ["Queens"]}, "No rule reads the claim Boroughs"),
        ({"all_rows": "true"}, "is true, and stands alone"),
        ({"all_rows": False}, "is true, and stands alone"),
        ({"all_rows": True, "boroughs": ["Queens"]}, "is true, and stands alone"),
    ],
    ids=str,
)
def test_what_no_rule_reads_sees_no_rows(limited, claims, why):
    """Bug: a token with the unknown claim `{"origins": ["JFK"]}` saw every row; so did a token
    without claims.
    """
    for query in (
        {"measures": ["trips.trips"]},
        {"dimensions": ["trips.id"], "ungrouped": True},
        {"measures": ["zones.zones"]},
    ):
        answer = limited.ask(query, **claims)
        assert answer.status_code == 403 and why in answer.json()["error"], answer.text
    answer = limited.post(
        "/cubejs-api/graphql", {"query": "{ cube { trips { trips } } }"}, **claims
    )
    assert why in answer.text and "1000" not in answer.text


def test_each_rule_of_a_cube_must_be_answered(limited, small, tmp_path):
    """Bug: if a cube had two rules, a token with one of the claims saw all rows of the other.

    The test also changes the model while the server runs.
    """
    model = tmp_path / "model"
    model.mkdir()

    def declare(access: str) -> None:
        rule = "{ boroughs: pickup_borough }"
        (model / "trips.yml").write_text((small / "trips.yml").read_text().replace(rule, access))

    declare("{ boroughs: pickup_borough, numbers: id }")
    query, seven = {"measures": ["trips.trips"]}, {"numbers": ["7", "8"]}
    with Server(model) as made:
        assert "says nothing of numbers" in made.ask(query, **QUEENS).json()["error"]
        assert "says nothing of boroughs" in made.ask(query, **seven).json()["error"]
        assert made.rows(query, **QUEENS, **seven) == [{"trips.trips": "1"}], "8 is of Queens"
        assert made.trips() == 1000, "who may see all rows says so"
        for wrong in ("{ boroughs: borough }", "[boroughs]", "{ all_rows: pickup_borough }"):
            declare(wrong)
            broken = made.ask(query, **QUEENS)
            assert broken.status_code >= 400 and "must map each claim" in broken.text, wrong
        declare("{}")
        assert made.rows(query, **SILENT) == [{"trips.trips": "1000"}], "no rule limits anything"
        assert made.ask(query, **QUEENS).status_code == 403, (
            "though a claim that is not read was to limit something"
        )


def test_a_cube_written_by_hand_declares_its_rule_or_is_refused(limited):
    """Only the rule counts, not the columns: ``inner`` declares a rule, its copy declares none."""
    assert "no rule for boroughs" in limited.ask({"measures": ["copy.rows"]}, **QUEENS).text
    assert limited.rows({"measures": ["copy.rows"]}) == [{"copy.rows": "1000"}]


INJECTED = {
    "expression": {
        "type": "PatchMeasure",
        "sourceMeasure": "trips.trips",
        "replaceAggregationType": None,
        "addFilters": [],
    },
    "cubeName": "trips",
    "name": "x",
    "expressionName": (
        "x\", cast((select 'leak:' || count(*) from query('from marts' || chr(46) || 'trips')) as"
        ' date) as "y'
    ),
}


@pytest.mark.parametrize("claims", [QUEENS, {}], ids=["limited", "unlimited"])
@pytest.mark.parametrize(
    "query",
    [
        {"measures": [INJECTED]},
        {"dimensions": [INJECTED]},
        {"measures": ["trips.trips"], "segments": [INJECTED]},
        {"measures": ["trips.trips"], "filters": [{"member": INJECTED, "operator": "set"}]},
        {
            "measures": ["trips.trips"],
            "filters": [{"or": [{"member": INJECTED, "operator": "set"}]}],
        },
        {
            "measures": ["trips.trips"],
            "timeDimensions": [{"dimension": INJECTED, "granularity": "day"}],
        },
        {
            "measures": ["trips.trips"],
            "subqueryJoins": [{"sql": "select 1", "on": "1 = 1", "joinType": "LEFT", "alias": "a"}],
        },
    ],
    ids=["measure", "dimension", "segment", "filter", "or", "time", "join"],
)
def test_an_expression_instead_of_a_name_is_refused(limited, query, claims):
    """Bug: the name of an expression was copied into the SQL, so any token could read any table,
    without the limit to its boroughs.
    """
    for path in ("load", "sql", "dry-run"):
        answer = limited.post(f"/cubejs-api/v1/{path}", {"query": query}, **claims)
        assert answer.status_code in (400, 500) and "leak" not in answer.text, answer.text
        assert "not the name of a member" in answer.text or "not offered" in answer.text, (
            answer.text
        )


def test_a_query_in_a_query_is_refused_to_a_limited_token(limited):
    """A dimension may contain a subquery, and the row filter does not apply inside it."""
    both = limited.ask({"measures": ["inner.rows"], "dimensions": ["inner.of_all"]}, **QUEENS)
    assert both.status_code == 403, both.text
    alone = limited.ask({"measures": ["inner.rows"]}, **QUEENS)
    assert alone.status_code == 403 and "inner has a sub-query" in alone.json()["error"]


@pytest.mark.parametrize("path", ["CubeSQL", "cubesql/", "Convert-Query", "convert-query//"])
def test_the_sql_api_is_closed_however_it_is_spelt(limited, path):
    answer = limited.post(f"/cubejs-api/v1/{path}", {"query": "select * from trips"}, **QUEENS)
    assert answer.status_code == 501, answer.text


@pytest.mark.parametrize("path", ["cubesql", "convert-query", "sql"])
def test_the_sql_api_is_closed(limited, path):
    answer = limited.post(
        f"/cubejs-api/v1/{path}", {"query": "select * from trips", "format": "sql"}, **QUEENS
    )
    assert answer.status_code == 501 and "The SQL API is not" in answer.json()["error"]


def test_what_one_token_was_answered_is_not_given_to_another(limited):
    """Tokens with different claims send the same query, and Cube caches the answers."""
    query = {"measures": ["trips.trips", "trips.revenue"]}
    found = [
        limited.rows(query, **claims)[0]["trips.trips"]
        for claims in ({}, QUEENS, {}, {"boroughs": ["Bronx"]})
    ]
    assert found == ["1000", "250", "1000", "250"]


def test_values_are_parameters_and_no_sql(limited):
    assert limited.rows({"measures": ["trips.trips"]}, boroughs=["x') or ('1'='1"]) == [
        {"trips.trips": "0"}
    ]


def test_every_cube_that_a_query_reads_is_limited(limited):
    """In this data, each trip from Queens has its stop in the Bronx."""
    query = {
        "measures": ["stops.stops"],
        "dimensions": ["trips.pickup_borough", "stops.pickup_borough"],
    }
    seen = {
        (row["trips.pickup_borough"], row["stops.pickup_borough"]) for row in limited.rows(query)
    }
    assert {place for place, stop in seen if stop == "Bronx"} >= {"Queens"} and (
        "Queens",
        "Queens",
    ) not in seen
    assert limited.rows(query, **QUEENS) == []
    both = limited.rows(query, boroughs=["Queens", "Bronx"])
    assert {tuple(row.values()) for row in both} == {
        ("Bronx", "Queens", "25"),
        ("Queens", "Bronx", "25"),
    }
