"""Provisioning if people made or deleted the same objects, or if rules are not valid."""

import json
import re
import shutil
import uuid
from pathlib import Path

import pytest
from supersets import dashboard

from proto_loc.errors import LocError
from proto_loc.superset.role_rules import read_rules

pytestmark = pytest.mark.xdist_group("superset-provision")


def copy(folder: Path, name: str, new: str, **changes: str) -> None:
    """Copy a file of the bundle, with another uuid and other values of these keys."""
    path = folder / "bundle" / new
    shutil.copy(folder / "bundle" / name, path)
    lines = [f"{key}: {value}" for key, value in {"uuid": uuid.uuid4(), **changes}.items()]
    keep = [
        line
        for line in path.read_text().splitlines()
        if line.partition(":")[0] not in {"uuid", *changes}
    ]
    path.write_text("\n".join([*keep, *lines]) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("dashboards/data_quality_and_freshness.yaml", {"slug": "team"}),
        ("datasets/publication.yaml", {"table_name": "rejected_trips"}),
    ],
)
def test_what_a_person_made_is_not_taken_over_by_a_file_of_the_same_name(
    superset, own, folder, file, changes
):
    """Bug: Superset's import turned a person's object into an object of the bundle.

    It did so to the dashboard with the same slug, and to the dataset on the same table. When the
    file was deleted, the object was deleted too.
    """
    shutil.rmtree(own.home / "data/warehouse")
    shutil.copytree(superset.home / "data/warehouse", own.home / "data/warehouse", symlinks=True)
    admin = own.start().log_in()
    chart = admin.call("POST", "chart/", {
        "slice_name": "Mine", "viz_type": "table", "datasource_type": "table",
        "datasource_id": admin.item("dataset", table_name="publication")["id"],
    })["id"]  # fmt: skip
    made = dashboard(admin, "Mine", chart)
    admin.call("PUT", f"dashboard/{made}", {"slug": "team"})
    database = admin.item("database", database_name="prod")["id"]
    dataset = admin.call(
        "POST",
        "dataset/",
        {"database": database, "schema": "marts", "table_name": "rejected_trips"},
    )
    seen = lambda: [  # noqa: E731
        admin.call("GET", f"dashboard/{made}")["result"]["position_json"],
        sorted(
            each["column_name"]
            for each in admin.call("GET", f"dataset/{dataset['id']}")["result"]["columns"]
        ),
    ]
    before = seen()
    copy(folder, file, f"{file.partition('/')[0]}/another.yaml", **changes)
    said = own.provision(folder=folder, check=False)
    assert (
        "another.yaml cannot be imported; nothing of the bundle was." in said
        and "Traceback" not in said
    )
    assert next(iter(changes.values())) in said
    assert seen() == before
    (folder / "bundle" / file.partition("/")[0] / "another.yaml").unlink()
    assert "error" not in own.provision(folder=folder)
    assert seen() == before


@pytest.mark.slow
def test_a_dataset_that_was_deleted_comes_back_for_charts_and_filters(own, folder):
    """Bug: the new dataset has another id, but the filters of the dashboards had the old one.

    Its charts counted as changed.
    """
    admin = own.start().log_in()
    database = admin.item("database", database_name="prod")["id"]
    admin.call("DELETE", f"dataset/{admin.item('dataset', table_name='mart_data_quality')['id']}")
    mine = {"database": database, "schema": "marts", "table_name": "mine", "sql": "select 1 as x"}
    admin.call("POST", "dataset/", mine)
    assert "was changed" not in own.provision()
    dataset = admin.item("dataset", table_name="mart_data_quality")["id"]
    about = json.loads(
        admin.call("GET", "dashboard/data-quality-and-freshness")["result"]["json_metadata"]
    )
    targets = [each["targets"][0] for each in about["native_filter_configuration"]]
    assert [target["datasetId"] for target in targets if target] == [dataset, dataset]
    charts = admin.call("GET", "dashboard/data-quality-and-freshness/charts")["result"]
    assert dataset in {int(chart["form_data"]["datasource"].partition("__")[0]) for chart in charts}
    assert "imported" not in own.provision()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "cannot be read"),
        ("Queens: [", "line 1"),
        ("- abc", "must map each role"),
        ("Viewer: {boroughs: [Queens]}", "'Viewer' is no name"),
        ("All rows: {boroughs: [Queens]}", "'All rows' is no name"),
        ("1: {boroughs: [Queens]}", "1 is no name"),
        ("Queens: boroughs", "has no claims"),
        ("Queens: {}", "has no claims"),
        ("Queens: {borough: [Queens]}", "rules read: boroughs"),
        ("Queens: {boroughs: Queens}", "is no list of names"),
        ("Queens: {boroughs: []}", "is no list of names"),
        ("Queens: {boroughs: [1]}", "is no list of names"),
        (f"{'Q' * 80}: {{boroughs: [Queens]}}", "longer than 80"),
    ],
)
def test_roles_that_are_not_sound_are_named(folder, text, why):
    path = folder / "roles.yaml"
    path.write_text(text) if text is not None else path.unlink()
    with pytest.raises(LocError, match=re.escape(why)):
        read_rules(folder)


def test_roles_that_are_not_sound_stop_the_provisioning(unserved, folder):
    (folder / "roles.yaml").write_text("Queens: {boroughs: []}")
    answer = unserved.provision(folder=folder, check=False)
    assert "error: " in answer and "is no list of names" in answer and "Traceback" not in answer
