"""Writes the prompts for language models and their examples, from a project's definitions."""

import json
from collections.abc import Mapping
from contextlib import suppress

from proto_loc import warehouse
from proto_loc.ai import context
from proto_loc.ai.context import Published
from proto_loc.errors import LocError, UsageError
from proto_loc.metrics.definitions import Dimension, Metric, SemanticModel
from proto_loc.metrics.expressions import render
from proto_loc.metrics.read import read

DIALECTS = {
    "duckdb": """\
DuckDB's SQL: name tables with their schema ({table}); date_trunc('month', t); t::date;
isodow(t) is 1 on Monday; count(*) filter (where ...); group by all; order by ... desc nulls last;
quantile_cont(x, 0.5); no semicolon. Divide with / (it gives fractions), and guard it with
nullif(x, 0). One SELECT (WITH is fine); nothing that reads files or writes.""",
    "trino": """\
Trino's SQL: name tables with their schema ({table}); date_trunc('month', t); cast(t as date);
day_of_week(t) is 1 on Monday; count(*) filter (where ...); group by the expression or its number,
not by an alias; order by ... desc nulls last; approx_percentile(x, 0.5); no semicolon. A quotient
of whole numbers is a whole number: write cast(x as double) / nullif(y, 0). One SELECT (WITH is
fine); nothing that writes.""",
}
"""By the engine of the version: how its SQL is written."""

TASK = """\
You turn a question about a warehouse into one query. Answer with one JSON object and nothing else,
in one of these forms:"""

SQL_FORMS = """\
{"sql": "SELECT ..."}
{"cannot": "why the data cannot answer it"}"""

METRIC_RULES = """\
Prefer the first form whenever the defined metrics answer the question: they are the agreed figures.
All its keys but metrics may be left out. All metrics and dimensions of one query are of one
semantic model. A time dimension carries a grain after a colon (hour, day, week, month, quarter,
year). since and until are days, both included, of the model's first time dimension. where takes
dimension=value or dimension!=value, the value as it stands in the data (of a time dimension a year,
month or day, as in 2025-01); of a number or a time also a range, dimension=LOW..HIGH, both ends
included. Conditions on one dimension are alternatives."""

BREVITY = """\
Ask for just what the question needs: no further columns, and a limit only where it asks for the
first few."""

WITHOUT_CUBE = """\
The metric service is down, so the first form is not available: answer with SQL, and compute a
metric by its formula."""


def ask(published: Published, cube: bool) -> str:
    """Write the system prompt of ``ask``: forms of an answer, metrics and tables.

    Args:
        cube: whether metrics can be queried, because Cube is up.
    """
    example = metric_query(published.models, published.values)
    if example:
        parts = [TASK, json.dumps(example), SQL_FORMS, METRIC_RULES, BREVITY]
        parts += [] if cube else [WITHOUT_CUBE]
    else:
        parts = [TASK, SQL_FORMS, BREVITY]
    parts.append(DIALECTS[published.version.engine].format(table=example_table(published)))
    for model in published.models:
        table = f"{model.schema}.{model.table}"
        parts.append(f"Semantic model {model.name}, on {table}: {model.description}")
        parts += [
            f"  metric {metric.name}: {metric.description} = {render(metric.expression)}"
            for metric in model.metrics
        ]
        for dimension in model.dimensions:
            kind = "time dimension" if dimension.grain else "dimension"
            known = published.values.get(f"{table}.{dimension.column}")
            shown = f" One of: {', '.join(map(repr, known))}." if known else ""
            parts.append(f"  {kind} {dimension.name}: {dimension.description}{shown}")
    parts.append("Tables:")
    for table, node in published.tables.items():
        parts.append(f"{table}: {node['description']}")
        parts += [
            f"  {name} {kind}{': ' + text if text else ''}"
            for name, (kind, text) in node["columns"].items()
        ]
    return "\n".join(parts)


def published_models() -> tuple[SemanticModel, ...]:
    """The semantic models of the published version; empty if there is none."""
    with suppress(LocError):
        return tuple(read(context.definitions(warehouse.current("prod"))))
    return ()


def no_question() -> UsageError:
    """The error for an empty question; it shows one that the published data can answer."""
    example = question(published_models())
    return UsageError(
        "There is no question.",
        "",
        f'Write it in quotes: loc ask "{example}"' if example else "Write it after `loc ask`.",
    )


def question(models: tuple[SemanticModel, ...]) -> str:
    """An example question that these definitions can answer; empty if there is no metric."""
    parts = _example(models)
    if parts is None:
        return ""
    model, metric, dimension = parts
    by = dimension.label.lower() if dimension else f"{model.time.grain or 'day'}"
    return f"{metric.label} by {by}, largest first"


def metric_query(
    models: tuple[SemanticModel, ...], values: Mapping[str, list[str]] | None = None
) -> dict:
    """An example query of metrics that uses every key; empty if there is no metric.

    Args:
        values: values of columns, by ``schema.table.column``, for the example's condition.
    """
    parts = _example(models)
    if parts is None:
        return {}
    model, metric, dimension = parts
    names = [dimension.name] if dimension else []
    query: dict = {
        "metrics": [metric.name],
        "dimensions": [*names, f"{model.time.name}:month"],
        "since": "2025-01-01",
        "until": "2025-01-31",
    }
    if dimension:
        known = (values or {}).get(f"{model.schema}.{model.table}.{dimension.column}")
        query["where"] = [f"{dimension.name}={known[0] if known else 'value'}"]
    return query | {"order": f"-{metric.name}", "limit": 10}


def example_table(published: Published) -> str:
    """The ``schema.table`` of a mart with metrics, or of any table if there is none."""
    parts = _example(published.models)
    return (
        f"{parts[0].schema}.{parts[0].table}" if parts else next(iter(published.tables), "marts.x")
    )


def _example(
    models: tuple[SemanticModel, ...],
) -> tuple[SemanticModel, Metric, Dimension | None] | None:
    """The model with the most metrics, its first simple metric, its first text dimension."""
    model = max(models, key=lambda model: len(model.metrics), default=None)
    if model is None or not model.metrics:
        return None
    metric = next((metric for metric in model.metrics if metric.kind == "simple"), model.metrics[0])
    dimension = next(
        (
            dimension
            for dimension in model.dimensions
            if (column := model.type_of(dimension)) and column.type == "VARCHAR"
        ),
        None,
    )
    return model, metric, dimension
