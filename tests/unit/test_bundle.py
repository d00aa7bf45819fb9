"""Tests of the checks that ``loc generate --check`` runs on the bundle of dashboards."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from proto_loc.dbt import parse
from proto_loc.metrics import read as definitions
from proto_loc.settings import ROOT
from proto_loc.superset.bundle import check, forms
from proto_loc.superset.bundle.read import read

TABLES = {
    f"{model.schema}.{model.table}": {column.name for column in model.columns}
    for model in definitions.read(parse.manifest())
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "superset/bundle", tmp_path / "bundle"))


def broken(bundle: Path, name: str, old: str, new: str) -> list[str]:
    """Replace a text in one file, at its first place; return the errors of the check."""
    path = bundle / name
    text = path.read_text()
    assert text.count(old) >= 1, f"{old!r} is not in {name}"
    path.write_text(text.replace(old, new, 1))
    return check.faults(bundle, TABLES)


def line(bundle: Path, name: str, words: str) -> int:
    return next(
        n for n, text in enumerate((bundle / name).read_text().splitlines(), 1) if words in text
    )


OVERVIEW, QUALITY = "dashboards/taxi_overview.yaml", "dashboards/data_quality_and_freshness.yaml"


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (
            "charts/trips_by_weekday_and_hour.yaml",
            "(pickup_weekday - 1)",
            "(weekday - 1)",
            "has no column 'weekday'",
        ),
        ("charts/origin_of_the_data.yaml", "max(month)", "max(months)", "has no column 'months'"),
        ("charts/origin_of_the_data.yaml", "max(month)", "max(month", "cannot be asked for"),
        (
            "charts/origin_of_the_data.yaml",
            "max(month)",
            "getenv('HOME')",
            "getenv is not allowed here",
        ),
        (
            "datasets/taxi_trips.yaml",
            "expression: count(trip_id)",
            "expression: count(id)",
            "has no column 'id'",
        ),
    ],
)
def test_sql_in_a_file_is_held_to_the_mart(bundle, name, old, new, said):
    (fault,) = broken(bundle, name, old, new)
    assert fault.startswith(f"{name}:{line(bundle, name, new)}: ") and said in fault


FILTERS = ("metadata", "native_filter_configuration")


@pytest.mark.parametrize(
    ("name", "keys", "value"),
    [
        ("charts/top_zones.yaml", ("params",), "text"),
        ("charts/top_zones.yaml", ("params", "adhoc_filters"), {"a": {}}),
        ("charts/top_zones.yaml", ("params", "adhoc_filters"), [[]]),
        ("charts/top_zones.yaml", ("params", "adhoc_filters", 0, "subject"), [[]]),
        ("charts/pickups_by_zone.yaml", ("params", "x", "column", "column_name"), ["a"]),
        ("datasets/publication.yaml", ("metrics", 0), "text"),
        ("datasets/publication.yaml", ("columns", 0, "column_name"), {"a": {}}),
        (OVERVIEW, ("position", "GRID_ID", "children"), 5),
        (OVERVIEW, ("position", "CHART-trips", "meta"), [[]]),
        (OVERVIEW, ("position", "CHART-trips", "meta"), None),
        (OVERVIEW, ("position", "ROW-trend", "children"), None),
        (OVERVIEW, (*FILTERS, 1), "text"),
        (OVERVIEW, (*FILTERS, 1, "targets", 0, "column"), [[]]),
        (OVERVIEW, (*FILTERS, 1, "scope", "excluded"), True),
    ],
)
def test_a_value_of_another_shape_is_a_fault_and_no_traceback(bundle, name, keys, value):
    path = bundle / name
    part = content = yaml.safe_load(path.read_text())
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(yaml.safe_dump(content))
    assert any(fault.startswith(f"{name}:") for fault in check.faults(bundle, TABLES))


def test_the_bundle_is_sound(bundle):
    assert check.faults(bundle, TABLES) == []


MAP = "charts/pickups_by_zone.yaml"
BREAKS = [
    # file, old text, new text, place of the error, and words of its message
    (
        "charts/trips.yaml",
        "metric: trips",
        "metric: tripps",
        "metric:",
        "mart_taxi_trips has no metric 'tripps'",
    ),
    (
        "charts/top_zones.yaml",
        "- pickup_zone\n",
        "- zone\n",
        "- zone",
        "mart_taxi_trips has no column 'zone'",
    ),
    (
        "charts/trips.yaml",
        "subject: pickup_at",
        "subject: at",
        "subject:",
        "mart_taxi_trips has no column 'at'",
    ),
    (MAP, "column_name: pickup_latitude", "column_name: lat", "column_name: lat", "column 'lat'"),
    (MAP, "size: trips", "size: trip", "size:", "no metric 'trip'"),
    (
        "charts/about_the_data.yaml",
        "- column: note",
        "- column: notes",
        "- column: notes",
        "no column or metric",
    ),
    ("charts/trips_per_day.yaml", "x_axis: pickup_at", "x_axis: day", "x_axis:", "no column 'day'"),
    (
        "charts/trips.yaml",
        "dataset_uuid: 4",
        "dataset_uuid: 5",
        "dataset_uuid:",
        "no file has a dataset with this",
    ),
    ("charts/trips.yaml", "uuid: d7e", "uuid: d7f", None, "no dashboard shows this chart"),
    ("charts/trips.yaml", "viz_type:", "viz_type: [", None, "no YAML"),
    (
        "charts/trips.yaml",
        "version: 1.0.0",
        "version: 1.0.0\nversion: 1.0.0",
        None,
        "'version' is there twice",
    ),
    (
        "datasets/publication.yaml",
        "database_uuid: e",
        "database_uuid: f",
        "database_uuid:",
        "no file has a database",
    ),
    (
        "datasets/taxi_trips.yaml",
        "column_name: colour",
        "column_name: color",
        "column_name: color",
        "marts.mart_taxi_trips has no column 'color'",
    ),
    (
        "datasets/publication.yaml",
        "metric_name: tests_warned",
        "metric_name: tests_passed",
        None,
        "is there twice",
    ),
    (OVERVIEW, "uuid: d7e", "uuid: d7f", "uuid: d7f", "no file has a chart with this uuid"),
    (
        OVERVIEW,
        "width: 12",
        "width: 13",
        "ROW-about:",
        "what is in ROW-about is 13 columns wide, and there are 12",
    ),
    (OVERVIEW, "height: 16", "tall: 16", "CHART-about_the_data:", "has no height"),
    (OVERVIEW, "- CHART-trips\n", "- CHART-trip\n", None, "holds CHART-trip, which is not there"),
    (
        OVERVIEW,
        "- CHART-trips\n",
        "",
        "CHART-trips:",
        "CHART-trips is in no row, so it is not shown",
    ),
    (
        OVERVIEW,
        "- CHART-trips\n",
        "- CHART-trips\n      - CHART-top_zones\n",
        None,
        "is in ROW-figures and in ROW-z",
    ),
    (
        OVERVIEW,
        "name: pickup_borough",
        "name: borough",
        None,
        "is on 'borough', which mart_taxi_trips lacks",
    ),
    (OVERVIEW, "datasetUuid: 471", "datasetUuid: 472", None, "on a dataset that no file has"),
    (
        OVERVIEW,
        "filterType: filter_time",
        "filterType: filter_select",
        None,
        "'Date' points nowhere",
    ),
    (
        OVERVIEW,
        "id: NATIVE_FILTER-colour",
        "id: NATIVE_FILTER-date",
        None,
        "another filter has the id",
    ),
    (OVERVIEW, "- ROOT_ID", "- TAB-gone", None, "is for TAB-gone, which is not in the layout"),
    (
        OVERVIEW,
        "excluded:\n",
        "excluded:\n          - d7e35508-1bca-5092-9e4b-000000000000\n",
        None,
        "is not placed",
    ),
    (
        QUALITY,
        "slug: data-quality-and-freshness",
        "slug: taxi-overview",
        None,
        "the slug 'taxi-overview' is also",
    ),
]


@pytest.mark.parametrize(
    ("name", "old", "new", "at", "words"), BREAKS, ids=[each[4] for each in BREAKS]
)
def test_a_fault_is_found_by_file_and_line(bundle, name, old, new, at, words):
    found = [fault for fault in broken(bundle, name, old, new) if words in fault]
    assert found, check.faults(bundle, TABLES)
    if at:
        assert f"{name}:{line(bundle, name, at)}" in [fault.partition(": ")[0] for fault in found]


def test_two_files_with_one_uuid_are_named(bundle):
    shutil.copy(bundle / "charts/trips.yaml", bundle / "charts/again.yaml")
    found = check.faults(bundle, TABLES)
    assert any(
        each.startswith("charts/trips.yaml:") and "is also that of charts/again.yaml" in each
        for each in found
    )


def test_the_same_chart_twice_on_a_dashboard_is_a_fault(bundle):
    path = bundle / OVERVIEW
    content = yaml.safe_load(path.read_text())
    content["position"]["CHART-more"] = content["position"]["CHART-trips"]
    content["position"]["ROW-boroughs"]["children"].append("CHART-more")
    content["position"]["CHART-trips_between_boroughs"]["meta"]["width"] = 6
    path.write_text(yaml.safe_dump(content))
    assert [each for each in check.faults(bundle, TABLES) if "shows the same chart" in each]


def test_the_files_are_in_the_short_form(bundle):
    files = read(bundle)
    for document in files.of("dashboards"):
        assert document.content == forms.short_dashboard(document.content), document.name
    for document in files.of("charts"):
        short = forms.short_chart(document.content, document.content["params"])
        assert document.content == short, document.name


def test_no_id_of_one_superset_is_in_the_bundle(bundle):
    texts = "".join(path.read_text() for path in bundle.rglob("*.yaml"))
    for word in (
        "chartId",
        "datasetId",
        "slice_id",
        "datasource:",
        "chartsInScope",
        "map_label_colors",
        "parents:",
    ):
        assert word not in texts


def test_the_full_form_has_what_supersets_pages_need(bundle):
    short = yaml.safe_load((bundle / OVERVIEW).read_text())
    full = forms.full_dashboard(short)
    trips = full["position"]["CHART-trips"]
    assert trips["parents"] == ["ROOT_ID", "GRID_ID", "ROW-figures"]
    assert (trips["type"], trips["id"], trips["children"]) == ("CHART", "CHART-trips", [])
    numbers = [chart["meta"]["chartId"] for chart in forms.charts(full["position"])]
    assert len(numbers) == len(set(numbers)) == 13
    (excluded,) = full["metadata"]["native_filter_configuration"][0]["scope"]["excluded"]
    assert excluded == full["position"]["CHART-about_the_data"]["meta"]["chartId"]
    assert forms.short_dashboard(full) == forms.short_dashboard(short)


def test_both_dashboards_say_where_the_data_comes_from(bundle):
    """The note is the chart about the published version.

    It is the first chart, as wide as the page, and no filter affects it.
    """
    chart = yaml.safe_load((bundle / "charts/about_the_data.yaml").read_text())
    assert chart["params"]["groupby"][0] == "note"
    for name in (OVERVIEW, QUALITY):
        content = yaml.safe_load((bundle / name).read_text())
        position = content["position"]
        first = position[position["GRID_ID"]["children"][0]]["children"]
        assert [position[each]["meta"]["uuid"] for each in first] == [chart["uuid"]]
        assert position[first[0]]["meta"]["width"] == 12
        for each in content["metadata"]["native_filter_configuration"]:
            assert chart["uuid"] in each["scope"]["excluded"]


def test_dbts_exposures_are_the_dashboards_and_what_they_show(bundle):
    """The test compares the name, title, address, and the marts of the charts' datasets."""
    files = read(bundle)
    charts, datasets = files.by_uuid("charts"), files.by_uuid("datasets")
    exposures = [
        exposure
        for page in sorted((ROOT / "dbt/models/marts").glob("*exposures.yml"))
        for exposure in yaml.safe_load(page.read_text())["exposures"]
    ]
    models = {path.stem for path in (ROOT / "dbt/models/marts").glob("*.sql")}
    wanted = []
    for document in files.of("dashboards"):
        shown = {
            node["meta"]["uuid"]
            for node in forms.charts(forms.full_dashboard(document.content)["position"])
        }
        tables = {
            datasets[charts[uuid].content["dataset_uuid"]].content["table_name"] for uuid in shown
        }
        wanted.append({
            "name": document.name.partition("/")[2].removesuffix(".yaml"),
            "label": document.content["dashboard_title"],
            "description": document.content["description"],
            "url": f"http://127.0.0.1:8088/superset/dashboard/{document.content['slug']}/",
            "depends_on": sorted(f"ref('{table}')" for table in tables & models),
        })  # fmt: skip
    told = [{key: each.get(key) for key in wanted[0]} for each in exposures]
    assert sorted(told, key=lambda each: each["name"]) == sorted(
        wanted, key=lambda each: each["name"]
    )


def test_a_chart_whose_query_nothing_makes_is_named(bundle):
    """Such a chart would have no query, so there would be no API, CSV or report for its data."""
    name = "charts/trips.yaml"
    (fault,) = broken(bundle, name, "viz_type: big_number_total", "viz_type: mixed_timeseries")
    assert fault.startswith(f"{name}:{line(bundle, name, 'viz_type')}: ")
    assert "a chart of the type mixed_timeseries" in fault and "loc superset export" in fault
    path = bundle / name
    path.write_text(path.read_text() + "query_context: '{\"queries\": [{}]}'\n")
    assert check.faults(bundle, TABLES) == []


def test_a_query_that_a_browser_saved_is_kept_where_nothing_makes_it():
    saved = {
        "datasource": {"id": 7},
        "form_data": {"slice_id": 3, "metric": "a"},
        "queries": [{"metrics": ["a"]}],
    }
    chart = {
        "viz_type": "mixed_timeseries",
        "params": {"metric": "a"},
        "query_context": json.dumps(saved),
    }
    kept = json.loads(forms.short_chart(chart)["query_context"])
    assert kept == {"form_data": {"metric": "a"}, "queries": [{"metrics": ["a"]}]}
    assert "query_context" not in forms.short_chart({**chart, "viz_type": "table"})


def test_no_trend_of_the_bundle_has_partial_periods(bundle):
    """Months are loaded as a whole, weeks are not.

    Bug: the first and the last week showed a fall of revenue.
    """
    grains = {
        document.name: document.content["params"].get("time_grain_sqla")
        for document in read(bundle).of("charts")
    }
    assert {
        name: grain for name, grain in grains.items() if grain not in (None, "PT1H", "P1D", "P1M")
    } == {}
