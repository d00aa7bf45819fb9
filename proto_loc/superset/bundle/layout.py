"""Checks a dashboard's layout: a tree of rows, columns, tabs and charts on a grid."""

from collections.abc import Iterator

from proto_loc.superset.bundle import forms
from proto_loc.superset.bundle.forms import full_position
from proto_loc.superset.bundle.read import Document

WIDTH = 12
"""Columns of the grid."""


def charts(dashboard: dict) -> list[dict]:
    """The chart components of a dashboard's file."""
    return forms.charts(full_position(_mappings(dashboard), ""))


def faults(document: Document) -> Iterator[str]:
    """Find the errors in the layout of a dashboard's file."""
    nodes = {
        key: node
        for key, node in full_position(_mappings(document.content), "").items()
        if isinstance(node, dict)
    }
    where: dict[str, str] = {}
    for key, node in nodes.items():
        for child in node.get("children") or []:
            if child not in nodes:
                yield (
                    f"{document.at('position', key, 'children')}: {key} holds {child}, which is not"
                    " there"
                )
            elif child in where:
                yield (
                    f"{document.at('position', key, 'children')}: {child} is in {where[child]} and"
                    f" in {key}"
                )
            where.setdefault(child, key)
    reached = set(_below(nodes, "ROOT_ID", set()))
    for key, node in nodes.items():
        if key not in reached and key != "HEADER_ID":
            yield f"{document.at('position', key)}: {key} is in no row, so it is not shown"
        yield from _size(document, nodes, key, node)


def _size(document: Document, nodes: dict, key: str, node: dict) -> Iterator[str]:
    place = document.at("position", key)
    children = [nodes[child] for child in node.get("children") or [] if child in nodes]
    widths = [child["meta"].get("width") for child in children if "meta" in child]
    if node["type"] in ("CHART", "COLUMN", "MARKDOWN"):
        for side in ("width",) if node["type"] == "COLUMN" else ("width", "height"):
            if not isinstance(node["meta"].get(side), int) or node["meta"][side] < 1:
                yield f"{place}: {key} has no {side}"
    if node["type"] == "ROW":
        if not children:
            yield f"{place}: the row {key} is empty"
        if (total := sum(width for width in widths if isinstance(width, int))) > WIDTH:
            yield f"{place}: what is in {key} is {total} columns wide, and there are {WIDTH}"
    if node["type"] == "COLUMN":
        for child, width in zip(children, widths, strict=True):
            if isinstance(width, int) and width > node["meta"].get("width", WIDTH):
                yield (
                    f"{document.at('position', child['id'])}: {child['id']} is wider than {key},"
                    " which holds it"
                )


def _below(nodes: dict, key: str, seen: set[str]) -> Iterator[str]:
    if key in seen or key not in nodes:
        return
    seen.add(key)
    yield key
    for child in nodes[key].get("children") or []:
        yield from _below(nodes, child, seen)


def _mappings(dashboard: dict) -> dict:
    """Return the components that are mappings."""
    position = dashboard.get("position") or {}
    return {
        key: node or {} for key, node in position.items() if node is None or isinstance(node, dict)
    }
