"""Date filters and grains are exact to the microsecond, and do not cast the column."""

import pytest
from servers import Server

from proto_loc import warehouse

pytestmark = pytest.mark.xdist_group("cube")

EDGES = [
    "2025-01-31 23:59:59.999999",
    "2025-02-01 00:00:00",
    "2025-02-28 23:59:59.9995",
    "2025-03-01 00:00:00",
    "2025-03-09 06:30:00",
    "2025-03-09 07:30:00",
]
MODEL = """\
cubes:
  - name: edges
    sql_table: marts.edges
    dimensions:
      - { name: at, sql: at, type: time }
      - { name: zoned, sql: zoned, type: time }
      - { name: day, sql: day, type: time }
    measures: [{ name: n, type: count }]
"""


@pytest.fixture(scope="module")
def edges(tmp_path_factory):
    home = tmp_path_factory.mktemp("edges")
    model = home / "model"
    model.mkdir()
    (model / "edges.yml").write_text(MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        patch.setenv(
            "TZ", "Asia/Kathmandu"
        )  # neither the writer nor Cube may use the machine's time zone
        with warehouse.write("prod", who="test") as session, session.connect() as con:
            con.execute("create schema marts")
            con.execute(
                "create table marts.edges as select a::timestamp as at, a::timestamptz as zoned,"
                " a::date as day from (select unnest(?::varchar[]) as a)",
                [EDGES],
            )
        with Server(model) as made:
            yield made


def count(server: Server, member: str, *days: str, **more: object) -> int:
    query = {
        "measures": ["edges.n"],
        "timeDimensions": [{"dimension": f"edges.{member}", "dateRange": list(days)}],
    }
    return int(server.rows(query | more)[0]["edges.n"])


@pytest.mark.parametrize("member", ["at", "zoned"])
def test_a_range_holds_its_first_day_from_its_beginning_and_its_last_to_its_end(edges, member):
    assert count(edges, member, "2025-02-01", "2025-02-28") == 2
    assert count(edges, member, "2025-01-31", "2025-01-31") == 1
    assert count(edges, member, "2025-03-01", "2025-03-09") == 3


def test_a_date_is_compared_as_the_day_that_it_is(edges):
    assert count(edges, "day", "2025-02-01", "2025-02-28") == 2
    assert count(edges, "day", "2025-03-09", "2025-03-09") == 2


@pytest.mark.parametrize("member", ["at", "zoned", "day"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_no_time_zone_of_a_query_moves_a_published_time(edges, member, zone):
    """Bug: a client that sent its own time zone got other days and months.

    Published times are local times and dates.
    """
    time = {
        "dimension": f"edges.{member}",
        "granularity": "hour",
        "dateRange": ["2025-03-09", "2025-03-09"],
    }
    asked = {"measures": ["edges.n"], "timeDimensions": [time]}
    plain = edges.rows(asked)
    assert edges.rows(asked | {"timezone": zone}) == plain and len(plain) == (
        1 if member == "day" else 2
    )
    assert count(edges, member, "2025-02-01", "2025-02-28", timezone=zone) == 2


@pytest.mark.parametrize(
    ("operator", "values", "found"),
    [
        ("beforeDate", ["2025-02-01"], 1),
        ("afterDate", ["2025-02-28"], 4),
        ("inDateRange", ["2025-02-01", "2025-02-28"], 2),
        ("notInDateRange", ["2025-02-01", "2025-02-28"], 4),
        ("beforeOrOnDate", ["2025-02-28"], 2),
        ("afterOrOnDate", ["2025-03-01"], 3),
    ],
)
def test_date_operators(edges, operator, values, found):
    """Cube reads a date in one of these operators as the beginning of that day."""
    filters = [{"member": "edges.at", "operator": operator, "values": values}]
    assert edges.rows({"measures": ["edges.n"], "filters": filters}) == [{"edges.n": str(found)}]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_the_column_is_compared_without_a_cast_so_that_duckdb_can_skip_row_groups(edges, zone):
    time = {"dimension": "edges.at", "dateRange": ["2025-02-01", "2025-02-28"]}
    query = {"measures": ["edges.n"], "timeDimensions": [time], "timezone": zone}
    sql, _ = edges.post("/cubejs-api/v1/sql", {"query": query}).json()["sql"]["sql"]
    assert '"edges".at >= ?::timestamp AND "edges".at <= ?::timestamp' in " ".join(sql.split())
