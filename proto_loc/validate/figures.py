"""The figures of the warehouse, and their comparison with those of a tool.

A figure is named by (semantic model, metric, dimension, value): the dimension is empty for the
total, or ``month``, or one that a publish records. The value of a month is its first day.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from proto_loc import warehouse
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.metrics.expressions import render, written
from proto_loc.metrics.figures import query, rows
from proto_loc.metrics.read import read
from proto_loc.sql import identifier
from proto_loc.warehouse.engine import Connection

Key = tuple[str, str, str, str | None]
TOLERANCE = 1e-9
"""Relative difference of two figures that are floating-point numbers; others must be equal."""
MOST_VALUES = 2_000
"""A dimension with more values is not compared value by value."""
AS_TEXT = ("VARCHAR", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT")
"""Types of a dimension whose values every tool writes alike; others are not compared by value."""
SHOWN = 3
"""Differences that a finding names."""


@dataclass
class Expected:
    """The figures that the published file has, computed from the marts."""

    version: int
    figures: dict[Key, str] = field(default_factory=dict)
    inexact: set[tuple[str, str]] = field(default_factory=set)
    """The (model, metric) whose figures are floating-point numbers."""
    dimensions: dict[str, list[str]] = field(default_factory=dict)
    """By model: the dimensions that are compared, with ``month``."""

    def totals(self) -> dict[str, str]:
        """The total figure of each metric."""
        return {
            metric: figure
            for (_, metric, dimension, _), figure in self.figures.items()
            if not dimension
        }


def models(version: warehouse.Version) -> list[SemanticModel]:
    """The semantic models of a version; empty if it was not built by dbt."""
    path = version.folder / "dbt/manifest.json"
    return read(json.loads(path.read_text())) if path.exists() else []


def compute(con: Connection, version: int, defined: Iterable[SemanticModel]) -> Expected:
    """Compute every figure from the marts, with the SQL of the definitions."""
    expected = Expected(version)
    for model in defined:
        if not model.metrics:
            continue
        values: dict[str, int] = {}
        for metric, dimension, value, figure in rows(model, con.execute(query(model)).fetchall()):
            if metric == model.metrics[0].name:
                values[dimension] = values.get(dimension, 0) + 1
            expected.figures[model.name, metric, dimension, value] = figure
        by = _types(con, model, [written(dimension.of) for dimension in model.record_by])
        names = ["month"] + [
            dimension.name
            for dimension, kind in zip(model.record_by, by, strict=True)
            if kind in AS_TEXT
        ]
        expected.dimensions[model.name] = [
            name for name in names if 0 < values.get(name, 0) <= MOST_VALUES
        ]
        kinds = _types(con, model, [render(metric.expression) for metric in model.metrics])
        expected.inexact |= {
            (model.name, metric.name)
            for metric, kind in zip(model.metrics, kinds, strict=True)
            if kind in ("DOUBLE", "FLOAT", "REAL")
        }
    return expected


def _types(con: Connection, model: SemanticModel, expressions: list[str]) -> list[str]:
    """The engine's type of each expression on the mart, in upper case and without digits."""
    if not expressions:
        return []
    named = ", ".join(f"{text} as _{at}" for at, text in enumerate(expressions))
    done = con.execute(f"select {named} from {identifier(model.schema, model.table)} limit 0")
    return [str(column[1]).upper().partition("(")[0] for column in done.description]


def recorded(con: Connection, expected: Expected) -> dict[Key, str]:
    """The figures that the publish recorded in the file."""
    found = con.execute("select metric, dimension, value, figure from marts.metric_figures")
    model_of = {metric: model for model, metric, _, _ in expected.figures}
    return {
        (model_of[metric], metric, dimension, value): figure
        for metric, dimension, value, figure in found.fetchall()
        if metric in model_of
    }


def differences(
    expected: Expected, shown: dict[Key, object], asked: Iterable[tuple[str, str]] | None = None
) -> list[str]:
    """Say in a sentence for each figure how a tool's differs from the warehouse's.

    Args:
        shown: the tool's figures; None stands for a figure that is missing.
        asked: the (model, dimension) that the tool was asked for; by default all that are compared.
    """
    if asked is None:
        asked = {(model, name) for model, names in expected.dimensions.items() for name in names}
        asked |= {(model, "") for model in expected.dimensions}
    asked = set(asked)
    own = {key: text for key, text in expected.figures.items() if (key[0], key[2]) in asked}
    theirs = {
        key: figure
        for key, figure in shown.items()
        if figure is not None and (key[0], key[2]) in asked
    }
    return [
        _sentence(key, own.get(key), theirs.get(key))
        for key in sorted(own.keys() | theirs.keys(), key=str)
        if not same(own.get(key), theirs.get(key), exact=key[:2] not in expected.inexact)
    ]


def same(one: object, other: object, *, exact: bool) -> bool:
    """Whether two figures are equal: exactly, or as floating-point numbers."""
    if one is None or other is None:
        return False
    try:
        first, second = Decimal(str(one)), Decimal(str(other))
    except InvalidOperation:
        return str(one) == str(other)
    if first == second or (first.is_nan() and second.is_nan()):
        return True
    return not exact and math.isclose(first, second, rel_tol=TOLERANCE)


def listed(sentences: list[str]) -> str:
    """The first sentences, and how many more there are."""
    rest = len(sentences) - SHOWN
    return "; ".join(sentences[:SHOWN]) + (f"; and {rest} more" if rest > 0 else "") + "."


def _sentence(key: Key, own: object, theirs: object) -> str:
    _, metric, dimension, value = key
    where = f" of {dimension} {value}" if dimension else ""
    shown = "no figure" if theirs is None else theirs
    return f"{metric}{where} is {shown}, and the warehouse has {'none' if own is None else own}"
