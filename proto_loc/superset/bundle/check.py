"""Finds the errors in a bundle's files: references, columns, metrics, layout and filters."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from proto_loc.superset.bundle import expressions, layout, queries, shapes
from proto_loc.superset.bundle.read import KINDS, Document, Files, read
from proto_loc.warehouse import guard

_COLUMNS = (
    "x_axis",
    "entity",
    "series",
    "dimension",
    "groupby",
    "groupbyRows",
    "groupbyColumns",
    "all_columns",
    "columns",
    "series_columns",
    "granularity_sqla",
    "path",
    "source",
    "target",
)
_METRICS = (
    "metric",
    "metrics",
    "metric_2",
    "secondary_metric",
    "metrics_b",
    "percent_metrics",
    "size",
    "timeseries_limit_metric",
    "series_limit_metric",
)
_EITHER = ("x_axis_sort",)
"""Parameters of a chart that name columns, metrics, or either."""


def faults(folder: Path, tables: Mapping[str, set[str]] | None = None) -> list[str]:
    """Check a bundle; return one line per error, ``file:line: message``.

    Args:
        folder: the bundle.
        tables: ``schema.table`` → its columns; datasets on these tables are compared with them.
    """
    files = read(folder)
    misshapen = {
        name: lines
        for name, document in files.documents.items()
        if (lines := shapes.faults(document))
    }
    if misshapen:  # the other checks rely on the shapes
        return sorted(
            {*files.faults, *(line for lines in misshapen.values() for line in lines)}, key=_place
        )
    return sorted(
        {
            *files.faults,
            *_uuids(files),
            *_datasets(files, tables or {}),
            *_charts(files),
            *_dashboards(files),
        },
        key=_place,
    )


def _place(fault: str) -> tuple[str, int]:
    name, line, _ = fault.split(":", 2)
    return name, int(line)


def _uuids(files: Files) -> Iterator[str]:
    seen: dict[str, str] = {}
    for document in files.documents.values():
        if document.name == "metadata.yaml":
            continue
        if not (uuid := document.content.get("uuid")):
            yield f"{document.at()}: it has no uuid"
        elif str(uuid) in seen:
            yield f"{document.at('uuid')}: the uuid {uuid} is also that of {seen[str(uuid)]}"
        seen.setdefault(str(uuid), document.name)
        if document.name.partition("/")[0] not in KINDS:
            yield f"{document.at()}: it is in none of the folders {', '.join(KINDS)}"
    slugs: dict[str, str] = {}
    for document in files.of("dashboards"):
        if (slug := document.content.get("slug")) in slugs:
            yield f"{document.at('slug')}: the slug {slug!r} is also that of {slugs[slug]}"
        if slug:
            slugs[slug] = document.name


def _datasets(files: Files, tables: Mapping[str, set[str]]) -> Iterator[str]:
    databases = files.by_uuid("databases")
    for document in files.of("datasets"):
        content = document.content
        if str(content.get("database_uuid")) not in databases:
            yield f"{document.at('database_uuid')}: no file has a database with this uuid"
        for part, key in (("columns", "column_name"), ("metrics", "metric_name")):
            names = [item.get(key) for item in content.get(part) or []]
            for number, name in enumerate(names):
                if name in names[:number]:
                    yield f"{document.at(part, number)}: {name!r} is there twice"
        table = f"{content.get('schema')}.{content.get('table_name')}"
        for number, column in enumerate(content.get("columns") or []):
            name = column.get("column_name")
            if table in tables and not column.get("expression") and name not in tables[table]:
                yield f"{document.at('columns', number)}: {table} has no column {name!r}"
        for part in ("columns", "metrics"):
            for number, item in enumerate(content.get(part) or []):
                if table in tables and (expression := item.get("expression")):
                    for what in _unknown(str(expression), tables[table]):
                        yield f"{document.at(part, number, 'expression')}: {table} {what}"


def _names(dataset: Document) -> tuple[set[str], set[str]]:
    """The columns and metrics of a dataset."""
    content = dataset.content
    return (
        {item.get("column_name") for item in content.get("columns") or []},
        {item.get("metric_name") for item in content.get("metrics") or []},
    )


def _charts(files: Files) -> Iterator[str]:
    datasets = files.by_uuid("datasets")
    placed = {
        node["meta"].get("uuid")
        for document in files.of("dashboards")
        for node in layout.charts(document.content)
    }
    for document in files.of("charts"):
        content = document.content
        if str(content.get("uuid")) not in placed:
            yield f"{document.at()}: no dashboard shows this chart; remove the file, or place it"
        if (dataset := datasets.get(str(content.get("dataset_uuid")))) is None:
            yield f"{document.at('dataset_uuid')}: no file has a dataset with this uuid"
            continue
        yield from _unmade_query(document)
        columns, metrics = _names(dataset)
        table = dataset.content.get("table_name")
        for keys, what, name in _named(content.get("params") or {}):
            known = {"column": columns, "metric": metrics}.get(what, columns | metrics)
            if not isinstance(name, str) or name not in known:
                what = "column or metric" if what == "either" else what
                yield f"{document.at('params', *keys)}: {table} has no {what} {name!r}"
        for keys, expression in _written(content.get("params") or {}):
            for what in _unknown(expression, columns):
                yield f"{document.at('params', *keys)}: {table} {what}"


def _unmade_query(document: Document) -> Iterator[str]:
    """Report a chart without a query, as provisioning cannot make it."""
    content = document.content
    try:
        queries.context(str(content.get("viz_type")), content.get("params") or {})
    except queries.Unmade as reason:
        if not content.get("query_context"):
            yield (
                f"{document.at('viz_type')}: nothing makes the query of {reason}, without which its"
                " data cannot be had by API, as CSV or in a report; save it in Superset's Explore,"
                " then run `./loc superset export`"
            )


def _written(params: dict) -> Iterator[tuple[tuple, str]]:
    """Find the SQL expressions in a chart's parameters, and their places."""
    for key, value in params.items():
        many = isinstance(value, list)
        for number, item in enumerate(value if many else [value]):
            if isinstance(item, dict) and item.get("expressionType") == "SQL":
                yield (
                    (*((key, number) if many else (key,)), "sqlExpression"),
                    str(item.get("sqlExpression")),
                )


def _unknown(expression: str, known: set[str]) -> Iterator[str]:
    """The errors of a SQL expression on a table with these columns."""
    try:
        for name in sorted(expressions.columns(expression) - known):
            yield f"has no column {name!r}"
    except guard.Refused as error:
        yield f"cannot be asked for {expression!r}: {error.what} {error.why}"


def _named(params: dict) -> Iterator[tuple[tuple, str, str]]:
    """The names in a chart's parameters: place, kind (``column``, ``metric``, ``either``), name."""
    metrics = _METRICS + (("x", "y") if "entity" in params else ())
    for what, parameters in (("column", _COLUMNS), ("metric", metrics), ("either", _EITHER)):
        for key in parameters:
            value = params.get(key)
            for number, item in enumerate(value if isinstance(value, list) else [value]):
                place = (key, number) if isinstance(value, list) else (key,)
                if isinstance(item, str) and item:
                    yield place, what, item
                elif isinstance(item, dict) and isinstance(item.get("column"), dict):
                    yield (
                        (*place, "column", "column_name"),
                        "column",
                        item["column"].get("column_name"),
                    )
    for number, item in enumerate(params.get("adhoc_filters") or []):
        if item.get("expressionType") == "SIMPLE":
            yield ("adhoc_filters", number, "subject"), "column", item.get("subject")
    for name in params.get("column_config") or {}:
        yield ("column_config", name), "either", name
    for number, item in enumerate(params.get("conditional_formatting") or []):
        yield ("conditional_formatting", number, "column"), "either", item.get("column")


def _dashboards(files: Files) -> Iterator[str]:
    known = files.by_uuid("charts")
    for document in files.of("dashboards"):
        yield from layout.faults(document)
        placed: dict[str, str] = {}
        for node in layout.charts(document.content):
            uuid = node["meta"].get("uuid")
            if uuid not in known:
                yield (
                    f"{document.at('position', node['id'], 'meta', 'uuid')}: no file has a chart"
                    " with this uuid"
                )
            elif uuid in placed:
                yield f"{document.at('position', node['id'])}: {placed[uuid]} shows the same chart"
            placed.setdefault(uuid, node["id"])
        yield from _filters(document, files.by_uuid("datasets"), set(placed))
        yield from _mentioned(document, placed)


def _mentioned(document: Document, placed: dict[str, str]) -> Iterator[str]:
    """Report charts that the metadata names, but the layout does not contain."""
    numbers = {node["meta"].get("chartId") for node in layout.charts(document.content)} - {None}
    inside = {*placed, *numbers, *map(str, numbers)}
    metadata = document.content.get("metadata") or {}
    whole = (metadata.get("global_chart_configuration") or {}).get("scope") or {}
    for keys, charts in (
        (("timed_refresh_immune_slices",), metadata.get("timed_refresh_immune_slices")),
        (("expanded_slices",), metadata.get("expanded_slices")),
        (("chart_configuration",), metadata.get("chart_configuration")),
        (("global_chart_configuration", "scope", "excluded"), whole.get("excluded")),
    ):
        for chart in charts or ():
            if chart not in inside:
                yield (
                    f"{document.at('metadata', *keys)}: the chart {chart} is not on this dashboard"
                )


def _filters(document: Document, datasets: dict[str, Document], placed: set[str]) -> Iterator[str]:
    seen = set()
    nodes = document.content.get("position") or {}
    for number, item in enumerate(
        (document.content.get("metadata") or {}).get("native_filter_configuration") or []
    ):
        place = ("metadata", "native_filter_configuration", number)
        name = item.get("name")
        if item.get("id") in seen:
            yield f"{document.at(*place, 'id')}: another filter has the id {item.get('id')!r}"
        seen.add(item.get("id"))
        targets = [target for target in item.get("targets") or [] if target]
        if not targets and item.get("filterType") not in ("filter_time", "filter_timegrain"):
            yield f"{document.at(*place, 'targets')}: the filter {name!r} points nowhere"
        for target in targets:
            dataset = datasets.get(str(target.get("datasetUuid")))
            column = (target.get("column") or {}).get("name")
            if dataset is None:
                yield (
                    f"{document.at(*place, 'targets')}: the filter {name!r} is on a dataset that no"
                    " file has"
                )
            elif column and column not in _names(dataset)[0]:
                table = dataset.content.get("table_name")
                yield (
                    f"{document.at(*place, 'targets')}: the filter {name!r} is on {column!r}, which"
                    f" {table} lacks"
                )
        scope = item.get("scope") or {}
        for root in scope.get("rootPath") or []:
            if root not in ("ROOT_ID", "GRID_ID") and root not in nodes:
                yield (
                    f"{document.at(*place, 'scope')}: the filter {name!r} is for {root}, which is"
                    " not in the layout"
                )
        for chart in scope.get("excluded") or []:
            if isinstance(chart, str) and chart not in placed:
                yield (
                    f"{document.at(*place, 'scope')}: the filter {name!r} leaves out {chart}, which"
                    " is not placed"
                )
