"""`loc superset export` writes changes, made in Superset by its REST API, into the files."""

import difflib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from supersets import Superset, copied

from proto_loc.superset.bundle import check

pytestmark = pytest.mark.xdist_group("superset")


@pytest.fixture
def served(own: Superset, folder: Path) -> Iterator[Superset]:
    """A server of one test; ``folder`` has the files of its provisioning."""
    own.start()
    yield own


def export(superset: Superset, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return superset.run("proto_loc.superset.export", "--folder", str(folder), *arguments)


def texts(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted((folder / "bundle").rglob("*.yaml"))
    }


def changes(before: dict[str, str], folder: Path) -> dict[str, list[str]]:
    """Return the changed lines by file: removed ones with a minus, new ones with a plus."""
    after, found = texts(folder), {}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, "").splitlines(), after.get(name, "").splitlines()
        lines = [
            line
            for line in difflib.unified_diff(old, new, lineterm="", n=0)
            if line[:3] not in ("---", "+++")
        ]
        if lines := [line for line in lines if not line.startswith("@@")]:
            found[name.removeprefix("bundle/")] = lines
    return found


def change_chart(person, title: str, **params) -> int:
    """Save a chart with these parameters and with Explore's additions, as Explore's page does."""
    chart = person.item("chart", slice_name=title)["id"]
    held = json.loads(person.call("GET", f"chart/{chart}")["result"]["params"])
    form = {
        **held,
        "slice_id": chart,
        "datasource": "1__table",
        "extra_form_data": {},
        "dashboards": [1],
        **params,
    }
    person.call("PUT", f"chart/{chart}", {"params": json.dumps(form), "query_context": "{}"})
    return chart


@pytest.mark.slow
def test_after_provisioning_there_is_nothing_to_export(served, folder):
    before = texts(folder)
    done = export(served, folder)
    assert done.returncode == 0 and "The files say what Superset holds." in done.stdout, done.stderr
    assert changes(before, folder) == {}


@pytest.mark.slow
def test_a_dashboard_that_people_looked_at_is_not_changed(served, folder):
    """A dashboard's page saves the colours of labels, and the charts that each filter affects."""
    before, admin = texts(folder), served.log_in()
    dashboard = admin.item("dashboard", dashboard_title="Taxi overview")["id"]
    held = json.loads(admin.call("GET", f"dashboard/{dashboard}")["result"]["json_metadata"])
    charts = [each["id"] for each in admin.call("GET", f"dashboard/{dashboard}/charts")["result"]]
    held |= {
        "map_label_colors": {"Cash": "#123456"},
        "color_scheme_domain": ["#123456"],
        "shared_label_colors": ["Cash"],
    }
    held["global_chart_configuration"]["chartsInScope"] = charts
    held["chart_configuration"] = {
        str(chart): {"id": chart, "crossFilters": {"scope": "global", "chartsInScope": charts}}
        for chart in charts
    }
    for each in held["native_filter_configuration"]:
        each |= {"chartsInScope": charts, "tabsInScope": []}
    admin.call("PUT", f"dashboard/{dashboard}", {"json_metadata": json.dumps(held)})
    assert export(served, folder).returncode == 0
    assert changes(before, folder) == {}


def test_what_was_changed_is_all_that_differs_and_provisioning_it_gives_the_same(
    served, folder, provisioned, tmp_path, port_prefix
):
    before, admin = texts(folder), served.log_in()
    change_chart(admin, "Trips", subtitle="in all", show_metric_name=False, matrixify_enable=False)
    dashboard = admin.item("dashboard", dashboard_title="Taxi overview")["id"]
    result = admin.call("GET", f"dashboard/{dashboard}")["result"]
    position, about = json.loads(result["position_json"]), json.loads(result["json_metadata"])
    position["CHART-trips"]["meta"]["width"] = 1
    position["CHART-trips"]["meta"]["sliceNameOverride"] = "All trips"
    about["native_filter_configuration"][1]["name"] = "Taxi"
    admin.call(
        "PUT",
        f"dashboard/{dashboard}",
        {
            "position_json": json.dumps(position),
            "json_metadata": json.dumps(about),
            "css": ".x {color: red}",
        },
    )
    done = export(served, folder)
    assert done.returncode == 0, done.stderr
    assert changes(before, folder) == {
        "charts/trips.yaml": ["-  subtitle: accepted trips", "+  subtitle: in all"],
        "dashboards/taxi_overview.yaml": [
            "-      name: Colour",
            "+      name: Taxi",
            "-      width: 2",
            "+      width: 1",
            "+      sliceNameOverride: All trips",
            "+css: '.x {color: red}'",
        ],
    }
    assert check.faults(folder / "bundle") == []
    assert "was changed in Superset" not in served.provision(folder=folder), (
        "what was exported counts as the file's"
    )
    exported = texts(folder)
    again = Superset(copied(provisioned, tmp_path / "again"), port_prefix)
    assert "were imported" in again.provision(folder=folder)
    assert "The files say what Superset holds." in export(again, folder).stdout
    assert changes(exported, folder) == {}


def test_values_come_back_as_they_are(served, folder):
    """Bug: texts such as `Off` were written without quotes, and read as false."""
    values = {
        "subtitle": "Off",
        "y_axis_title": "1:30",
        "legend": ["yes", "on", "~", "2024-01-01", "012", "# x", "a: b"],
        "colours": {"No": "#fff", "null": 1},
        "low": 1e-07,
        "high": -2e20,
        "third": 0.5,
        "text": "# A\n\nb: *c*\n",
    }
    change_chart(served.log_in(), "Trips", **values)
    assert export(served, folder).returncode == 0
    held = yaml.safe_load((folder / "bundle/charts/trips.yaml").read_text())["params"]
    assert {key: held[key] for key in values} == values
    assert "The files say what Superset holds." in export(served, folder).stdout


@pytest.mark.slow
def test_comments_and_the_order_of_a_file_stay(served, folder):
    path = folder / "bundle/charts/trips.yaml"
    path.write_text(
        "# The first figure.\n"
        + path.read_text().replace("metric: trips", "metric: trips  # accepted ones")
    )
    served.provision(folder=folder)
    before = texts(folder)
    change_chart(served.log_in(), "Trips", subtitle="in all")
    assert export(served, folder).returncode == 0
    assert changes(before, folder) == {
        "charts/trips.yaml": ["-  subtitle: accepted trips", "+  subtitle: in all"]
    }


def new_chart(admin, title: str, dataset: str, dashboards: tuple[int, ...]) -> int:
    number = admin.item("dataset", table_name=dataset)["id"]
    return admin.call(
        "POST",
        "chart/",
        {
            "slice_name": title,
            "viz_type": "big_number_total",
            "datasource_id": number,
            "datasource_type": "table",
            "params": json.dumps({"viz_type": "big_number_total", "metric": "passengers"}),
            "dashboards": list(dashboards),
        },
    )["id"]


@pytest.mark.slow
def test_a_chart_that_was_put_on_a_dashboard_comes_with_it(served, folder):
    before, admin = texts(folder), served.log_in()
    dashboard = admin.item("dashboard", dashboard_title="Taxi overview")["id"]
    new_chart(admin, "Passengers in all!", "mart_taxi_trips", (dashboard,))
    assert export(served, folder).returncode == 0
    found = changes(before, folder)
    assert found.keys() == {"charts/passengers_in_all.yaml", "dashboards/taxi_overview.yaml"}
    made = yaml.safe_load((folder / "bundle/charts/passengers_in_all.yaml").read_text())
    assert made["params"] == {"metric": "passengers"} and list(made)[:3] == [
        "slice_name",
        "viz_type",
        "params",
    ]
    assert all(line.startswith("+") for line in found["dashboards/taxi_overview.yaml"])
    assert check.faults(folder / "bundle") == []
    assert "The files say what Superset holds." in export(served, folder).stdout
    assert "was changed in Superset" not in served.provision(folder=folder)


@pytest.mark.slow
def test_a_chart_on_a_dataset_that_the_bundle_lacks_is_named_and_nothing_written(served, folder):
    before, admin = texts(folder), served.log_in()
    database = admin.item("database", database_name="prod")["id"]
    sql = "select 1 as passengers"
    admin.call(
        "POST",
        "dataset/",
        {"database": database, "table_name": "mine", "sql": sql, "schema": "marts"},
    )
    change_chart(admin, "Trips", subtitle="in all")
    new_chart(
        admin, "Mine", "mine", (admin.item("dashboard", dashboard_title="Taxi overview")["id"],)
    )
    done = export(served, folder)
    assert done.returncode == 1
    assert (
        "'Mine'" in done.stderr and "'marts.mine'" in done.stderr and "Traceback" not in done.stderr
    )
    assert changes(before, folder) == {}


@pytest.mark.slow
def test_a_dashboard_of_a_persons_own_is_taken_in_where_asked(served, folder):
    before, admin = texts(folder), served.log_in()
    own = admin.call("POST", "dashboard/", {"dashboard_title": "My own"})["id"]
    new_chart(admin, "Mine", "mart_taxi_trips", (own,))
    assert export(served, folder).returncode == 0
    assert changes(before, folder) == {}
    done = export(served, folder, "--add", "Not there")
    assert done.returncode == 1 and "'My own'" in done.stderr
    assert export(served, folder, "--add", "My own").returncode == 0
    assert changes(before, folder).keys() == {"charts/mine.yaml", "dashboards/my_own.yaml"}
    assert check.faults(folder / "bundle") == []


@pytest.mark.slow
def test_metrics_and_columns_of_a_dataset_stay_and_it_is_said(served, folder):
    before, admin = texts(folder), served.log_in()
    dataset = admin.item("dataset", table_name="mart_taxi_trips")["id"]
    metrics = admin.call("GET", f"dataset/{dataset}")["result"]["metrics"]
    kept = ("id", "metric_name", "expression", "verbose_name", "description", "d3format", "uuid")
    metrics = [{key: each[key] for key in kept if each.get(key) is not None} for each in metrics]
    metrics[0]["expression"] = "count(*)"
    admin.call("PUT", f"dataset/{dataset}", {"metrics": metrics})
    done = export(served, folder)
    assert done.returncode == 0, done.stderr
    assert "datasets/taxi_trips.yaml: stays" in done.stdout and "loc generate" in done.stdout
    assert changes(before, folder) == {}


@pytest.mark.slow
def test_a_file_that_changed_since_is_not_lost(served, folder):
    """The file keeps its change until the next provisioning.

    If the same object was changed in Superset, nothing is written.
    """
    path = folder / "bundle/charts/trips.yaml"
    path.write_text(path.read_text().replace("accepted trips", "by file"))
    before = texts(folder)
    assert (
        "charts/trips.yaml: changed since it was provisioned, it stays"
        in export(served, folder).stdout
    )
    change_chart(served.log_in(), "Trips", subtitle="by page")
    done = export(served, folder)
    assert (
        done.returncode == 1 and "charts/trips.yaml" in done.stderr and "--overwrite" in done.stderr
    )
    assert changes(before, folder) == {}
    assert export(served, folder, "--overwrite").returncode == 0
    assert changes(before, folder) == {
        "charts/trips.yaml": ["-  subtitle: by file", "+  subtitle: by page"]
    }


@pytest.mark.slow
def test_what_was_deleted_in_superset_leaves_the_files(served, folder):
    before, admin = texts(folder), served.log_in()
    admin.call("DELETE", f"chart/{admin.item('chart', slice_name='Trips between boroughs')['id']}")
    dashboard = admin.item("dashboard", dashboard_title="Taxi overview")["id"]
    position = json.loads(admin.call("GET", f"dashboard/{dashboard}")["result"]["position_json"])
    position["GRID_ID"]["children"].remove("ROW-boroughs")
    del position["ROW-boroughs"], position["CHART-trips_between_boroughs"]
    admin.call("PUT", f"dashboard/{dashboard}", {"position_json": json.dumps(position)})
    assert export(served, folder).returncode == 0
    found = changes(before, folder)
    assert found.keys() == {"charts/trips_between_boroughs.yaml", "dashboards/taxi_overview.yaml"}
    assert all(line.startswith("-") for lines in found.values() for line in lines)
    assert check.faults(folder / "bundle") == []
