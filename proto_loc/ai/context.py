"""What a model is told of the data: metrics, dimensions, tables, columns, and how DuckDB's SQL is written.

All of it is read from the published version: dbt's manifest for definitions and descriptions, the file for types.
Values of the data are among it only where ``LOC_LLM_SEND_ROWS`` allows.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile

from proto_loc import warehouse
from proto_loc.ai import llm
from proto_loc.ai.reader import Reader
from proto_loc.cube import Condition, Question
from proto_loc.errors import LocError, UsageError
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.metrics.expressions import render, written
from proto_loc.metrics.read import read
from proto_loc.settings import private_folder, settings

ROWS = 10_000
"""The most rows of an answer."""
SHOWN = 24
"""A column of text with at most so many different values is told with them."""

DIALECT = """\
DuckDB's SQL: name tables with their schema (marts.mart_taxi_trips); date_trunc('month', t); t::date; isodow(t) is 1 on
Monday; count(*) filter (where ...); group by all; order by ... desc nulls last; quantile_cont(x, 0.5); no semicolon.
Divide with / (it gives fractions), and guard it with nullif(x, 0). One SELECT (WITH is fine); nothing that reads files
or writes."""

ASK = """\
You turn a question about a warehouse into one query. Answer with one JSON object and nothing else, in one of these
forms:
{"metrics": ["revenue"], "dimensions": ["pickup_borough", "pickup_at:month"], "since": "2025-01-01", \
"until": "2025-01-31", "where": ["pickup_borough=Queens"], "order": "-revenue", "limit": 10}
{"sql": "SELECT ..."}
{"cannot": "why the data cannot answer it"}
Prefer the first form whenever the defined metrics answer the question: they are the agreed figures. All its keys but
metrics may be left out. All metrics and dimensions of one query are of one semantic model. A time dimension carries a
grain after a colon (hour, day, week, month, quarter, year). since and until are days, both included, of the model's
first time dimension. where takes dimension=value or dimension!=value, the value as it stands in the data (of a time
dimension a year, month or day, as in 2025-01); conditions on one dimension are alternatives.
Ask for just what the question needs: no further columns, and a limit only where it asks for the first few."""

WITHOUT_CUBE = """\
The metric service is down, so the first form is not available: answer with SQL, and compute a metric by its formula."""


@dataclass(frozen=True)
class Published:
    """A published version, as far as it can be asked about."""

    version: warehouse.Version
    models: tuple[SemanticModel, ...]
    tables: dict[str, dict]
    """By ``schema.table``: dbt's description, and of each column its type and description."""
    values: dict[str, list[str]]
    """By ``schema.table.column``, the values of columns of text with few of them; empty where none may be sent."""


def published(reader: Reader, version: warehouse.Version) -> Published:
    """What can be asked about a version.

    Raises:
        LocError: it holds no data or no manifest of dbt.
    """
    return _published(reader, version.id, str(version.path), llm.sends_rows())


def definitions(version: warehouse.Version) -> dict:
    """dbt's manifest of a version.

    Raises:
        NoData: it is the empty one that a platform begins with.
        LocError: it was published without dbt.
    """
    file = version.folder / "dbt" / "manifest.json"
    if file.exists():
        return json.loads(file.read_text())
    if not version.tables:
        raise warehouse.NoData(
            "prod holds no data yet.", f"Its version {version.id} is empty, as at the start.", "Run `loc first-load`."
        )
    raise LocError(f"Version {version.id} of prod holds no models.", f"There is no {file}.", "Run `loc refresh`.")


@lru_cache(maxsize=4)
def _published(reader: Reader, version_id: int, path: str, sends: bool) -> Published:
    version = warehouse.find("prod", version_id)
    manifest = definitions(version)
    nodes = [node for node in manifest["nodes"].values() if node["resource_type"] in ("model", "seed")]
    described = {f"{node['schema']}.{node.get('alias') or node['name']}": node for node in nodes}
    found = reader.raw(
        "select schema_name || '.' || table_name, column_name, data_type from duckdb_columns() "
        "where not internal and database_name = current_database() order by schema_name, table_name, column_index",
        limit=5000,
    )
    tables: dict[str, dict] = {}
    for table, column, kind in found["rows"]:
        node = described.get(table, {})
        about = tables.setdefault(table, {"description": node.get("description", ""), "columns": {}})
        said = node.get("columns", {}).get(column, {}).get("description", "")
        about["columns"][column] = (kind, " ".join(said.split()))
    models = tuple(read(manifest))
    return Published(version, models, tables, _kept_values(reader, version, models) if sends else {})


def _kept_values(reader: Reader, version: warehouse.Version, models: tuple[SemanticModel, ...]) -> dict[str, list[str]]:
    """:func:`_values`, which take seconds on ten million rows, once a version: they stay in the run folder."""
    file, of = settings().run / "ai/values.json", [str(version.path), version.id, version.published_at]
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text())
        if kept["of"] == of:
            return kept["values"]
    found = _values(reader, models)
    with suppress(OSError):  # then the next process looks again
        private_folder(file.parent)
        with NamedTemporaryFile("w", dir=file.parent, delete=False) as new:  # which only its owner reads
            json.dump({"of": of, "values": found}, new)
        Path(new.name).replace(file)
    return found


def _values(reader: Reader, models: tuple[SemanticModel, ...]) -> dict[str, list[str]]:
    """The values of each dimension of text that has few, in one scan a mart."""
    found = {}
    for model in models:
        names = [
            dimension.column
            for dimension in model.dimensions
            if (column := model.type_of(dimension)) and column.type == "VARCHAR"
        ]
        if not names:
            continue
        picked = ", ".join(f'list_sort(list(distinct "{name}"))[:{SHOWN + 1}]' for name in names)
        row = reader.raw(f"select to_json([{picked}])::varchar from {model.schema}.{model.table}")["rows"][0][0]
        for name, values in zip(names, json.loads(row), strict=True):
            if values and len(values) <= SHOWN:
                found[f"{model.schema}.{model.table}.{name}"] = values
    return found


def told(about: Published, cube: bool) -> str:
    """The whole of it as text for a model.

    Args:
        cube: whether queries for metrics can be run.
    """
    parts = [ASK if cube else f"{ASK}\n{WITHOUT_CUBE}", DIALECT]
    for model in about.models:
        parts.append(f"Semantic model {model.name}, on {model.schema}.{model.table}: {model.description}")
        parts += [
            f"  metric {metric.name}: {metric.description} = {render(metric.expression)}" for metric in model.metrics
        ]
        for dimension in model.dimensions:
            kind = "time dimension" if dimension.grain else "dimension"
            known = about.values.get(f"{model.schema}.{model.table}.{dimension.column}")
            shown = f" One of: {', '.join(map(repr, known))}." if known else ""
            parts.append(f"  {kind} {dimension.name}: {dimension.description}{shown}")
    parts.append("Tables:")
    for table, node in about.tables.items():
        parts.append(f"{table}: {' '.join(node['description'].split())}")
        parts += [f"  {name} {kind}{': ' + said if said else ''}" for name, (kind, said) in node["columns"].items()]
    return "\n".join(parts)


def _holds(condition: Condition, column: str, model: SemanticModel) -> str:
    """SQL that says where a dimension has the value of a condition."""
    dimension = next(each for each in model.dimensions if each.name == condition.name)
    of = model.type_of(dimension)
    if dimension.grain or (of and of.is_time):
        first, last = condition.period()
        return f"({column} >= '{first}'::date and {column} < '{last}'::date + 1)"
    if of and of.is_number:
        return f"{column} = {condition.of_kind('number')}"
    return f"{column}::varchar = '" + condition.value.replace("'", "''") + "'"


def sql(question: Question, models: tuple[SemanticModel, ...]) -> str:
    """The same question as SQL over the mart, from the definitions: what Cube must agree with.

    Raises:
        UsageError: a name is of no metric or dimension, or the metrics are not of one semantic model.
    """
    for model in models:
        metrics = {metric.name: metric for metric in model.metrics}
        if set(question.metrics) <= metrics.keys():
            break
    else:
        raise UsageError(
            f"No semantic model has the metrics {', '.join(question.metrics)}.", "", "See: loc query --list"
        )
    dimensions = {dimension.name: dimension for dimension in model.dimensions}

    def of(name: str) -> str:
        if name not in dimensions:
            raise UsageError(f"There is no dimension {name!r} of {model.name}.", "", "See: loc query --list")
        return written(dimensions[name].of)

    selected, conditions = {}, []
    for text in question.dimensions:
        name, _, grain = text.partition(":")
        time = dimensions.get(name) and dimensions[name].grain
        selected[name] = f"date_trunc('{grain or 'day'}', {of(name)})::timestamp" if time else of(name)
    selected |= {name: render(metrics[name].expression) for name in question.metrics}
    if question.since:
        conditions.append(f"{written(model.time.of)} >= '{question.since}'::date")
    if question.until:
        conditions.append(f"{written(model.time.of)} < '{question.until}'::date + 1")
    alike: dict[tuple[str, str], list[str]] = {}
    for condition in map(Condition.parse, question.where):
        alike.setdefault((condition.name, condition.sign), []).append(_holds(condition, of(condition.name), model))
    for (name, sign), parts in alike.items():
        joined = " or ".join(parts)
        conditions.append(f"({joined})" if sign == "=" else f"(not ({joined}) or {of(name)} is null)")
    picked = ", ".join(f'{text} as "{name}"' for name, text in selected.items())
    where = f" where {' and '.join(conditions)}" if conditions else ""
    order = ""
    if question.order:
        name = question.order.removeprefix("-")
        order = f' order by "{name}" {"desc" if question.order.startswith("-") else "asc"} nulls last'
    groups = (
        f" group by {', '.join(str(at + 1) for at in range(len(question.dimensions)))}" if question.dimensions else ""
    )
    return f"select {picked} from {model.schema}.{model.table}{where}{groups}{order} limit {question.limit}"
