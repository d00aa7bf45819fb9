"""Serializes Superset's charts and dashboards in the bundle's short form."""

import json

from superset.connectors.sqla.models import SqlaTable
from superset.extensions import db
from superset.models.dashboard import Dashboard
from superset.models.slice import Slice

from proto_loc.superset.bundle import forms

VERSION = "1.0.0"
"""The version of Superset's export format."""


def chart(item: Slice, known: dict) -> dict:
    """Serialize a chart.

    Args:
        known: the parameters in its file; defaults that Explore adds are left out unless they are
            in it.
    """
    columns = _columns(item)
    columns["params"] = json.loads(columns.get("params") or "{}")
    made = {
        "slice_name": columns["slice_name"],
        **{key: columns.get(key) for key in forms.CHART},
        "viz_type": columns["viz_type"],
        "params": columns["params"],
        "uuid": str(item.uuid),
        "version": VERSION,
        "dataset_uuid": str(item.table.uuid) if item.table else "",
        "query_context": item.query_context,
    }
    return forms.short_chart(made, known)


def dashboard(item: Dashboard) -> dict:
    """Serialize a dashboard; a chart that was added in Explore gets a row at the end."""
    columns = _columns(item)
    made = {
        "dashboard_title": columns["dashboard_title"],
        **{key: columns.get(key) for key in forms.DASHBOARD},
        "published": bool(columns["published"]),
        "uuid": str(item.uuid),
        "version": VERSION,
        "metadata": json.loads(columns.get("json_metadata") or "{}"),
        "position": json.loads(columns.get("position_json") or "{}")
        or {"GRID_ID": {"children": []}},
    }
    _name_charts(made["position"], item)
    _name_datasets(made["metadata"])
    return forms.short_dashboard(made)


def _columns(item: Slice | Dashboard) -> dict:
    return item.export_to_dict(
        recursive=False, include_parent_ref=False, include_defaults=True, export_uuids=True
    )


def _name_charts(position: dict, item: Dashboard) -> None:
    known = {chart.id: str(chart.uuid) for chart in item.slices}
    placed = set()
    for node in position.values():
        if isinstance(node, dict) and node.get("type") == "CHART":
            number = node["meta"].get("chartId")
            if number not in known and (slice_found := db.session.get(Slice, number)):
                known[number] = str(slice_found.uuid)
            node["meta"]["uuid"] = known.get(number, node["meta"].get("uuid", ""))
            placed.add(number)
    nodes = [node for node in position.values() if isinstance(node, dict)]
    tab = next((node for node in nodes if node.get("type") == "TAB"), None)
    if tab is None or position.get("GRID_ID", {}).get("children") or "ROOT_ID" not in position:
        where = position["GRID_ID"]
    else:
        where = tab
    for number, uuid in sorted(known.items()):
        if number not in placed:
            row, key = f"ROW-{uuid}", f"CHART-{uuid}"
            where.setdefault("children", []).append(row)
            position[row] = {"type": "ROW", "children": [key], "meta": {}}
            position[key] = {
                "type": "CHART",
                "meta": {"chartId": number, "uuid": uuid, "width": 4, "height": 50},
            }


def _name_datasets(metadata: dict) -> None:
    for item in metadata.get("native_filter_configuration") or []:
        for target in item.get("targets") or []:
            if (number := target.pop("datasetId", None)) is not None and (
                dataset := db.session.get(SqlaTable, number)
            ):
                target["datasetUuid"] = str(dataset.uuid)
