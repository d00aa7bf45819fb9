"""The tools of the MCP server, which return published data, metrics and lineage.

Figures are exact: a number is text where a double would change it (an integer above 2^53) or JSON
lacks it (nan, inf). Times are ISO 8601.
"""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import BaseModel, Field

from proto_loc import warehouse
from proto_loc.ai import context, llm, values
from proto_loc.ai.asking import queries
from proto_loc.cube.client import ALL_ROWS, Question
from proto_loc.errors import LocError, UsageError
from proto_loc.metrics import formats
from proto_loc.warehouse import lake

MOST_ROWS = 1000
"""The maximum number of rows in one answer: a model reads no more."""

Value = bool | int | float | str | None


class Metric(BaseModel):
    name: str
    description: str
    format: str = Field(description=f"one of: {', '.join(formats.KINDS)}")


class Dimension(BaseModel):
    name: str
    description: str
    grain: str = Field(description="of a time dimension, the finest grain; empty for others")
    values: list[str] = Field(description="all values, where there are few")


class SemanticModel(BaseModel):
    name: str
    description: str
    table: str
    metrics: list[Metric]
    dimensions: list[Dimension]


class Metrics(BaseModel):
    version: int
    semantic_models: list[SemanticModel]


class Rows(BaseModel):
    columns: list[str]
    rows: list[list[Value]]
    truncated: bool = Field(description="whether there were more rows than these")
    version: int = Field(description="of the published data")
    published_at: str


class Table(BaseModel):
    name: str
    description: str
    rows: int | None
    columns: int


class Tables(BaseModel):
    version: int
    tables: list[Table]


class Column(BaseModel):
    name: str
    type: str
    description: str
    values: list[str] = Field(description="all values, where there are few")


class Columns(BaseModel):
    table: str
    description: str
    columns: list[Column]


class Load(BaseModel):
    table: str
    partition: str = Field(description="the part of the table that the load replaced")
    origin: str = Field(description="of the rows: a generated sample, or a file of records")
    rows: int | None
    loaded_at: str


class Freshness(BaseModel):
    version: int
    published_at: str
    published_hours_ago: float
    published_by: str
    origin: str = Field(description="of the data: a generated sample, or files of records")
    tests_passed: int
    tests_warned: int
    loads: list[Load]
    loads_waiting: int = Field(description="loads that are newer than what is published")


class Lineage(BaseModel):
    table: str
    description: str
    defined_in: str
    reads: list[str] = Field(description="what it is built from, directly")
    sources: list[str] = Field(description="the raw tables it comes from in the end")
    read_by: list[str] = Field(description="what is built from it")
    metrics: list[str] = Field(description="metrics that are measured on it")


VIEWER: dict = {"claims": ALL_ROWS}
"""The claims that limit the rows; the user of this machine sees all."""
_one = threading.Lock()
"""Held while a tool uses the reader, which runs one statement at a time."""


def _published():
    version = warehouse.current("prod").verify()
    reader = queries.reader_of(version.path)
    return version, reader, context.published(reader, version, VIEWER["claims"])


def list_metrics() -> Metrics:
    """List every metric and dimension."""
    with _one:
        version, _, published = _published()
    if not any(model.metrics for model in published.models):
        raise LocError(
            "No metric is defined.",
            "dbt's project has no semantic model with metrics.",
            "Use list_tables and run_sql; docs/metrics.md shows how to define a metric.",
        )
    models = []
    for model in published.models:
        models.append(
            SemanticModel(
                name=model.name,
                description=model.description,
                table=f"{model.schema}.{model.table}",
                metrics=[
                    Metric(
                        name=metric.name, description=metric.description, format=metric.format.kind
                    )
                    for metric in model.metrics
                ],
                dimensions=[
                    Dimension(
                        name=dimension.name,
                        description=dimension.description,
                        grain=dimension.grain,
                        values=published.values.get(
                            f"{model.schema}.{model.table}.{dimension.column}", []
                        ),
                    )
                    for dimension in model.dimensions
                ],
            )
        )
    return Metrics(version=version.id, semantic_models=models)


def query_metrics(question: Question) -> Rows:
    """Query metrics from Cube."""
    _values_may_go()
    answer, version = queries.measured(
        replace(question, limit=question.limit + 1), VIEWER["claims"]
    )
    rows = [[values.exact(value) for value in row.values()] for row in answer.rows]
    return _rows([column.short for column in answer.columns], rows, question.limit, version)


def list_tables() -> Tables:
    """List every published table."""
    with _one:
        version, _, published = _published()
    tables = [
        Table(
            name=name,
            description=node["description"],
            rows=version.tables.get(name) if published.claims == ALL_ROWS else None,
            columns=len(node["columns"]),
        )
        for name, node in published.tables.items()
    ]
    return Tables(version=version.id, tables=tables)


def list_columns(table: str) -> Columns:
    """List the columns of one table."""
    with _one:
        _, _, published = _published()
    name, node = _find(table, published)
    columns = [
        Column(
            name=column,
            type=kind,
            description=description,
            values=published.values.get(f"{name}.{column}", []),
        )
        for column, (kind, description) in node["columns"].items()
    ]
    return Columns(table=name, description=node["description"], columns=columns)


def run_sql(sql: str, limit: int) -> Rows:
    """Run one statement that only reads."""
    _values_may_go()
    with _one:
        version, reader, published = _published()
        table = context.run(reader, sql.strip().rstrip(";"), published, limit)
    columns, _, rows, truncated = values.load(table)
    rows = [[values.exact(value) for value in row] for row in rows]
    return _rows(columns, rows, limit, version, truncated)


def show_freshness() -> Freshness:
    """Show how old the published data is, and what it was built from."""
    with _one:
        version, reader, published = _published()
        (publication,) = reader.raw(
            "select origin, tests_passed, tests_warned from marts.publication"
        )["rows"]
    used = set(version.facts.get("load_ids", ()))
    loads = lake.loads(active=False)
    age = datetime.now(UTC) - datetime.fromisoformat(version.published_at)
    return Freshness(
        version=version.id,
        published_at=version.published_at,
        published_hours_ago=round(age.total_seconds() / 3600, 2),
        published_by=version.who,
        origin=publication[0],
        tests_passed=publication[1],
        tests_warned=publication[2],
        loads=[
            Load(
                table=f"{load.source}.{load.table_name}",
                partition=load.partition,
                origin=load.origin,
                rows=load.rows if published.claims == ALL_ROWS else None,
                loaded_at=load.loaded_at.isoformat(),
            )
            for load in loads
            if load.load_id in used
        ],
        loads_waiting=sum(1 for load in loads if load.active and load.load_id not in used),
    )


def show_lineage(table: str) -> Lineage:
    """Show what a table is built from, and what depends on it."""
    with _one:
        version, _, published = _published()
    name, node = _find(table, published)
    manifest = json.loads((version.folder / "dbt" / "manifest.json").read_text())
    known = manifest["nodes"] | manifest["sources"]
    (unique_id,) = [
        key
        for key, entry in manifest["nodes"].items()
        if entry["resource_type"] in ("model", "seed", "snapshot") and _name(entry) == name
    ] or [""]
    if not unique_id:
        raise LocError(f"{name} has no lineage.", "The publish writes it, not a dbt model.", "")
    reads = [_name(known[key]) for key in manifest["parent_map"].get(unique_id, []) if key in known]
    read_by = [
        _name(known[key])
        for key in manifest["child_map"].get(unique_id, [])
        if key in known and known[key]["resource_type"] in ("model", "snapshot")
    ]
    return Lineage(
        table=name,
        description=node["description"],
        defined_in=f"dbt/{manifest['nodes'][unique_id]['original_file_path']}",
        reads=sorted(reads),
        sources=sorted(
            _name(known[key])
            for key in _ancestors(unique_id, manifest)
            if key.startswith("source.")
        ),
        read_by=sorted(read_by),
        metrics=[
            metric.name
            for model in published.models
            if model.node == unique_id
            for metric in model.metrics
        ],
    )


def _ancestors(unique_id: str, manifest: dict) -> set[str]:
    ancestors, waiting = set(), [unique_id]
    while waiting:
        for parent in manifest["parent_map"].get(waiting.pop(), []):
            if parent not in ancestors:
                ancestors.add(parent)
                waiting.append(parent)
    return ancestors


def _name(node: dict) -> str:
    return f"{node['schema']}.{node.get('alias') or node.get('identifier') or node['name']}"


def _find(table: str, published: context.Published) -> tuple[str, dict]:
    fits = [
        name
        for name in published.tables
        if table.strip().lower() in (name.lower(), name.lower().partition(".")[2])
    ]
    if len(fits) != 1:
        raise UsageError(
            f"There is no table {table!r}.", "", f"Choose from: {', '.join(published.tables)}."
        )
    return fits[0], published.tables[fits[0]]


def _values_may_go() -> None:
    if not llm.sends_rows():
        raise LocError(
            "No rows are given to a model here.",
            "LOC_LLM_SEND_ROWS is 0.",
            "Use list_metrics, list_tables and list_columns, and let the person run the query.",
        )


def _rows(
    columns: list[str], rows: list[list], limit: int, version, truncated: bool = False
) -> Rows:
    return Rows(
        columns=columns,
        rows=rows[:limit],
        truncated=truncated or len(rows) > limit,
        version=version.id,
        published_at=version.published_at,
    )
