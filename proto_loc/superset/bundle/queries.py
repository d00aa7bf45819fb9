"""Makes the query of a chart from its parameters, as Superset's pages make it in a browser.

Superset's API, CSV exports, reports and alerts run the query that is saved with a chart, and only a
browser saves one. The rules are those of Superset 6.1; ``tests/superset/test_superset_browser.py``
compares them with what a browser sends.
"""

import json
from collections.abc import Callable, Iterable

Query = dict[str, object]

TIMESERIES = (
    "echarts_area",
    "echarts_timeseries",
    "echarts_timeseries_bar",
    "echarts_timeseries_line",
    "echarts_timeseries_scatter",
    "echarts_timeseries_smooth",
    "echarts_timeseries_step",
)
_LIMIT = {"row_limit": 10_000}
_OF_TIMESERIES = {
    **_LIMIT,
    "show_empty_columns": True,
    "truncate_metric": True,
    "x_axis_sort_asc": True,
}
DEFAULTS = {
    "bubble_v2": _LIMIT,
    "heatmap_v2": _LIMIT,
    "pie": {"row_limit": 100, "sort_by_metric": True},
    "pivot_table_v2": _LIMIT,
    "table": _LIMIT,
    **{viz_type: _OF_TIMESERIES for viz_type in TIMESERIES},
}
"""The default parameters of each chart type, which its page adds."""
_METRICS = ("metrics", "metric", "metric_2", "secondary_metric", "x", "y", "size")
_UNARY = ("IS NULL", "IS NOT NULL")


class Unmade(Exception):
    """The query of a chart cannot be made; the message names the reason."""


def context(viz_type: str, params: dict, temporal: Iterable[str] = ()) -> dict:
    """Make the query context of a chart, without its dataset and its form.

    Args:
        viz_type: the type of the chart.
        params: its parameters; missing ones have the defaults of the page.
        temporal: the time columns of its dataset.

    Raises:
        Unmade: there is no rule for the type, or for a parameter.
    """
    made = _MAKERS.get(viz_type)
    if made is None:
        raise Unmade(f"a chart of the type {viz_type}")
    for name in ("time_compare", "forecastEnabled", "server_pagination"):
        if params.get(name):
            raise Unmade(f"a chart with {name}")
    form = {**DEFAULTS.get(viz_type, {}), **params}
    queries = [_with_axis(query, form) for query in made(_base(form), form, set(temporal))]
    return {
        "force": False,
        "queries": [
            {key: value for key, value in query.items() if value is not None} for query in queries
        ],
        "result_format": "json",
        "result_type": "full",
    }


def makeable(viz_type: str | None, params: dict | None) -> bool:
    """Whether :func:`context` can make the query of this chart."""
    try:
        context(viz_type or "", params or {})
    except Unmade:
        return False
    return True


def temporal_lookup(viz_type: str, temporal: Iterable[str]) -> dict:
    """The parameter without which the pages of some types ignore the grain of a time column."""
    return (
        {"temporal_columns_lookup": dict.fromkeys(temporal, True)}
        if viz_type in ("pivot_table_v2", "table")
        else {}
    )


def _base(form: dict) -> Query:
    """The part of a query that all types have in common."""
    filters, where, having = [], [form["where"]] if form.get("where") else [], []
    for condition in form.get("adhoc_filters") or []:
        if condition.get("expressionType") == "SQL":
            (where if condition.get("clause") == "WHERE" else having).append(
                condition.get("sqlExpression") or ""
            )
        elif condition.get("clause") == "WHERE":
            value = (
                {} if condition.get("operator") in _UNARY else {"val": condition.get("comparator")}
            )
            filters.append(
                {"col": condition.get("subject"), "op": condition.get("operator"), **value}
            )
    grain = {"time_grain_sqla": form["time_grain_sqla"]} if form.get("time_grain_sqla") else {}
    limit = form.get("series_limit", form.get("limit"))
    return {
        "time_range": form.get("time_range") or None,
        "granularity": form.get("granularity_sqla") or form.get("granularity") or None,
        "filters": filters,
        "extras": {**grain, "having": _clauses(having), "where": _clauses(where)},
        "applied_time_extras": {},
        "columns": _deduplicated([*_listed(form.get("groupby")), *_listed(form.get("columns"))]),
        "metrics": _deduplicated([metric for key in _METRICS for metric in _listed(form.get(key))]),
        "annotation_layers": form.get("annotation_layers") or [],
        "row_limit": _number(form.get("row_limit")),
        "row_offset": _number(form.get("row_offset")),
        "series_columns": form.get("series_columns"),
        "series_limit": _number(limit) or 0,
        "series_limit_metric": (
            form.get("series_limit_metric") or form.get("timeseries_limit_metric") or None
        ),
        "group_others_when_limit_reached": form.get("group_others_when_limit_reached", False),
        "order_desc": form.get("order_desc", True),
        "url_params": {},
        "custom_params": {},
        "custom_form_data": {},
    }


def _clauses(texts: list[str]) -> str:
    return " AND ".join(f"({text}\n)" if "--" in text else f"({text})" for text in texts)


def _order(base: Query, by: object) -> list | None:
    return [[by, not base["order_desc"]]] if by else None


def _trend(base: Query, form: dict, temporal: set[str]) -> list[Query]:
    axis = _listed(form.get("x_axis"))
    series = {"is_timeseries": None if axis else True}
    steps = [
        _pivot(base, form, axis),
        _resample(form),
        _rolling(base, form),
        {"operation": "flatten"},
    ]
    queries = [{**base, "columns": axis, **series, "post_processing": list(filter(None, steps))}]
    if form.get("aggregation") == "raw":
        queries.append({**base, "columns": [], "is_timeseries": False, "post_processing": []})
    return queries


def _timeseries(base: Query, form: dict, temporal: set[str]) -> list[Query]:
    axis, groups = _listed(form.get("x_axis")), _listed(form.get("groupby"))
    base = {**base, "metrics": [*base["metrics"], *_sorting_metric(form)]}
    order = base["series_limit_metric"] or next(iter(base["metrics"]), None)
    columns = {"columns": [*axis, *groups], "series_columns": groups}
    steps = [
        _pivot(base, form, axis, groups),
        _resample(form),
        _rolling(base, form),
        _rename(base, form, axis, groups),
        _contribution(form),
        _sorted(base, form, axis, groups),
        {"operation": "flatten"},
    ]
    series = {"is_timeseries": None if axis else True, "time_offsets": []}
    processed = {"orderby": _order(base, order), "post_processing": list(filter(None, steps))}
    return [{**base, **columns, **series, **processed}]


def _sorting_metric(form: dict) -> list:
    """The metric that sorts the axis, if the chart does not show it."""
    metric = next(iter(_listed(form.get("timeseries_limit_metric"))), None)
    known = [_label(item) for item in _listed(form.get("metrics"))]
    is_sorted = metric and not form.get("groupby") and _label(metric) == form.get("x_axis_sort")
    return [metric] if is_sorted and _label(metric) not in known else []


def _pivot(base: Query, form: dict, axis: list, groups: Iterable = ()) -> dict | None:
    if not axis or not base["metrics"]:
        return None
    options = {
        "index": [_label(axis[0])],
        "columns": [_label(column) for column in groups],
        "aggregates": {_label(metric): {"operator": "mean"} for metric in base["metrics"]},
        "drop_missing_columns": not form.get("show_empty_columns"),
    }
    return {"operation": "pivot", "options": options}


def _resample(form: dict) -> dict | None:
    method, rule = form.get("resample_method"), form.get("resample_rule")
    if not method or not rule:
        return None
    zero = method == "zerofill"
    options = {"rule": rule, "fill_value": 0 if zero else None}
    options["method"] = "asfreq" if zero else method
    return {"operation": "resample", "options": options}


def _rolling(base: Query, form: dict) -> dict | None:
    kind = form.get("rolling_type")
    columns = {_label(metric): _label(metric) for metric in base["metrics"]}
    if kind == "cumsum":
        return {"operation": "cum", "options": {"operator": "sum", "columns": columns}}
    if kind not in ("sum", "mean", "std"):
        return None
    options = {"rolling_type": kind, "columns": columns}
    options["window"] = _number(form.get("rolling_periods"), 1)
    options["min_periods"] = _number(form.get("min_periods"), 0)
    return {"operation": "rolling", "options": options}


def _rename(base: Query, form: dict, axis: list, groups: list) -> dict | None:
    if len(base["metrics"]) != 1 or not axis or not groups or not form.get("truncate_metric"):
        return None
    options = {"columns": {_label(base["metrics"][0]): None}, "level": 0, "inplace": True}
    return {"operation": "rename", "options": options}


def _contribution(form: dict) -> dict | None:
    options = {"orientation": form.get("contributionMode"), "time_shifts": []}
    return {"operation": "contribution", "options": options} if options["orientation"] else None


def _sorted(base: Query, form: dict, axis: list, groups: list) -> dict | None:
    by, ascending = form.get("x_axis_sort"), form.get("x_axis_sort_asc")
    labels = [_label(item) for item in (*axis[:1], *base["metrics"])]
    if by is None or ascending is None or groups or by not in labels:
        return None
    what = {"is_sort_index": True} if axis and by == _label(axis[0]) else {"by": by}
    return {"operation": "sort", "options": {**what, "ascending": ascending}}


def _heat_map(base: Query, form: dict, temporal: set[str]) -> list[Query]:
    metric, order = _label(form.get("metric")), []
    columns = [*_listed(form.get("x_axis")), *_listed(form.get("groupby"))]
    for key, column in zip(("sort_x_axis", "sort_y_axis"), columns, strict=False):
        if way := form.get(key):
            order.append([metric if "value" in way else column, "asc" in way])
    across = dict(zip(("x", "y"), columns, strict=False)).get(form.get("normalize_across"))
    rank = {"metric": metric, **({"group_by": _label(across)} if across else {})}
    steps = [{"operation": "rank", "options": rank}]
    return [{**base, "columns": columns, "orderby": order, "post_processing": steps}]


def _bubble(base: Query, form: dict, temporal: set[str]) -> list[Query]:
    columns = [*_listed(form.get("entity")), *_listed(form.get("series"))]
    return [{**base, "columns": columns, "orderby": _order(base, form.get("orderby"))}]


def _pie(base: Query, form: dict, temporal: set[str]) -> list[Query]:
    metric = form.get("metric")
    share = {"columns": [_label(metric)], "rename_columns": [f"{_label(metric)}__contribution"]}
    order = [[metric, False]] if form.get("sort_by_metric") else None
    steps = [{"operation": "contribution", "options": share}]
    return [{**base, "orderby": order, "post_processing": steps}]


def _pivot_table(base: Query, form: dict, temporal: set[str]) -> list[Query]:
    grain, times = form.get("time_grain_sqla"), {*temporal, form.get("granularity_sqla")}
    order = base["series_limit_metric"] or next(iter(base["metrics"]), None)
    groups = [*_listed(form.get("groupbyColumns")), *_listed(form.get("groupbyRows"))]
    columns = [
        _in_grain(column, grain) if grain and _is_time(column, times) else column
        for column in _deduplicated(groups)
    ]
    return [{**base, "columns": columns, "orderby": _order(base, order)}]


def _table(base: Query, form: dict, temporal: set[str]) -> list[Query]:
    raw = form.get("query_mode") == "raw" or ("query_mode" not in form and form.get("all_columns"))
    common = {**base, "time_offsets": [], "post_processing": []}
    if raw:
        columns = _deduplicated([*_listed(form.get("all_columns")), *_listed(form.get("columns"))])
        order = _orders(form.get("order_by_cols"))
        return [{**common, "columns": columns, "metrics": None, "orderby": order}]
    metrics, percent = base["metrics"], _listed(form.get("percent_metrics"))
    sort = next(iter(_listed(form.get("timeseries_limit_metric"))), None)
    order = _order(base, sort) or [[metric, False] for metric in metrics[:1]]
    columns, grain = _deduplicated(_listed(form.get("groupby"))), form.get("time_grain_sqla")
    time = next((column for column in columns if _is_time(column, temporal)), None)
    if grain and time:
        columns = [_in_grain(time, grain), *(column for column in columns if column != time)]
    query = {**common, "columns": columns, "orderby": order}
    query["metrics"] = _deduplicated([*metrics, *percent])
    if percent:
        names = _deduplicated([_label(metric) for metric in percent])
        options = {"columns": names, "rename_columns": [f"%{name}" for name in names]}
        query["post_processing"] = [{"operation": "contribution", "options": options}]
    whole = {**query, "columns": [], "post_processing": [], "row_limit": 0, "row_offset": 0}
    queries = [query]
    if percent and form.get("percent_metric_calculation") == "all_records":
        queries.append({**whole, "metrics": percent, "orderby": [], "is_timeseries": False})
    if query["metrics"] and form.get("show_totals"):
        queries.append({**whole, "order_desc": None, "orderby": None})
    return queries


def _orders(orders: object) -> list:
    return [json.loads(order) if isinstance(order, str) else order for order in _listed(orders)]


_MAKERS: dict[str, Callable[[Query, dict, set[str]], list[Query]]] = {
    "big_number": _trend,
    "big_number_total": lambda base, form, temporal: [base],
    "bubble_v2": _bubble,
    "heatmap_v2": _heat_map,
    "pie": _pie,
    "pivot_table_v2": _pivot_table,
    "table": _table,
    **dict.fromkeys(TIMESERIES, _timeseries),
}
TYPES = tuple(_MAKERS)


def _with_axis(query: Query, form: dict) -> Query:
    """Mark the column of the horizontal axis in a query."""
    axis, grain = form.get("x_axis"), form.get("time_grain_sqla")
    if not axis:
        return query
    mark = {"columnType": "BASE_AXIS", **({"timeGrain": grain} if grain else {})}
    column = (
        {"sqlExpression": axis, "label": axis, "expressionType": "SQL", "isColumnReference": True}
        if isinstance(axis, str)
        else axis
    )
    return {
        **query,
        "columns": [{**column, **mark} if each == axis else each for each in query["columns"]],
    }


def _in_grain(column: str, grain: str) -> dict:
    axis = {"timeGrain": grain, "columnType": "BASE_AXIS"}
    return {**axis, "sqlExpression": column, "label": column, "expressionType": "SQL"}


def _is_time(column: object, times: set[str]) -> bool:
    return isinstance(column, str) and column in times


def _label(part: object) -> str:
    """The name of a column or metric in an answer."""
    if isinstance(part, dict):
        column = (part.get("column") or {}).get("column_name")
        return str(
            part.get("label") or part.get("sqlExpression") or f"{part.get('aggregate')}({column})"
        )
    return str(part)


def _listed(value: object) -> list:
    return value if isinstance(value, list) else [] if value is None or value == "" else [value]


def _deduplicated(parts: list) -> list:
    """Remove the parts that have the label of an earlier one."""
    kept: dict[str, object] = {}
    for part in parts:
        kept.setdefault(_label(part), part)
    return list(kept.values())


def _number(value: object, otherwise: int | None = None) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return otherwise
