"""Makes the SQL of the metric values (figures) that a publish records.

Each figure is kept as text, so that counts and money stay exact: a DECIMAL as ``1234.50``, a
double as the shortest text that reads back as the same double. A metric without a figure, such as
an average of no rows, has no row.
"""

from collections.abc import Iterable
from decimal import Decimal

from proto_loc.metrics.definitions import SemanticModel
from proto_loc.metrics.expressions import Expression, aggregates, render, written
from proto_loc.sql import identifier, literal

MONTH = "month"
"""Name under which figures by month of the model's time dimension are recorded."""

COLUMNS = "metric varchar, dimension varchar, value varchar, figure varchar"
"""``dimension`` is empty for the total figure. ``value`` is null if the dimension is null; for a
month, it is the first day.
"""

ROLLED_UP = {"sum": "sum", "count": "sum", "min": "min", "max": "max"}
"""Function that combines partial results of an aggregate; the others need all rows."""


def query(model: SemanticModel) -> str:
    """A query for all figures of a semantic model: dimension, value, then a column per metric.

    It reads the mart once. If all aggregates roll up, it first sums the mart by day and dimensions,
    which takes most of the time.
    """
    needed = list(
        dict.fromkeys(item for metric in model.metrics for item in aggregates(metric.expression))
    )
    columns: dict[Expression, str] = {item: f"_a{i}" for i, item in enumerate(needed)}
    keys = {MONTH: "_month"} | {item.name: f"_{item.name}" for item in model.record_by}
    numbers = _listed(map(str, range(1, len(keys) + 1)))
    by = [f"cast({written(model.time.of)} as date) as _day"]
    by += [f"{written(item.of)} as {keys[item.name]}" for item in model.record_by]
    sums = {name: render(item) for item, name in columns.items()}
    if all(item.function in ROLLED_UP for item in needed):
        cells = f"select {_listed(by)}, {_named(sums)} from {_table(model)} group by {numbers}"
        sums = {name: f"{ROLLED_UP[item.function]}({name})" for item, name in columns.items()}
    else:
        cells = f"select {_listed(by)}, * from {_table(model)}"
    dimension = " ".join(
        f"when grouping({key}) = 0 then {literal(name)}" for name, key in keys.items()
    )
    value = " ".join(
        f"when grouping({key}) = 0 then cast({key} as varchar)" for key in keys.values()
    )
    figures = [render(metric.expression, columns.get) for metric in model.metrics]
    return f"""
with cells as ({cells}),
dated as (select cast(date_trunc('month', _day) as date) as _month, * from cells),
summed as (
    select case {dimension} else '' end as _dimension, case {value} else '' end as _value,
        {_named(sums)}
    from dated
    group by grouping sets ((), {_listed(f"({key})" for key in keys.values())})
)
select _dimension, _value, {_listed(figures)} from summed
"""


def rows(model: SemanticModel, results: Iterable[tuple]) -> list[tuple[str, str, str | None, str]]:
    """The figures in the results of :func:`query`, as :data:`COLUMNS`, sorted."""
    found = [
        (metric.name, dimension, value, text(figure))
        for dimension, value, *figures in results
        for metric, figure in zip(model.metrics, figures, strict=True)
        if figure is not None
    ]
    return sorted(found, key=lambda row: (*row[:2], row[2] is None, row[2] or "", row[3]))


def text(figure: object) -> str:
    """A figure as it is recorded: alike on every engine, and no Decimal as ``0E-7``."""
    return f"{figure:f}" if isinstance(figure, Decimal) else str(figure)


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _named(parts: dict[str, str]) -> str:
    return _listed(f"{text} as {name}" for name, text in parts.items())


def _table(model: SemanticModel) -> str:
    return identifier(model.schema, model.table)
