"""What each role may do, and which rows row-level security shows to a person."""

import re

import pytest
from supersets import dashboard

from benchmarks import superset as benchmark
from proto_loc import credentials

pytestmark = pytest.mark.xdist_group("superset")


@pytest.fixture(scope="module")
def viewer(superset):
    return superset.add_person("viewer", "Viewer", "All rows")


@pytest.fixture(scope="module")
def analyst(superset):
    return superset.add_person("analyst", "Analyst")


def test_a_viewer_sees_the_dashboards_and_their_figures(viewer):
    assert (
        viewer.call("GET", "dashboard/taxi-overview")["result"]["dashboard_title"]
        == "Taxi overview"
    )
    assert viewer.get("/superset/dashboard/taxi-overview/").status_code == 200
    assert viewer.call("GET", "dashboard/taxi-overview/charts")["result"]
    assert viewer.call("GET", "dashboard/taxi-overview/datasets")["result"]
    assert viewer.figures("trips")[0]["trips"] > 4000


def test_a_viewer_may_keep_a_filter_and_share_what_they_see(viewer):
    dashboard = viewer.call("GET", "dashboard/taxi-overview")["result"]["id"]
    viewer.call("POST", f"dashboard/{dashboard}/filter_state?tab_id=1", {"value": "{}"})
    viewer.call("POST", f"dashboard/{dashboard}/permalink", {"urlParams": []})


def test_a_viewer_changes_nothing_and_writes_no_sql(superset, viewer, admin):
    chart = admin.items("chart")[0]["id"]
    dashboard = admin.item("dashboard", slug="taxi-overview")["id"]
    dataset = admin.item("dataset", table_name="mart_taxi_trips")["id"]
    database = admin.item("database", database_name="prod")["id"]
    body = {
        "database_id": database,
        "sql": "select 1",
        "client_id": "v1",
        "queryLimit": 1,
        "runAsync": False,
    }
    for method, path, given in (
        ("POST", "sqllab/execute/", body),
        ("PUT", f"chart/{chart}", {"slice_name": "x"}),
        ("DELETE", f"chart/{chart}", None),
        (
            "POST",
            "chart/",
            {"slice_name": "x", "datasource_id": dataset, "datasource_type": "table"},
        ),
        ("PUT", f"dashboard/{dashboard}", {"dashboard_title": "x"}),
        ("DELETE", f"dashboard/{dashboard}", None),
        ("POST", "dashboard/", {"dashboard_title": "x"}),
        ("PUT", f"dataset/{dataset}", {"description": "x"}),
        (
            "POST",
            "dataset/",
            {"database": database, "schema": "marts", "table_name": "rejected_trips"},
        ),
        ("POST", "database/", {"database_name": "x", "sqlalchemy_uri": "duckdb:///prod"}),
        ("GET", "security/users/", None),
        ("GET", "security/roles/", None),
        ("GET", "rowlevelsecurity/", None),
        ("GET", "assets/export/", None),
    ):
        answer = viewer.request(method, f"/api/v1/{path}", json=given)
        assert answer.status_code in (
            401,
            403,
            404,
        ), f"{method} {path} {answer.status_code} {answer.text}"
    assert viewer.get("/sqllab/").status_code in (302, 403)


def test_a_viewer_reads_no_other_table(viewer, admin):
    database = admin.item("database", database_name="prod")["id"]
    made = admin.call(
        "POST", "dataset/", {"database": database, "schema": "marts", "table_name": "dim_dates"}
    )["id"]
    try:
        body = {
            "datasource": {"id": made, "type": "table"},
            "queries": [{"metrics": [], "columns": ["date_day"]}],
            "result_type": "full",
            "result_format": "json",
        }
        answer = viewer.post("/api/v1/chart/data", json=body)
        assert answer.status_code == 403, answer.text
        body = {"datasource": {"id": 1, "type": "query"}, "queries": [{"columns": ["x"]}]}
        assert viewer.post("/api/v1/chart/data", json=body).status_code in (400, 403, 404)
    finally:
        admin.call("DELETE", f"dataset/{made}")


def test_an_analyst_has_sql_lab_and_makes_what_others_may_see(analyst, admin):
    assert analyst.rows("select count(*) as n from marts.rejected_trips")[0]["n"] > 0
    database = admin.item("database", database_name="prod")["id"]
    dataset = analyst.call("POST", "dataset/", {
        "database": database, "schema": "marts", "table_name": "by_colour",
        "sql": "select colour, count(*) as trips from marts.mart_taxi_trips group by all",
    })["id"]  # fmt: skip
    chart = analyst.call(
        "POST",
        "chart/",
        {
            "slice_name": "by colour",
            "viz_type": "table",
            "datasource_id": dataset,
            "datasource_type": "table",
        },
    )["id"]
    analyst.call("DELETE", f"chart/{chart}")
    analyst.call("DELETE", f"dataset/{dataset}")


def test_a_dashboard_shows_its_data_to_the_roles_that_it_names(superset, analyst, admin, viewer):
    database = admin.item("database", database_name="prod")["id"]
    dataset = analyst.call("POST", "dataset/", {
        "database": database, "schema": "marts", "table_name": "shared", "sql": "select 7 as x",
    })["id"]  # fmt: skip
    chart = analyst.call(
        "POST",
        "chart/",
        {
            "slice_name": "shared",
            "viz_type": "table",
            "datasource_id": dataset,
            "datasource_type": "table",
            "params": '{"viz_type": "table", "all_columns": ["x"]}',
        },
    )["id"]
    made = dashboard(analyst, "Shared", chart)
    body = {
        "datasource": {"id": dataset, "type": "table"},
        "queries": [{"columns": ["x"]}],
        "result_type": "full",
        "result_format": "json",
        "form_data": {"slice_id": chart, "dashboardId": made},
    }
    try:
        assert viewer.post("/api/v1/chart/data", json=body).status_code == 403
        role = admin.item("security/roles", name="Viewer")["id"]
        analyst.call("PUT", f"dashboard/{made}", {"roles": [role], "published": True})
        assert viewer.call("POST", "chart/data", body)["result"][0]["data"] == [{"x": 7}]
    finally:
        for kind, number in (("dashboard", made), ("chart", chart), ("dataset", dataset)):
            analyst.call("DELETE", f"{kind}/{number}")


def test_an_analyst_does_not_administer(analyst, admin):
    database = admin.item("database", database_name="prod")["id"]
    for method, path, given in (
        ("POST", "database/", {"database_name": "x", "sqlalchemy_uri": "duckdb:///prod"}),
        ("PUT", f"database/{database}", {"allow_dml": True}),
        ("GET", "security/users/", None),
        ("POST", "security/roles/", {"name": "x"}),
        ("GET", "rowlevelsecurity/", None),
        (
            "PUT",
            f"dashboard/{admin.item('dashboard', slug='taxi-overview')['id']}",
            {"dashboard_title": "x"},
        ),
    ):
        answer = analyst.request(method, f"/api/v1/{path}", json=given)
        assert answer.status_code in (
            401,
            403,
            404,
        ), f"{method} {path} {answer.status_code} {answer.text}"
    assert "not allowed" in analyst.refusal("select * from read_csv('/etc/passwd')")


def test_a_row_level_rule_holds_in_charts_filters_samples_caches_and_sql_lab(superset, admin):
    everything = {
        row["pickup_borough"]: row["trips"]
        for row in admin.figures("trips", by=("pickup_borough",))
    }
    assert len(everything) > 2
    person = superset.add_person("queens", "Viewer", "Queens")
    found = person.figures("trips", by=("pickup_borough",))  # the admin's figures are cached
    assert {row["pickup_borough"]: row["trips"] for row in found} == {
        "Queens": everything["Queens"]
    }
    dataset = admin.item("dataset", table_name="mart_taxi_trips")["id"]
    values = person.call("GET", f"datasource/table/{dataset}/column/pickup_borough/values/")[
        "result"
    ]
    assert values == ["Queens"]
    samples = person.post(
        f"/datasource/samples?datasource_type=table&datasource_id={dataset}&per_page=50&page=1",
        json={},
    ).json()
    assert {row["pickup_borough"] for row in samples["result"]["data"]} == {"Queens"}
    both = superset.add_person("queens-analyst", "Analyst", "Queens")
    count = "select pickup_borough, count(*) as n from marts.mart_taxi_trips group by 1"
    assert both.rows(count) == [{"pickup_borough": "Queens", "n": everything["Queens"]}]
    assert {row["pickup_borough"]: row["n"] for row in admin.rows(count)} == everything


def test_a_viewer_without_a_claim_sees_no_rows_and_one_with_two_sees_both(superset, admin):
    by = ("pickup_borough",)
    everything = admin.figures("trips", by=by)
    assert superset.add_person("nobody", "Viewer").figures("trips", by=by) == []
    assert superset.add_person("whole", "Viewer", "All rows").figures("trips", by=by) == everything
    analyst = superset.add_person("whole-analyst", "Analyst")
    assert analyst.figures("trips", by=by) == everything


def test_the_viewers_of_the_benchmark_see_what_it_measures(superset, admin, inside, monkeypatch):
    monkeypatch.setenv("LOC_PORT_PREFIX", superset.prefix)
    person = benchmark.Person("admin", credentials.secret("superset-admin"))
    dataset = admin.item("dataset", table_name="mart_taxi_trips")["id"]
    body = {
        "datasource": {"id": dataset, "type": "table"},
        "queries": [{"metrics": ["trips"], "columns": []}],
        "result_format": "json",
        "result_type": "full",
    }
    looks = benchmark._add(person, 0)
    rows = looks.post("/api/v1/chart/data", json=body).json()["result"][0]["data"]
    assert rows == admin.figures("trips")


AROUND = [
    "summarize marts.mart_taxi_trips",
    "summarize marts.MART_TAXI_TRIPS",
    "with mart_taxi_trips as (from marts.mart_taxi_trips) from mart_taxi_trips",
    (
        "with recursive mart_taxi_trips as (select 1 as n union all select n + 1 from"
        " mart_taxi_trips where n < 3) from mart_taxi_trips"
    ),
    "select * from 'mart_taxi_trips'",
    "table marts.mart_taxi_trips",
]
HELD = [
    "select pickup_borough, count(*) as n from marts.mart_taxi_trips group by all",
    "from marts.mart_taxi_trips select pickup_borough limit 5",
    "with a as (from marts.mart_taxi_trips) select distinct pickup_borough from a",
    "select distinct t.pickup_borough from marts.mart_taxi_trips as t, range(2)",
    (
        "from marts.MART_TAXI_TRIPS select pickup_borough where (pickup_borough = 'Queens') and"
        " total_amount > 0 limit 5"
    ),
    "select distinct pickup_borough from marts.MART_TAXI_TRIPS",
    'select distinct pickup_borough from "Marts" . /* é */ "Mart_Taxi_Trips" -- é',
    "select 'é', pickup_borough from prod.marts.mart_taxi_trips limit 3",
    "unpivot (select tip_amount, pickup_borough from marts.mart_taxi_trips) on tip_amount",
    "from marts.MART_TAXI_TRIPS select pickup_borough where pickup_borough = 'Queens' or true",
    "with a as (from marts.MART_TAXI_TRIPS), b as (from a) select pickup_borough from b",
    (
        "select t.pickup_borough from range(1) r, marts.MART_TAXI_TRIPS t where t.pickup_borough ="
        " 'Queens'"
    ),
    (
        "select pickup_borough from marts.mart_taxi_trips tablesample reservoir(5 rows) where"
        " pickup_borough in (select pickup_borough from marts.mart_taxi_trips)"
    ),
    (
        "select mart_taxi_trips.pickup_borough from marts.mart_taxi_trips join"
        " marts.mart_taxi_trips b using (trip_id)"
    ),
    "select (select min(pickup_borough) from marts.MART_TAXI_TRIPS) as pickup_borough",
    (
        "select min('Queens') as pickup_borough from marts.mart_taxi_trips as a(x) having min(a.x)"
        " is not null union select pickup_borough from marts.mart_taxi_trips where epoch(interval"
        " '1 day 06:30:00') = 109800"
    ),
]
NARROWED = [
    (
        "from (pivot marts.MART_TAXI_TRIPS on pickup_borough in ('Bronx') using count(*))"
        " select sum(Bronx) n",
        {"n": 0},
    ),
    (
        "select count(*) filter (pickup_borough <> 'Queens') as n from marts.mart_taxi_trips",
        {"n": 0},
    ),
    (
        "select max((select count(*) from marts.MART_TAXI_TRIPS b where b.pickup_borough <>"
        " 'Queens' and x = 1)) as n "
        "from range(1) t(x)",
        {"n": 0},
    ),
]


@pytest.fixture(scope="module")
def queens_analyst(superset):
    return superset.add_person("queens-around", "Analyst", "Queens")


def test_an_explain_shows_the_plan_with_the_rule(queens_analyst):
    (row,) = queens_analyst.rows("/* é */ explain select * from marts.MART_TAXI_TRIPS")
    assert "Queens" in str(row)


@pytest.mark.parametrize("statement", AROUND)
def test_no_other_way_to_write_a_query_gets_around_a_rule(queens_analyst, statement):
    """Superset applies a rule only to a table with exactly the dataset's name.

    It does so only in the parts of a statement that its parser reads.
    """
    assert re.search(
        "You may read only some rows of (mart_taxi_trips|the table)",
        queens_analyst.refusal(statement),
    )


@pytest.mark.parametrize("statement", HELD)
def test_queries_that_a_rule_can_be_put_into_give_its_rows(queens_analyst, statement):
    assert {row["pickup_borough"] for row in queens_analyst.rows(statement)} == {"Queens"}


@pytest.mark.parametrize(("statement", "row"), NARROWED)
def test_queries_of_other_rows_than_a_rule_s_find_none(queens_analyst, statement, row):
    assert queens_analyst.rows(statement) == [row]


@pytest.mark.parametrize("statement", [AROUND[1], HELD[0], HELD[5], HELD[10]])
def test_a_virtual_dataset_shows_a_person_the_rows_of_their_rules(queens_analyst, admin, statement):
    """This holds for a result that the admin's request has put into the cache too.

    The cache key contains the rules of the tables, whatever spelling the query uses.
    """
    database = admin.item("database", database_name="prod")["id"]
    held = {"database": database, "schema": "marts", "table_name": "ruled", "sql": statement}
    made = admin.call("POST", "dataset/", held)["id"]
    column = "pickup_borough" if statement in HELD else "column_name"
    body = {
        "datasource": {"id": made, "type": "table"},
        "queries": [{"metrics": [], "columns": [column]}],
        "result_type": "full",
        "result_format": "json",
    }
    try:
        assert len(admin.call("POST", "chart/data", body)["result"][0]["data"]) > 2
        answer = queens_analyst.post("/api/v1/chart/data", json=body)
        if statement in HELD:
            assert {row[column] for row in answer.json()["result"][0]["data"]} == {"Queens"}
        else:
            assert answer.status_code == 400 and "You may read only some rows" in answer.text
    finally:
        admin.call("DELETE", f"dataset/{made}")


def test_a_chart_of_a_query_shows_a_person_the_rows_of_their_rules(queens_analyst, admin):
    """This holds too if the admin made a chart of the same query before, and its result
    is cached.
    """
    number = queens_analyst.sql(HELD[5]).json()["query_id"]
    body = {
        "datasource": {"id": number, "type": "query"},
        "result_type": "full",
        "result_format": "json",
        "queries": [{"metrics": [], "columns": ["pickup_borough"]}],
    }
    assert len(admin.call("POST", "chart/data", body)["result"][0]["data"]) > 2
    found = queens_analyst.call("POST", "chart/data", body)["result"][0]["data"]
    assert found == [{"pickup_borough": "Queens"}]


def test_a_rule_hides_rows_and_no_columns_and_is_for_its_role_alone(queens_analyst, admin):
    described = "describe marts.MART_TAXI_TRIPS"
    assert queens_analyst.rows(described) == admin.rows(described)
    assert len(admin.rows(HELD[5])) > 2


def test_nobody_has_the_public_role_s_permissions(admin):
    public = admin.item("security/roles", name="Public")["id"]
    assert admin.call("GET", f"security/roles/{public}/permissions/")["result"] == []
