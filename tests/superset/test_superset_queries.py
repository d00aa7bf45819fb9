"""Provisioning saves a chart with the same query that a browser sends.

After an upgrade of Superset, a failure here shows which rule of
``proto_loc/superset/bundle/queries.py`` has changed.
"""

import json
import time
from collections.abc import Callable

import pytest
from pages import Pages
from supersets import Person

from proto_loc.superset.bundle import forms, queries

pytestmark = pytest.mark.xdist_group("superset")

TOTAL = {"expressionType": "SQL", "sqlExpression": "sum(total_amount)", "label": "Total"}
WEEK = {"expressionType": "SQL", "sqlExpression": "date_trunc('week', pickup_at)", "label": "Week"}
CONDITIONS = [
    {"clause": "WHERE", "expressionType": "SQL", "sqlExpression": "colour = 'green' -- only these"},
    {"clause": "HAVING", "expressionType": "SQL", "sqlExpression": "count(*) > 1"},
    {
        "clause": "WHERE",
        "expressionType": "SIMPLE",
        "subject": "colour",
        "operator": "IN",
        "comparator": ["green"],
    },
    {"clause": "WHERE", "expressionType": "SIMPLE", "subject": "colour", "operator": "IS NOT NULL"},
]
TRIPS = {"metrics": ["trips"], "x_axis": "pickup_at"}
CELLS = {
    "groupbyRows": ["colour"],
    "groupbyColumns": ["pickup_at"],
    "metrics": ["trips", "revenue"],
}
CHARTS = [
    ("big_number", {"metric": "trips", "x_axis": "pickup_at"}),
    (
        "big_number",
        {
            "metric": "trips",
            "x_axis": "pickup_at",
            "aggregation": "raw",
            "time_grain_sqla": "P1M",
            "rolling_type": "mean",
            "rolling_periods": 3,
        },
    ),
    ("big_number_total", {"metric": TOTAL, "adhoc_filters": CONDITIONS}),
    (
        "bubble_v2",
        {
            "entity": "pickup_zone",
            "x": "trips",
            "y": "revenue",
            "size": "tip_rate",
            "orderby": TOTAL,
        },
    ),
    ("echarts_area", {**TRIPS, "groupby": ["colour"], "rolling_type": "cumsum"}),
    ("echarts_timeseries", TRIPS),
    (
        "echarts_timeseries_bar",
        {
            "metrics": ["trips", TOTAL],
            "x_axis": WEEK,
            "groupby": ["colour"],
            "time_grain_sqla": "P1M",
            "contributionMode": "row",
        },
    ),
    (
        "echarts_timeseries_bar",
        {
            **TRIPS,
            "groupby": ["pickup_borough"],
            "limit": 3,
            "order_desc": False,
            "timeseries_limit_metric": "revenue",
        },
    ),
    (
        "echarts_timeseries_line",
        {
            "metrics": ["trips"],
            "x_axis": "pickup_borough",
            "x_axis_sort": "revenue",
            "x_axis_sort_asc": False,
            "timeseries_limit_metric": "revenue",
        },
    ),
    ("echarts_timeseries_scatter", {**TRIPS, "truncate_metric": False, "groupby": ["colour"]}),
    ("echarts_timeseries_smooth", {**TRIPS, "show_empty_columns": False}),
    ("echarts_timeseries_step", {**TRIPS, "resample_rule": "1D", "resample_method": "zerofill"}),
    ("heatmap_v2", {"x_axis": "pickup_hour", "groupby": "pickup_weekday", "metric": "trips"}),
    (
        "heatmap_v2",
        {
            "x_axis": "pickup_at",
            "groupby": "colour",
            "metric": TOTAL,
            "time_grain_sqla": "P1M",
            "normalize_across": "y",
            "sort_x_axis": "value_desc",
        },
    ),
    ("pie", {"groupby": ["colour"], "metric": "trips"}),
    ("pie", {"groupby": ["colour", "pickup_borough"], "metric": TOTAL, "sort_by_metric": False}),
    ("pivot_table_v2", CELLS),
    (
        "pivot_table_v2",
        {**CELLS, "time_grain_sqla": "P1M", "series_limit_metric": "revenue", "order_desc": False},
    ),
    (
        "table",
        {
            "query_mode": "raw",
            "all_columns": ["trip_id", "pickup_at"],
            "row_limit": 7,
            "order_by_cols": ['["pickup_at", false]'],
        },
    ),
    ("table", {"groupby": ["colour"], "metrics": ["trips"]}),
    (
        "table",
        {
            "groupby": ["colour", "pickup_at"],
            "metrics": ["trips"],
            "percent_metrics": ["revenue"],
            "percent_metric_calculation": "all_records",
            "show_totals": True,
            "time_grain_sqla": "P1M",
            "query_mode": "aggregate",
            "order_desc": False,
            "timeseries_limit_metric": "revenue",
        },
    ),
]
"""Types and parameters that a fork's charts may have, in addition to those of the bundle."""


@pytest.fixture
def asked(browser, superset) -> Callable[[str, int], dict[int, dict]]:
    """The requests that a dashboard's page sends, by chart."""

    def ask(dashboard: str, count: int) -> dict[int, dict]:
        pages, found = Pages(browser, superset), {}
        pages.page.set_viewport_size({"width": 1400, "height": 3000})

        def keep(request) -> None:
            if "/api/v1/chart/data" in request.url and (
                chart := request.post_data_json["form_data"].get("slice_id")
            ):
                found.setdefault(chart, request.post_data_json)

        pages.page.on("request", keep)
        pages.page.goto(f"{superset.url}/superset/dashboard/{dashboard}/")
        end = time.monotonic() + 90
        while len(found) < count and time.monotonic() < end:
            pages.page.wait_for_timeout(200)
        pages.close()
        return found

    return ask


def test_a_chart_of_the_bundle_has_saved_what_a_browser_sends(asked, admin):
    for slug in ("taxi-overview", "data-quality-and-freshness"):
        charts = admin.call("GET", f"dashboard/{slug}/charts")["result"]
        sent = asked(slug, len(charts))
        for chart in charts:
            held = json.loads(admin.call("GET", f"chart/{chart['id']}")["result"]["query_context"])
            form, other = held.pop("form_data"), sent[chart["id"]].pop("form_data")
            assert held == sent[chart["id"]], chart["slice_name"]
            page = {
                key: value
                for key, value in other.items()
                if key in form and key not in forms.OF_THE_PAGE
            }
            assert page == {
                key: value for key, value in form.items() if key not in forms.OF_THE_PAGE
            }


def test_a_chart_of_a_fork_gets_what_a_browser_sends(asked, admin):
    """The test covers each type of chart that the check knows, with the parameters that change its
    query.
    """
    dataset = admin.item("dataset", table_name="mart_taxi_trips")["id"]
    columns = admin.call("GET", f"dataset/{dataset}")["result"]["columns"]
    temporal = [column["column_name"] for column in columns if column["is_dttm"]]
    made = {}
    for viz_type, given in CHARTS:
        params = {**given, **queries.temporal_lookup(viz_type, temporal), "viz_type": viz_type}
        made[add(admin, dataset, viz_type, params)] = (viz_type, params)
    board = admin.call(
        "POST", "dashboard/", {"dashboard_title": "Queries", "position_json": layout(made)}
    )["id"]
    for chart in made:
        admin.call("PUT", f"chart/{chart}", {"dashboards": [board]})
    try:
        sent = asked(str(board), len(made))
    finally:
        admin.call("DELETE", f"dashboard/{board}")
        for chart in made:
            admin.call("DELETE", f"chart/{chart}")
    assert {viz_type for viz_type, _ in CHARTS} == set(queries.TYPES)
    for chart, (viz_type, params) in made.items():
        assert queries.context(viz_type, params, temporal)["queries"] == sent[chart]["queries"], (
            params
        )


def add(admin: Person, dataset: int, viz_type: str, params: dict) -> int:
    return admin.call(
        "POST",
        "chart/",
        {
            "slice_name": viz_type,
            "viz_type": viz_type,
            "datasource_id": dataset,
            "datasource_type": "table",
            "params": json.dumps(params),
        },
    )["id"]


def layout(charts) -> str:
    """Return a layout with one row per chart."""
    position = {f"ROW-{chart}": {"children": [f"CHART-{chart}"]} for chart in charts}
    position |= {
        f"CHART-{chart}": {"meta": {"chartId": chart, "width": 4, "height": 10}} for chart in charts
    }
    position["GRID_ID"] = {"children": [f"ROW-{chart}" for chart in charts]}
    return json.dumps(forms.full_position(position, "Queries"))
