"""Converts charts and dashboards between the bundle's short form and Superset's full form.

The full form is that of Superset's exports; a file may also be written in it. The short form leaves
out what follows from the rest (a component's parents, id and type, a chart's name), what Superset
adds by itself (assigned colours, the charts in a scope), and defaults. It names charts by their
uuid, not by the id in one database.
"""

import json
from copy import deepcopy
from functools import cache
from pathlib import Path

from proto_loc.superset.bundle import queries

DASHBOARD = {
    "css": "",
    "certified_by": "",
    "certification_details": "",
    "slug": None,
    "description": None,
}
"""The defaults of a dashboard's file."""
CHART = {
    "description": None,
    "certified_by": None,
    "certification_details": None,
    "cache_timeout": None,
}
SCOPE = {"rootPath": ["ROOT_ID"], "excluded": []}
FILTER = {
    "type": "NATIVE_FILTER",
    "description": "",
    "cascadeParentIds": [],
    "defaultDataMask": {"extraFormData": {}, "filterState": {}},
}
"""The defaults of a native filter."""
METADATA = {
    "cross_filters_enabled": True,
    "refresh_frequency": 0,
    "timed_refresh_immune_slices": [],
    "expanded_slices": {},
    "label_colors": {},
    "color_scheme": "",
    "color_namespace": "",
    "default_filters": "{}",
    "filter_scopes": {},
    "filter_bar_orientation": "VERTICAL",
    "show_chart_timestamps": False,
    "chart_customization_config": [],
    "native_filter_configuration": [],
}
_DEALT_OUT = (
    "map_label_colors",
    "shared_label_colors",
    "color_scheme_domain",
    "custom_label_colors",
    "positions",
    "remote_id",
    "import_time",
    "show_native_filters",
)
OF_THE_PAGE = (
    "datasource",
    "viz_type",
    "slice_id",
    "dashboards",
    "dashboardId",
    "url_params",
    "extra_form_data",
    "label_colors",
    "shared_label_colors",
    "map_label_colors",
    "color_scheme_domain",
    "own_color_scheme",
    "dashboard_color_scheme",
    "force",
    "result_format",
    "result_type",
    "save_action",
    "extra_filters",
    "native_filters",
    "chart_id",
    "temporal_columns_lookup",
)
_OF_A_FILTER = ("filterOptionName", "isExtra", "isNew", "datasourceWarning", "operatorId")
_OF_A_METRIC = ("optionName", "datasourceWarning", "isNew")
"""Keys of a filter or a metric that only the page uses on which a chart was saved."""


def full_dashboard(config: dict) -> dict:
    """Make the full form of a dashboard, with numbers in place of Superset's ids.

    The numbers come from the file, or else count the charts; Superset's import replaces them by
    ids.
    """
    made = {**DASHBOARD, **deepcopy(config)}
    made["position"] = full_position(made.get("position") or {}, made.get("dashboard_title", ""))
    numbers = {node["meta"]["uuid"]: node["meta"]["chartId"] for node in charts(made["position"])}
    metadata = made["metadata"] = {**deepcopy(METADATA), **(made.get("metadata") or {})}
    number = lambda chart: numbers.get(chart, chart)  # noqa: E731
    for item in metadata["native_filter_configuration"]:
        item.update({key: item.get(key, deepcopy(value)) for key, value in FILTER.items()})
        item["scope"] = _scope({**deepcopy(SCOPE), **(item.get("scope") or {})}, number)
    metadata["timed_refresh_immune_slices"] = [
        number(chart) for chart in metadata["timed_refresh_immune_slices"]
    ]
    metadata["expanded_slices"] = {
        str(number(chart)): value for chart, value in metadata["expanded_slices"].items()
    }
    whole = metadata.setdefault("global_chart_configuration", {"scope": deepcopy(SCOPE)})
    whole["scope"] = _scope(whole["scope"], number)
    whole.setdefault("chartsInScope", [])
    metadata["chart_configuration"] = {
        str(number(chart)): _own_scope(item, number(chart), number)
        for chart, item in metadata.get("chart_configuration", {}).items()
    }
    return made


def short_dashboard(config: dict) -> dict:
    """The short form of a dashboard, from a file or from Superset's export."""
    made = full_dashboard(config)
    uuids = {node["meta"]["chartId"]: node["meta"]["uuid"] for node in charts(made["position"])}
    uuids |= {str(number): uuid for number, uuid in uuids.items()}
    uuid = lambda number: uuids.get(number)  # noqa: E731
    metadata = made["metadata"]
    for item in metadata["native_filter_configuration"]:
        item["scope"] = _scope(item["scope"], uuid)
        for key, value in {**FILTER, "scope": SCOPE}.items():
            if item.get(key) == value:
                del item[key]
        for key in ("chartsInScope", "tabsInScope"):
            item.pop(key, None)
    metadata["timed_refresh_immune_slices"] = _known(metadata["timed_refresh_immune_slices"], uuid)
    metadata["expanded_slices"] = {
        uuid(key): value for key, value in metadata["expanded_slices"].items() if uuid(key)
    }
    metadata["global_chart_configuration"].pop("chartsInScope", None)
    metadata["global_chart_configuration"]["scope"] = _scope(
        metadata["global_chart_configuration"]["scope"], uuid
    )
    metadata["chart_configuration"] = {
        uuid(number): {"crossFilters": {"scope": _scope(item["crossFilters"]["scope"], uuid)}}
        for number, item in metadata["chart_configuration"].items()
        if uuid(number) and isinstance(item.get("crossFilters", {}).get("scope"), dict)
    }
    defaults = {
        **METADATA,
        "chart_configuration": {},
        "global_chart_configuration": {"scope": SCOPE},
    }
    made["metadata"] = {
        key: value
        for key, value in metadata.items()
        if key not in _DEALT_OUT and not (key in defaults and value == defaults[key])
    }
    made["position"] = _short_position(made["position"])
    made = {key: value for key, value in made.items() if key not in ("theme_uuid", "tags") or value}
    return _plain(made, DASHBOARD)


def short_chart(config: dict, known: dict | None = None) -> dict:
    """The short form of a chart, from a file or from Superset's export.

    Args:
        config: the chart.
        known: the parameters in its file; a default that Explore adds is left out unless it is
            there.
    """
    made = {
        key: value
        for key, value in deepcopy(config).items()
        if key not in ("query_context", "tags")
    }
    if (saved := config.get("query_context")) and not queries.makeable(
        config.get("viz_type"), config.get("params")
    ):
        made["query_context"] = _short_context(saved)
    usual, known = explore_defaults(made.get("viz_type", "")), known or {}
    params = made["params"] = {
        key: value
        for key, value in (made.get("params") or {}).items()
        if key not in OF_THE_PAGE
        and (key != "annotation_layers" or value)  # the import adds an empty list
        and (key in known or key not in usual or usual[key] != value)
    }
    for item in params.get("adhoc_filters") or []:
        _slim(item, _OF_A_FILTER)
        if item.get("expressionType") == "SIMPLE":
            item.pop("sqlExpression", None)
    for value in params.values():
        for item in value if isinstance(value, list) else [value]:
            if (
                isinstance(item, dict)
                and item.get("expressionType") in ("SIMPLE", "SQL")
                and "clause" not in item
            ):
                _slim(item, _OF_A_METRIC)
                if isinstance(column := item.get("column"), dict):
                    item["column"] = {"column_name": column.get("column_name")}
    return _plain(made, CHART)


def _short_context(saved: str) -> str:
    """The query that a browser saved, without the ids of one database."""
    context = json.loads(saved)
    context.pop("datasource", None)
    context["form_data"] = {
        key: value
        for key, value in (context.get("form_data") or {}).items()
        if key not in OF_THE_PAGE
    }
    return json.dumps(context, sort_keys=True)


def explore_defaults(viz_type: str) -> dict:
    """The parameters that Explore adds to a chart of this type when it saves one.

    They are in ``explore.json``, for the types that the bundle has;
    ``tests/superset/test_superset_explore.py`` compares it with a real browser.
    """
    recorded = _recorded()
    return {**recorded[""], **recorded.get(viz_type, {})}


@cache
def _recorded() -> dict[str, dict]:
    return json.loads((Path(__file__).parent / "explore.json").read_text())


def _slim(part: dict, keys: tuple[str, ...]) -> None:
    for key in keys:
        part.pop(key, None)
    for key in [key for key, value in part.items() if value is None]:
        del part[key]


def _plain(config: dict, defaults: dict) -> dict:
    """Remove the values that are defaults."""
    return {
        key: value
        for key, value in config.items()
        if key not in defaults or value not in (defaults[key], "")
    }


def charts(position: dict) -> list[dict]:
    """The chart components of a layout in full form."""
    return [
        node for node in position.values() if isinstance(node, dict) and node["type"] == "CHART"
    ]


def _scope(scope: dict, name) -> dict:
    return {**scope, "excluded": _known(scope.get("excluded") or [], name)}


def _known(items: list, name) -> list:
    return [name(item) for item in items if name(item) is not None]


def _own_scope(scoped: dict, number: object, name) -> dict:
    cross = scoped.get("crossFilters", {})
    scope = cross.get("scope", "global")
    scope = _scope(scope, name) if isinstance(scope, dict) else scope
    return {
        "id": number,
        "crossFilters": {"scope": scope, "chartsInScope": cross.get("chartsInScope", [])},
    }


def full_position(position: dict, title: str) -> dict:
    nodes = {
        key: {part: deepcopy(value) for part, value in node.items() if value is not None}
        for key, node in position.items()
        if isinstance(node, dict)
    }
    nodes.setdefault("ROOT_ID", {"children": ["GRID_ID"]})
    nodes.setdefault("HEADER_ID", {})
    for key, node in nodes.items():
        node.setdefault("type", key.partition("-")[0].removesuffix("_ID"))
        node["id"] = key
        if node["type"] != "HEADER":
            node.setdefault("children", [])
        if node["type"] not in ("ROOT", "GRID"):
            node.setdefault("meta", {})
        if node["type"] in ("ROW", "COLUMN"):
            node["meta"].setdefault("background", "BACKGROUND_TRANSPARENT")
    nodes["HEADER_ID"]["meta"]["text"] = title
    taken = {node["meta"].get("chartId") for node in charts(nodes)}
    free = (number for number in range(1, len(nodes) + len(taken) + 1) if number not in taken)
    for node in charts(nodes):
        node["meta"].setdefault("uuid", "")
        if "chartId" not in node["meta"]:
            node["meta"]["chartId"] = next(free)
    _parents(nodes, "ROOT_ID", [])
    return {"DASHBOARD_VERSION_KEY": "v2", **nodes}


def _parents(nodes: dict, key: str, above: list[str]) -> None:
    for child in nodes[key].get("children", []):
        if child in nodes and child not in above:
            nodes[child]["parents"] = [*above, key]
            _parents(nodes, child, [*above, key])


def _short_position(nodes: dict) -> dict:
    """The short form of a layout, with the components in reading order."""
    made: dict[str, dict] = {}

    def visit(key: str) -> None:
        node = nodes.get(key)
        if node is None or key in made:
            return
        entry = {
            name: value
            for name, value in (node.get("meta") or {}).items()
            if name not in ("chartId", "sliceName")
        }
        if (
            node["type"] in ("ROW", "COLUMN")
            and entry.get("background") == "BACKGROUND_TRANSPARENT"
        ):
            del entry["background"]
        if node["type"] == "ROW":
            entry.pop("0", None)
        made[key] = {}
        if node["type"] != key.partition("-")[0].removesuffix("_ID"):
            made[key]["type"] = node["type"]
        if entry:
            made[key]["meta"] = entry
        if node.get("children"):
            made[key]["children"] = list(node["children"])
        for child in node.get("children", []):
            visit(child)

    visit("ROOT_ID")
    if made["ROOT_ID"].get("children") == ["GRID_ID"]:
        del made["ROOT_ID"]
    return made
