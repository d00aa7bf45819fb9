"""The work of ``loc dashboard add``."""

import os
from collections.abc import Sequence

from proto_loc.cli import _content
from proto_loc.cli._console import out
from proto_loc.cli._metric_add import semantic_model
from proto_loc.errors import UsageError
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.scaffold import writing
from proto_loc.scaffold.dashboards import MONTHS, Subject, dashboard, days_between
from proto_loc.scaffold.names import clean
from proto_loc.scaffold.names import title as title_of
from proto_loc.settings import ROOT
from proto_loc.sql import identifier


def add(name: str, mart: str, *, title: str, metrics: Sequence[str], by: str) -> None:
    """Write a dashboard.

    Raises:
        UsageError: a file of it exists, or the mart has no such metric or column.
    """
    name = clean(name, "dashboard")
    model = semantic_model(mart)
    known = {metric.name: metric.label for metric in model.metrics}
    for metric in metrics:
        _refuse(model, "metric", metric, list(known))
    chosen = [*metrics, *(metric for metric in known if metric not in metrics)][:2]
    if not chosen:
        raise UsageError(f"{mart} has no metric.", "", "Add one: `loc metric add`.")
    dimensions = {d.column: d.label for d in model.dimensions if d.column and not d.grain}
    column = by or next((d.column for d in model.record_by if d.column), "")
    if column:
        _refuse(model, "dimension", column, list(dimensions))
    days = _days(model)
    texts = dashboard(
        name,
        title or title_of(name),
        Subject(
            model=mart,
            semantic=model.name,
            label=model.label,
            count=(chosen[0], known[chosen[0]]),
            figure=(chosen[-1], known[chosen[-1]]),
            time=model.time.column or "" if days else "",
            days=days,
            category=(column, dimensions[column]) if column else None,
        ),
        os.environ.get("USER", "me"),
    )
    with _content.generated_files_return(), writing.written(ROOT, texts):
        _content.generate()
    for path in texts:
        out.print(f"{path}: written", markup=False)
    _content.tell_services()
    out.print(_content.address_of(name.replace("_", "-")), markup=False, soft_wrap=True)


def _refuse(model: SemanticModel, what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise UsageError(
            f"{model.table} has no {what} {name}.",
            f"It has: {', '.join(known) or 'none'}.",
            "Name one of those.",
        )


def _days(model: SemanticModel) -> int:
    """Days between the first and the last published row; some months before a publish."""
    import duckdb

    from proto_loc import warehouse

    column = model.time.column
    if not column:
        return 0
    table = f"{model.schema}.{model.table}"
    query = f"select min({identifier(column)}), max({identifier(column)}) from {table}"
    try:
        with warehouse.read("prod") as con:
            first, last = con.execute(query).fetchone()
    except (duckdb.Error, warehouse.WarehouseError):
        return MONTHS // 2
    return days_between(first, last)
