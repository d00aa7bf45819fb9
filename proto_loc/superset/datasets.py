"""Writes the metric definitions as Superset datasets, one per semantic model, on its mart."""

import uuid

from proto_loc.metrics.definitions import MartColumn, Metric, SemanticModel
from proto_loc.metrics.expressions import aggregates, render, written
from proto_loc.metrics.text import dump

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "proto_loc/superset")


def identity(kind: str, name: str) -> str:
    """The uuid of an object, such as ``database``, ``prod``; the bundle's files refer to it."""
    return str(uuid.uuid5(NAMESPACE, f"{kind}/{name}"))


def project(model: SemanticModel) -> str:
    """Write the text of ``superset/bundle/datasets/<name>.yaml``."""
    dataset = {
        "table_name": model.table,
        "main_dttm_col": model.time.column or model.time.name,
        "description": model.description,
        "schema": model.schema,
        "filter_select_enabled": True,
        **_access(model),
        "metrics": [_metric(metric) for metric in model.metrics],
        "columns": [*(_column(model, column) for column in model.columns), *_calculated(model)],
        "uuid": identity("dataset", model.name),
        "version": "1.0.0",
        "database_uuid": identity("database", "prod"),
    }
    return dump(dataset, model.file)


def _access(model: SemanticModel) -> dict:
    """The access rules, from which provisioning makes row-level security rules."""
    columns = {rule.claim: rule.column for rule in model.access}
    return {"extra": {"access": columns}} if columns else {}


def _metric(metric: Metric) -> dict:
    fields = {
        "metric_name": metric.name,
        "verbose_name": metric.label,
        "description": metric.description,
        "expression": render(metric.expression),
        "d3format": metric.format.d3,
    }
    if metric.format.currency:
        fields["currency"] = {"symbol": metric.format.currency, "symbolPosition": "prefix"}
    return fields


def _column(model: SemanticModel, column: MartColumn) -> dict:
    dimension = next((each for each in model.dimensions if each.column == column.name), None)
    summed = {
        written(each.of) for metric in model.metrics for each in aggregates(metric.expression)
    }
    return _described(
        column.name,
        dimension.label if dimension else column.name.replace("_", " ").capitalize(),
        dimension.description if dimension and dimension.description else column.description,
        column.type,
        is_dttm=column.is_time,
        groupby=dimension is not None or column.name not in summed,
    )


def _calculated(model: SemanticModel) -> list[dict]:
    """Calculated columns: the dimensions that are expressions."""
    return [
        _described(
            dimension.name,
            dimension.label,
            dimension.description,
            "TIMESTAMP" if dimension.grain else "VARCHAR",
            is_dttm=bool(dimension.grain),
            groupby=True,
        )
        | {"expression": written(dimension.of)}
        for dimension in model.dimensions
        if dimension.column is None
    ]


def _described(
    name: str, label: str, description: str, kind: str, *, is_dttm: bool, groupby: bool
) -> dict:
    return {
        "column_name": name,
        "verbose_name": label,
        "description": description,
        "type": kind,
        "is_dttm": is_dttm,
        "is_active": True,
        "groupby": groupby,
        "filterable": True,
    }
