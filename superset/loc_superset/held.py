"""What Superset holds of charts and dashboards, in the form in which the bundle keeps it."""

import json

from superset.connectors.sqla.models import SqlaTable
from superset.extensions import db
from superset.models.dashboard import Dashboard
from superset.models.slice import Slice

from proto_loc.bundle import forms

VERSION = "1.0.0"
"""Of Superset's export format."""


def chart(item: Slice, known: dict) -> dict:
    """A chart.

    Args:
        item: as Superset holds it.
        known: its parameters in its file; what Explore adds to a chart that it saves is left out unless it is there.
    """
    held = _columns(item)
    held["params"] = json.loads(held.get("params") or "{}")
    made = {
        "slice_name": held["slice_name"],
        **{key: held.get(key) for key in forms.CHART},
        "viz_type": held["viz_type"],
        "params": held["params"],
        "uuid": str(item.uuid),
        "version": VERSION,
        "dataset_uuid": str(item.table.uuid) if item.table else "",
        "query_context": item.query_context,
    }
    return forms.short_chart(made, known)


def dashboard(item: Dashboard) -> dict:
    """A dashboard. A chart that was added to it in Explore has no place yet: it gets a row of its own at the end."""
    held = _columns(item)
    made = {
        "dashboard_title": held["dashboard_title"],
        **{key: held.get(key) for key in forms.DASHBOARD},
        "published": bool(held["published"]),
        "uuid": str(item.uuid),
        "version": VERSION,
        "metadata": json.loads(held.get("json_metadata") or "{}"),
        "position": json.loads(held.get("position_json") or "{}") or {"GRID_ID": {"children": []}},
    }
    _name_charts(made["position"], item)
    _name_datasets(made["metadata"])
    return forms.short_dashboard(made)


def _columns(item: Slice | Dashboard) -> dict:
    return item.export_to_dict(recursive=False, include_parent_ref=False, include_defaults=True, export_uuids=True)


def _name_charts(position: dict, item: Dashboard) -> None:
    known = {chart.id: str(chart.uuid) for chart in item.slices}
    placed = set()
    for node in position.values():
        if isinstance(node, dict) and node.get("type") == "CHART":
            number = node["meta"].get("chartId")
            if number not in known and (found := db.session.get(Slice, number)):
                known[number] = str(found.uuid)
            node["meta"]["uuid"] = known.get(number, node["meta"].get("uuid", ""))
            placed.add(number)
    where = position["GRID_ID"] if position.get("GRID_ID", {}).get("children") or "ROOT_ID" not in position else None
    if where is None:  # tabs: into the first
        tab = next((node for node in position.values() if isinstance(node, dict) and node.get("type") == "TAB"), None)
        where = tab or position["GRID_ID"]
    for number, uuid in sorted(known.items()):
        if number not in placed:
            row, key = f"ROW-{uuid}", f"CHART-{uuid}"
            where.setdefault("children", []).append(row)
            position[row] = {"type": "ROW", "children": [key], "meta": {}}
            position[key] = {"type": "CHART", "meta": {"chartId": number, "uuid": uuid, "width": 4, "height": 50}}


def _name_datasets(metadata: dict) -> None:
    for each in metadata.get("native_filter_configuration") or []:
        for target in each.get("targets") or []:
            if (number := target.pop("datasetId", None)) is not None and (found := db.session.get(SqlaTable, number)):
                target["datasetUuid"] = str(found.uuid)
