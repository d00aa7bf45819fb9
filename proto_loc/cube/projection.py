"""Writes the metric definitions as Cube's data model, with one cube per semantic model."""

import re

from proto_loc.metrics.definitions import Dimension, Metric, SemanticModel
from proto_loc.metrics.expressions import (
    Aggregate,
    Expression,
    Sql,
    aggregates,
    conjunction,
    render,
    written,
)
from proto_loc.metrics.text import dump

TYPES = {"average": "avg"}
"""Cube's name of an aggregation, where it differs from dbt's."""


def project(model: SemanticModel) -> str:
    """Write the text of ``cube/model/generated/<name>.yml``."""
    hidden = _hidden(model)
    names = {metric.expression: metric.name for metric in reversed(model.metrics)} | hidden
    cube = {
        "name": model.name,
        **_words(model),
        "sql_table": f"{model.schema}.{model.table}",
        "meta": {"defined_in": model.file}
        | ({"access": {r.claim: r.dimension for r in model.access}} if model.access else {}),
        "dimensions": [_dimension(model, item) for item in model.dimensions],
        "measures": [
            *(_measure(metric, names) for metric in model.metrics),
            *({"name": name, **_aggregate(item), "public": False} for item, name in hidden.items()),
        ],
    }
    return dump({"cubes": [cube]}, model.file)


def _hidden(model: SemanticModel) -> dict[Expression, str]:
    """Name the aggregates that metrics use, but that are not metrics themselves.

    The names have two underscores, which dbt does not allow, so they collide with no other name.
    """
    metrics = {metric.expression for metric in model.metrics}
    names: dict[Expression, str] = {}
    for metric in model.metrics:
        for aggregate in aggregates(metric.expression):
            if aggregate not in metrics and aggregate not in names:
                name = f"{metric.name}__{aggregate.measure}"
                names[aggregate] = name if name not in names.values() else f"{name}_{len(names)}"
    return names


def _dimension(model: SemanticModel, dimension: Dimension) -> dict:
    column = model.type_of(dimension)
    kind = "string"
    if dimension.grain or (column and column.is_time):
        kind = "time"
    elif column and column.is_number:
        kind = "number"
    elif column and column.type == "BOOLEAN":
        kind = "boolean"
    return {
        "name": dimension.name,
        **_words(dimension),
        "sql": _sql(dimension.of),
        "type": kind,
    }


def _measure(metric: Metric, names: dict[Expression, str]) -> dict:
    shown = {"kind": metric.format.kind, "decimals": metric.format.decimals}
    measure = {"name": metric.name, **_words(metric)}
    if isinstance(metric.expression, Aggregate):
        measure |= _aggregate(metric.expression)
    else:

        def known(expression: Expression) -> str | None:
            name = None if expression == metric.expression else names.get(expression)
            return name and f"{{{name}}}"

        measure |= {"type": "number", "sql": render(metric.expression, known)}
    measure["format"] = metric.format.cube
    if metric.format.currency:
        measure["currency"] = metric.format.currency
    if metric.format.unit:
        shown["unit"] = metric.format.unit
    return measure | {"meta": {"format": shown}}


def _aggregate(aggregate: Aggregate) -> dict:
    fields = {"type": TYPES.get(aggregate.function, aggregate.function), "sql": _sql(aggregate.of)}
    if aggregate.filters:
        fields["filters"] = [{"sql": conjunction(aggregate.filters, _column)}]
    return fields


def _words(of: SemanticModel | Dimension | Metric) -> dict:
    """Return title and description, unless they are empty: Cube refuses empty ones."""
    words = {"title": _text(of.label), "description": _text(of.description)}
    return {name: text for name, text in words.items() if text}


def _text(text: str) -> str:
    """Escape braces in a text, because Cube evaluates them in every string of its YAML."""
    return re.sub(r"[\\{}]", r"\\\g<0>", text)


def _sql(parts: Sql) -> str:
    return written(parts, _column)


def _column(name: str) -> str:
    return f"{{CUBE}}.{name}"
