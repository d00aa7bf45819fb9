"""Writes the version and the figure of every metric into the file to be published."""

import math
from datetime import datetime

from proto_loc import warehouse
from proto_loc.errors import disk_is_full
from proto_loc.metrics import figures
from proto_loc.metrics.definitions import Metric, SemanticModel
from proto_loc.metrics.errors import MetricError
from proto_loc.sql import batches, values
from proto_loc.warehouse.engine import Connection

TABLES = (("marts", "publication"), ("marts", "metric_figures"))
"""Tables that :func:`record` writes."""


def record(
    session: warehouse.Session, raw: warehouse.Version, models: list[SemanticModel]
) -> dict[str, dict]:
    """Write ``marts.publication`` and ``marts.metric_figures``, after the audit.

    Returns:
        Each metric's total figure by mart (``schema.table``) and metric. Counts are whole numbers;
        money, infinity and NaN are text; other figures are doubles. A metric without a figure is
        absent.

    Raises:
        MetricError: a metric cannot be computed.
    """
    with session.connect() as con:
        con.execute("create schema if not exists marts")
        con.execute(
            "create or replace table marts.publication (version_id bigint, published_at timestamp, "
            "git_revision varchar, tests_passed integer, tests_warned integer, origin varchar)"
        )
        passed, warned = session.checks.get("pass", 0), session.checks.get("warn", 0)
        at = datetime.fromisoformat(session.published_at).replace(tzinfo=None)
        fields = (session.id, at, session.git_revision, passed, warned, _origin(raw))
        con.execute(f"insert into marts.publication values {values([fields])}")
        con.execute(f"create or replace table marts.metric_figures ({figures.COLUMNS})")
        whole = {
            f"{model.schema}.{model.table}": _record(session, con, model)
            for model in models
            if model.metrics
        }
    return whole


def _record(
    session: warehouse.Session, con: Connection, model: SemanticModel
) -> dict[str, int | float | str]:
    try:
        found = figures.rows(model, con.execute(figures.query(model)).fetchall())
    except session.engine.error as error:
        if disk_is_full(error):
            raise  # the session explains it
        raise MetricError(
            f"The metrics in {model.file} cannot be computed.",
            f"{session.engine.title} says: {error}".rstrip(".") + ".",
            "Mend the definition. Nothing was published, prod is as it was.",
        ) from None
    metrics = {metric.name: metric for metric in model.metrics}
    for some in batches(found):
        con.execute(f"insert into marts.metric_figures values {values(some)}")
    return {
        name: _number(model, metrics[name], figure)
        for name, dimension, _, figure in found
        if not dimension
    }


def _number(model: SemanticModel, metric: Metric, figure: str) -> int | float | str:
    try:
        number = float(figure)
    except ValueError:
        raise MetricError(
            f"The metric {metric.name} in {model.file} is not a number.",
            f"Its figure is {figure!r}.",
            "Mend the definition. Nothing was published, prod is as it was.",
        ) from None
    if metric.format.kind == "money" or not math.isfinite(number):
        return figure  # JSON has no inf and no nan
    return int(figure) if figure.lstrip("-").isdigit() else number


def _origin(raw: warehouse.Version) -> str:
    """Return the origin of the active loads, ``none`` without loads, or ``mixed``."""
    with raw.open() as con:
        origins = con.execute("select distinct origin from loads where active").fetchall()
    return origins[0][0] if len(origins) == 1 else "mixed" if origins else "none"
