"""Collects what a question can use of a version: metrics, dimensions, tables, values.

Definitions and descriptions come from dbt's manifest, types from the database file. Values of the
data are included only if ``LOC_LLM_SEND_ROWS`` allows it.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache

from proto_loc import files, warehouse
from proto_loc.ai import claims as access
from proto_loc.ai import llm
from proto_loc.ai.sql_reader import SqlReader
from proto_loc.cube.client import ALL_ROWS, Question
from proto_loc.cube.conditions import Condition
from proto_loc.errors import LocError, UsageError
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.metrics.expressions import render, written
from proto_loc.metrics.read import read
from proto_loc.settings import settings
from proto_loc.sql import identifier, literal
from proto_loc.warehouse import guard

ROWS = 10_000
"""The maximum number of rows in an answer."""
NEXT_DAY = " + interval '1' day"
SHOWN = 24
"""A text column with at most this many different values is described with all of them."""
VALUES = {
    "duckdb": (f"list_sort(list(distinct {{column}}))[:{SHOWN + 1}]", "to_json([{}])::varchar"),
    "trino": (
        f"slice(array_sort(array_agg(distinct {{column}})), 1, {SHOWN + 1})",
        "json_format(cast(array[{}] as json))",
    ),
}
"""By engine: the first different values of a column, and a JSON text of several of these."""
RECORDS = ("marts.publication", "marts.metric_figures")
"""Tables in which each publish records itself."""


@dataclass(frozen=True)
class Published:
    """The content of a published version that a question can use."""

    version: warehouse.Version
    models: tuple[SemanticModel, ...]
    tables: dict[str, dict]
    """By ``schema.table``: dbt's description, and the type and description of each column."""
    values: dict[str, list[str]]
    """By ``schema.table.column``: all values of a text column that has only a few.

    Empty if no values may be sent.
    """
    claims: Mapping = field(default_factory=lambda: ALL_ROWS)
    """The claims of the viewer who asks."""


def published(
    reader: SqlReader, version: warehouse.Version, claims: Mapping = ALL_ROWS
) -> Published:
    """Collect the content of a version that a question can use.

    Raises:
        LocError: the version has no data or no dbt manifest.
    """
    version_content = _published(reader, version.id, str(version.folder), llm.sends_rows())
    if claims == ALL_ROWS:
        return version_content
    access.check(claims, version_content.models)
    return replace(version_content, values={}, claims=claims)  # not the values of all rows


def definitions(version: warehouse.Version) -> dict:
    """Read the dbt manifest of a version.

    Raises:
        NoData: the version is the empty one that a new platform starts with.
        LocError: the version was published without dbt.
    """
    file = version.folder / "dbt" / "manifest.json"
    if file.exists():
        return json.loads(file.read_text())
    if not version.tables:
        raise warehouse.NoData(
            "prod holds no data yet.",
            f"Its version {version.id} is empty, as at the start.",
            "Run `loc first-load`; docs/sources.md shows how to add a source.",
        )
    raise LocError(
        f"Version {version.id} of prod holds no models.",
        f"There is no {file}.",
        "Run `loc refresh`.",
    )


@lru_cache(maxsize=4)
def _published(reader: SqlReader, version_id: int, folder: str, sends: bool) -> Published:
    version = warehouse.find("prod", version_id)
    manifest = definitions(version)
    nodes = [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] in ("model", "seed", "snapshot")
    ]
    described = {f"{node['schema']}.{node.get('alias') or node['name']}": node for node in nodes}
    tables: dict[str, dict] = {}
    for table, kinds in sorted(version.columns().items()):
        node = described.get(table, {})
        texts = {
            column: " ".join(node.get("columns", {}).get(column, {}).get("description", "").split())
            for column in kinds
        }
        tables[table] = {
            "description": " ".join(node.get("description", "").split()),
            "columns": {column: (kind, texts[column]) for column, kind in kinds.items()},
        }
    if not tables.keys() - {*RECORDS}:
        raise LocError(
            f"Version {version_id} of prod holds no table to ask about.",
            "dbt publishes no model yet.",
            "Add a model in dbt/models/marts and run `loc refresh`.",
        )
    models = tuple(read(manifest))
    return Published(
        version, models, tables, _kept_values(reader, version, models) if sends else {}
    )


def _kept_values(
    reader: SqlReader, version: warehouse.Version, models: tuple[SemanticModel, ...]
) -> dict[str, list[str]]:
    """The result of :func:`_values`, cached by version: on ten million rows it takes seconds."""
    file, of = (
        settings().run / "ai/values.json",
        [str(version.folder), version.id, version.published_at],
    )
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text())
        if kept["of"] == of:
            return kept["values"]
    values = _values(reader, models, VALUES[version.engine])
    with suppress(OSError):  # if this fails, the next process computes them again
        files.replace(file, json.dumps({"of": of, "values": values}), private=True)
    return values


def _values(
    reader: SqlReader, models: tuple[SemanticModel, ...], values_sql: tuple[str, str]
) -> dict[str, list[str]]:
    """Return the values of each text dimension with few values, from one scan of each mart."""
    known = {}
    for model in models:
        names = [
            dimension.column
            for dimension in model.dimensions
            if (column := model.type_of(dimension)) and column.type == "VARCHAR"
        ]
        if not names:
            continue
        one, all_of = values_sql
        picked = ", ".join(one.format(column=identifier(name)) for name in names)
        (row,) = reader.raw(f"select {all_of.format(picked)} from {model.schema}.{model.table}")[
            "rows"
        ][0]
        for name, values in zip(names, json.loads(row), strict=True):
            if values and len(values) <= SHOWN:
                known[f"{model.schema}.{model.table}.{name}"] = values
    return known


def _holds(condition: Condition, column: str, model: SemanticModel) -> str:
    """The SQL predicate of a condition on a dimension."""
    dimension = next(
        dimension for dimension in model.dimensions if dimension.name == condition.name
    )
    of = model.type_of(dimension)
    if dimension.grain or (of and of.is_time):
        first, last = condition.period()
        ends = ((">=", first, ""), ("<", last, NEXT_DAY))
        parts = [f"{column} {sign} date '{day}'{shift}" for sign, day, shift in ends if day]
        return f"({' and '.join(parts)})"
    if of and of.is_number:
        if condition.is_range("number"):
            bounds = (f"{column} {sign} {value}" for sign, value in condition.bounds())
            return f"({' and '.join(bounds)})"
        return f"{column} = {condition.of_kind('number')}"
    condition.is_range("string")  # refuses signs of an order
    return f"cast({column} as varchar) = {literal(condition.value)}"


def sql(question: Question, models: tuple[SemanticModel, ...]) -> str:
    """Write the question as SQL on the mart, from the definitions: Cube must give the same rows.

    Raises:
        UsageError: a metric or dimension is unknown, or the metrics have different semantic models.
    """
    for model in models:
        metrics = {metric.name: metric for metric in model.metrics}
        if set(question.metrics) <= metrics.keys():
            break
    else:
        raise UsageError(
            f"No semantic model has the metrics {', '.join(question.metrics)}.",
            "",
            "See: loc query --list",
        )
    dimensions = {dimension.name: dimension for dimension in model.dimensions}

    def of(name: str) -> str:
        if name not in dimensions:
            raise UsageError(
                f"There is no dimension {name!r} of {model.name}.", "", "See: loc query --list"
            )
        return written(dimensions[name].of)

    selected, conditions = {}, []
    for text in question.dimensions:
        name, _, grain = text.partition(":")
        time = dimensions.get(name) and dimensions[name].grain
        selected[name] = (
            f"cast(date_trunc('{grain or 'day'}', {of(name)}) as timestamp)" if time else of(name)
        )
    selected |= {name: render(metrics[name].expression) for name in question.metrics}
    if question.since:
        conditions.append(f"{written(model.time.of)} >= date '{question.since}'")
    if question.until:
        conditions.append(f"{written(model.time.of)} < date '{question.until}'{NEXT_DAY}")
    alike: dict[tuple[str, str], list[str]] = {}
    for condition in map(Condition.parse, question.where):
        alike.setdefault((condition.name, condition.sign), []).append(
            _holds(condition, of(condition.name), model)
        )
    for (name, sign), parts in alike.items():
        joined = (" or " if sign in ("=", "!=") else " and ").join(parts)
        conditions.append(
            f"(not ({joined}) or {of(name)} is null)" if sign == "!=" else f"({joined})"
        )
    picked = ", ".join(f'{text} as "{name}"' for name, text in selected.items())
    where = f" where {' and '.join(conditions)}" if conditions else ""
    order = ""
    if question.order:
        name = question.order.removeprefix("-")
        order = (
            f' order by "{name}" {"desc" if question.order.startswith("-") else "asc"} nulls last'
        )
    groups = (
        f" group by {', '.join(str(at + 1) for at in range(len(question.dimensions)))}"
        if question.dimensions
        else ""
    )
    return (
        f"select {picked} from {model.schema}.{model.table}{where}{groups}{order} limit"
        f" {question.limit}"
    )


def run(reader: SqlReader, sql: str, published: Published, limit: int | None = None) -> dict:
    """Run a model's statement on the rows that the claims allow; return its table.

    Raises:
        guard.Refused: the statement is not allowed, or its rows cannot be limited.
        LocError: the statement failed.
    """
    statements = published.version.keeper.statements
    limited = access.limit(
        sql, published.claims, published.models, tuple(published.tables), statements
    )
    try:
        return reader.raw(limited, limit=limit)
    except (guard.Refused, guard.TooLong):
        raise
    except LocError as error:
        if published.claims == ALL_ROWS:
            raise
        # Engines quote the value that they failed on, which may be of a row that is not allowed.
        why = error.why.partition(":")[0]
        raise LocError("The query failed.", f"{why}.", "Correct its SQL.") from None
