"""What the MCP server's tools do: the published data, its metrics and its origin, as plain data for a model.

Figures are exact: a number as text where a double would change it, as it would a whole one above 2^53, or where JSON
has none for it (nan, inf). Times are ISO 8601.
"""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import BaseModel, Field

from proto_loc import warehouse
from proto_loc.ai import asking, context, llm, values
from proto_loc.cube import Question
from proto_loc.errors import LocError, UsageError
from proto_loc.warehouse import lake

MOST_ROWS = 1000
"""The most rows of one answer: a model reads no more."""

Value = bool | int | float | str | None


class Metric(BaseModel):
    name: str
    description: str
    format: str = Field(description="count, number, money, percent, miles or minutes")


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
    month: str
    origin: str = Field(description="synthetic for the generated sample, file for records that were loaded")
    rows: int
    loaded_at: str


class Freshness(BaseModel):
    version: int
    published_at: str
    published_hours_ago: float
    published_by: str
    origin: str
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


_one = threading.Lock()
"""A reader runs one statement at a time, and tools run in threads."""


def _published():
    version = warehouse.current("prod").verify()
    reader = asking.reader_of(version.path)
    return version, reader, context.published(reader, version)


def list_metrics() -> Metrics:
    """Every metric and dimension."""
    with _one:
        version, _, about = _published()
    models = []
    for model in about.models:
        models.append(
            SemanticModel(
                name=model.name,
                description=model.description,
                table=f"{model.schema}.{model.table}",
                metrics=[
                    Metric(name=metric.name, description=metric.description, format=metric.format.kind)
                    for metric in model.metrics
                ],
                dimensions=[
                    Dimension(
                        name=each.name,
                        description=each.description,
                        grain=each.grain,
                        values=about.values.get(f"{model.schema}.{model.table}.{each.column}", []),
                    )
                    for each in model.dimensions
                ],
            )
        )
    return Metrics(version=version.id, semantic_models=models)


def query_metrics(question: Question) -> Rows:
    """Figures from Cube."""
    _values_may_go()
    answer, version = asking.measured(replace(question, limit=question.limit + 1))
    rows = [[values.exact(value) for value in row.values()] for row in answer.rows]
    return _rows([column.short for column in answer.columns], rows, question.limit, version)


def list_tables() -> Tables:
    """Every published table."""
    with _one:
        version, _, about = _published()
    tables = [
        Table(
            name=name,
            description=_line(node["description"]),
            rows=version.tables.get(name),
            columns=len(node["columns"]),
        )
        for name, node in about.tables.items()
    ]
    return Tables(version=version.id, tables=tables)


def list_columns(table: str) -> Columns:
    """The columns of one table."""
    with _one:
        _, _, about = _published()
    name, node = _find(table, about)
    columns = [
        Column(name=column, type=kind, description=said, values=about.values.get(f"{name}.{column}", []))
        for column, (kind, said) in node["columns"].items()
    ]
    return Columns(table=name, description=_line(node["description"]), columns=columns)


def run_sql(sql: str, limit: int) -> Rows:
    """The rows of one statement that only reads."""
    _values_may_go()
    with _one:
        version, reader, _ = _published()
        found = reader.raw(sql.strip().rstrip(";"), limit=limit)
    columns, _, rows, truncated = values.load(found)
    rows = [[values.exact(value) for value in row] for row in rows]
    return _rows(columns, rows, limit, version, truncated)


def show_freshness() -> Freshness:
    """How new what is published is, and what it was built from."""
    with _one:
        version, reader, _ = _published()
        (about,) = reader.raw("select origin, tests_passed, tests_warned from marts.publication")["rows"]
    used = set(version.facts.get("load_ids", ()))
    loads = lake.loads(active=False)
    published = datetime.fromisoformat(version.published_at)
    return Freshness(
        version=version.id,
        published_at=version.published_at,
        published_hours_ago=round((datetime.now(UTC) - published).total_seconds() / 3600, 2),
        published_by=version.who,
        origin=about[0],
        tests_passed=about[1],
        tests_warned=about[2],
        loads=[
            Load(
                table=f"{load.source}.{load.table_name}",
                month=load.partition,
                origin=load.origin,
                rows=load.rows,
                loaded_at=load.loaded_at.isoformat(),
            )
            for load in loads
            if load.load_id in used
        ],
        loads_waiting=sum(1 for load in loads if load.active and load.load_id not in used),
    )


def show_lineage(table: str) -> Lineage:
    """Where a table comes from, and what depends on it."""
    with _one:
        version, _, about = _published()
    name, node = _find(table, about)
    manifest = json.loads((version.folder / "dbt" / "manifest.json").read_text())
    known = manifest["nodes"] | manifest["sources"]
    (unique_id,) = [
        key
        for key, each in manifest["nodes"].items()
        if each["resource_type"] in ("model", "seed", "snapshot") and _name(each) == name
    ] or [""]
    if not unique_id:
        raise LocError(f"{name} has no lineage.", "The publish itself writes it; no model of dbt does.", "")
    reads = [_name(known[key]) for key in manifest["parent_map"].get(unique_id, []) if key in known]
    read_by = [
        _name(known[key])
        for key in manifest["child_map"].get(unique_id, [])
        if key in known and known[key]["resource_type"] in ("model", "snapshot")
    ]
    return Lineage(
        table=name,
        description=_line(node["description"]),
        defined_in=f"dbt/{manifest['nodes'][unique_id]['original_file_path']}",
        reads=sorted(reads),
        sources=sorted(_name(known[key]) for key in _ancestors(unique_id, manifest) if key.startswith("source.")),
        read_by=sorted(read_by),
        metrics=[metric.name for model in about.models if model.node == unique_id for metric in model.metrics],
    )


def _ancestors(unique_id: str, manifest: dict) -> set[str]:
    found, waiting = set(), [unique_id]
    while waiting:
        for parent in manifest["parent_map"].get(waiting.pop(), []):
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


def _name(node: dict) -> str:
    return f"{node['schema']}.{node.get('alias') or node.get('identifier') or node['name']}"


def _find(table: str, about: context.Published) -> tuple[str, dict]:
    fits = [name for name in about.tables if table.strip().lower() in (name.lower(), name.lower().partition(".")[2])]
    if len(fits) != 1:
        raise UsageError(f"There is no table {table!r}.", "", f"Choose from: {', '.join(about.tables)}.")
    return fits[0], about.tables[fits[0]]


def _values_may_go() -> None:
    if not llm.sends_rows():
        raise LocError(
            "No rows are given to a model here.",
            "LOC_LLM_SEND_ROWS is 0.",
            "Use list_metrics, list_tables and list_columns, and let the person run the query.",
        )


def _rows(columns: list[str], rows: list[list], limit: int, version, truncated: bool = False) -> Rows:
    return Rows(
        columns=columns,
        rows=rows[:limit],
        truncated=truncated or len(rows) > limit,
        version=version.id,
        published_at=version.published_at,
    )


def _line(text: str) -> str:
    return " ".join(text.split())
