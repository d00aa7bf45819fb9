"""The tools of the MCP server, which return published data, metrics and lineage.

Figures are exact. A number is sent as text if a double would change it (an integer above 2^53) or
if JSON does not have it (nan, inf). Times are ISO 8601.
"""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from proto_loc import warehouse
from proto_loc.ai import context, llm, values
from proto_loc.ai.asking import queries
from proto_loc.ai.mcp import answers
from proto_loc.cube.client import ALL_ROWS, Question
from proto_loc.errors import LocError, UsageError
from proto_loc.metrics.read import file_of
from proto_loc.warehouse import engine, lake

MOST_ROWS = 1000
"""The maximum number of rows in one answer: a model reads no more."""

TITLE = engine.of("prod").title
"""Whose SQL the tools take."""

Limit = Annotated[int, Field(ge=1, le=MOST_ROWS, description="At most so many rows.")]
Name = Annotated[str, Field(description="The table's name, with or without its schema.")]
Day = Field(pattern=r"^(\d{4}-\d\d-\d\d)?$")

VIEWER: dict = {"claims": ALL_ROWS}
"""The claims that limit the rows; the user of this machine sees all."""
_one = threading.Lock()
"""Held while a tool uses the reader, which runs one statement at a time."""


def _published():
    version = warehouse.current("prod").verify()
    reader = queries.reader_of(version)
    return version, reader, context.published(reader, version, VIEWER["claims"])


def list_metrics() -> answers.Metrics:
    """List the defined metrics, with the dimensions that each can be cut and filtered by. Look
    here first.
    """
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
            answers.SemanticModel(
                name=model.name,
                description=model.description,
                table=f"{model.schema}.{model.table}",
                metrics=[
                    answers.Metric(
                        name=metric.name, description=metric.description, format=metric.format.kind
                    )
                    for metric in model.metrics
                ],
                dimensions=[
                    answers.Dimension(
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
    return answers.Metrics(version=version.id, semantic_models=models)


def query_metrics(
    metrics: Annotated[
        list[str],
        Field(min_length=1, description="Names from list_metrics, all of one semantic model."),
    ],
    dimensions: Annotated[
        list[str],
        Field(description="Cut by these; a time dimension with its grain, as in NAME:month."),
    ] = (),
    since: Annotated[str, Day, Field(description="First day, YYYY-MM-DD.")] = "",
    until: Annotated[str, Day, Field(description="Last day, included.")] = "",
    where: Annotated[
        list[str],
        Field(
            description=(
                "Conditions dimension=value, dimension!=value or, of numbers and times,"
                " dimension=LOW..HIGH; alike ones are alternatives."
            )
        ),
    ] = (),
    order: Annotated[
        str, Field(description="A metric or dimension of the answer; - in front: largest first.")
    ] = "",
    limit: Limit = 100,
) -> answers.Rows:
    """Get the agreed figures of defined metrics, as every other tool of the platform shows them."""
    _values_may_go()
    names, cuts, conditions = map(tuple, (metrics, dimensions, where))
    question = Question(names, cuts, since, until, conditions, order, limit + 1)
    answer, version = queries.measured(question, VIEWER["claims"])
    rows = [[values.exact(value) for value in row.values()] for row in answer.rows]
    return _rows([column.short for column in answer.columns], rows, limit, version)


def list_tables() -> answers.Tables:
    """List the published tables with what a row of each is, and how many rows there are."""
    with _one:
        version, _, published = _published()
    tables = [
        answers.Table(
            name=name,
            description=node["description"],
            rows=version.tables.get(name) if published.claims == ALL_ROWS else None,
            columns=len(node["columns"]),
        )
        for name, node in published.tables.items()
    ]
    return answers.Tables(version=version.id, tables=tables)


def list_columns(table: Name) -> answers.Columns:
    """List the columns of a table, with types, descriptions and, where there are few, all
    values.
    """
    with _one:
        _, _, published = _published()
    name, node = _find(table, published)
    columns = [
        answers.Column(
            name=column,
            type=kind,
            description=description,
            values=published.values.get(f"{name}.{column}", []),
        )
        for column, (kind, description) in node["columns"].items()
    ]
    return answers.Columns(table=name, description=node["description"], columns=columns)


def run_sql(
    sql: Annotated[
        str, Field(description=f"One SELECT in {TITLE}'s SQL; tables with their schema.")
    ],
    limit: Limit = 100,
) -> answers.Rows:
    """Run one SQL statement that only reads, for 30 seconds at most. Aggregate in SQL rather
    than fetch rows.
    """
    _values_may_go()
    with _one:
        version, reader, published = _published()
        table = context.run(reader, sql.strip().rstrip(";"), published, limit)
    columns, _, rows, truncated = values.load(table)
    rows = [[values.exact(value) for value in row] for row in rows]
    return _rows(columns, rows, limit, version, truncated)


def show_freshness() -> answers.Freshness:
    """Show when the data was published, by whom, from which loads of which origin, and which
    tests passed.
    """
    with _one:
        version, reader, published = _published()
        (publication,) = reader.raw(
            "select origin, tests_passed, tests_warned from marts.publication"
        )["rows"]
    used = set(version.facts.get("load_ids", ()))
    loads = lake.loads(active=False)
    age = datetime.now(UTC) - datetime.fromisoformat(version.published_at)
    return answers.Freshness(
        version=version.id,
        published_at=version.published_at,
        published_hours_ago=round(age.total_seconds() / 3600, 2),
        published_by=version.who,
        origin=publication[0],
        tests_passed=publication[1],
        tests_warned=publication[2],
        loads=[
            answers.Load(
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


def show_lineage(table: Name) -> answers.Lineage:
    """Show what a table is built from, what is built from it, which file defines it, and its
    metrics.
    """
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
    return answers.Lineage(
        table=name,
        description=node["description"],
        defined_in=file_of(manifest["nodes"][unique_id]),
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
) -> answers.Rows:
    return answers.Rows(
        columns=columns,
        rows=rows[:limit],
        truncated=truncated or len(rows) > limit,
        version=version.id,
        published_at=version.published_at,
    )


TOOLS: tuple[Callable, ...] = (
    *(list_metrics, query_metrics, list_tables, list_columns),
    *(run_sql, show_freshness, show_lineage),
)
"""A model reads the docstring of each as its description."""
