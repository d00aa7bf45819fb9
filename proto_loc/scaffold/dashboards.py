"""Writes a dashboard of the bundle with its charts, in the short form, and its exposure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

import yaml

from proto_loc.scaffold.models import quoted, quoted_in_flow
from proto_loc.settings import settings
from proto_loc.superset.datasets import identity

DAYS, MONTHS = 120, 5 * 365
"""Up to so many days a chart over time is by day, then by month, then by year."""


@dataclass(frozen=True)
class Subject:
    """What a dashboard shows: the dataset of one mart."""

    model: str
    """The dbt model, such as ``mart_shop_orders``."""
    semantic: str
    """The semantic model, after which the dataset is named."""
    label: str
    count: tuple[str, str]
    """Name and label of the metric of the first figure and of the chart over time."""
    figure: tuple[str, str] | None = None
    """Name and label of another metric."""
    time: str = ""
    """The column of time; empty without a chart over time."""
    days: int = 0
    """Days between the first and the last value of it."""
    category: tuple[str, str] | None = None
    """Name and label of the column of the bars."""


def days_between(first: object, last: object) -> int:
    """Days between two values of a column of dates; 0 where they are no dates."""
    ends = []
    for value in (first, last):
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                return 0
        if not isinstance(value, date):
            return 0
        ends.append(date(value.year, value.month, value.day))
    return (ends[1] - ends[0]).days


def dashboard(name: str, title: str, subject: Subject, owner: str) -> dict[str, str]:
    """Text of each file of a dashboard, by its path in the clone."""
    charts = list(_charts(name, subject))
    text = f"{', '.join(chart['slice_name'] for chart in charts)}."
    nodes: dict[str, dict] = {"GRID_ID": {"children": []}}
    for row, chosen in (("figures", charts[:1]), ("charts", charts[1:])):
        if not chosen:
            continue
        nodes["GRID_ID"]["children"].append(f"ROW-{row}")
        keys = {f"CHART-{chart['file']}": chart for chart in chosen}
        nodes[f"ROW-{row}"] = {"children": list(keys)}
        for key, chart in keys.items():
            width = 12 // len(chosen) if row == "charts" else 4
            height = 50 if row == "charts" else 22
            nodes[key] = {"meta": {"uuid": chart["uuid"], "width": width, "height": height}}
    content = {
        "dashboard_title": title,
        "description": text,
        "slug": name.replace("_", "-"),
        "published": True,
        "uuid": identity("dashboard", name),
        "version": "1.0.0",
        "metadata": {
            "color_scheme": "supersetColors",
            "filter_bar_orientation": "HORIZONTAL",
            "native_filter_configuration": list(_filters(subject)),
        },
        "position": nodes,
    }
    texts = {f"superset/bundle/dashboards/{name}.yaml": _yaml(content)}
    for chart in charts:
        file = chart.pop("file")
        texts[f"superset/bundle/charts/{file}.yaml"] = _yaml(chart)
    host = f"http://127.0.0.1:{settings().own_port('superset')}"
    address = f"{host}/superset/dashboard/{content['slug']}/"
    texts[f"dbt/models/marts/{name}.exposures.yml"] = "\n".join([
        "version: 2", "",
        "exposures: # a dashboard of superset/bundle",
        f"  - name: {name}",
        f"    label: {quoted(title)}",
        "    type: dashboard",
        f"    description: {quoted(text)}",
        f"    url: {address}",
        f"    owner: {{name: {quoted_in_flow(owner)}}}",
        f"    depends_on: [ref('{subject.model}')]", "",
    ])  # fmt: skip
    return texts


def _charts(name: str, subject: Subject) -> Iterable[dict]:
    count, label = subject.count
    yield _chart(
        f"{name}_count", label, "big_number_total", subject,
        {"metric": count, "subtitle": "in all", "header_font_size": 0.4},
    )  # fmt: skip
    trend = {
        "x_axis": subject.time,
        "time_grain_sqla": "P1D" if subject.days <= DAYS else "P1M",
        "metrics": [count],
        "x_axis_time_format": "smart_date",
        "rich_tooltip": True,
        "show_legend": False,
        "y_axis_title": label,
        "y_axis_title_margin": 50,
        "y_axis_title_position": "Left",
        "row_limit": 10000,
    }
    if subject.days > MONTHS:
        trend["time_grain_sqla"] = "P1Y"
    grain = {"P1D": "day", "P1M": "month", "P1Y": "year"}[trend["time_grain_sqla"]]
    if subject.time and subject.days > 0:
        yield _chart(
            f"{name}_by_{grain}", f"{label} by {grain}", "echarts_timeseries_bar", subject, trend
        )
    if subject.category:
        column, words = subject.category
        metric, title = subject.figure or subject.count
        bars = {
            "x_axis": column,
            "x_axis_sort": metric,
            "x_axis_sort_asc": True,
            "orientation": "horizontal",
            "metrics": [metric],
            "show_legend": False,
            "show_value": True,
            "row_limit": 50,
        }
        what = f"{title} by {words.lower()}"
        yield _chart(f"{name}_by_{column}", what, "echarts_timeseries_bar", subject, bars)


def _chart(file: str, title: str, kind: str, subject: Subject, params: dict) -> dict:
    if subject.time:
        params["adhoc_filters"] = [
            {
                "clause": "WHERE",
                "expressionType": "SIMPLE",
                "subject": subject.time,
                "operator": "TEMPORAL_RANGE",
                "comparator": "No filter",
            }
        ]
    return {
        "file": file,
        "slice_name": title,
        "viz_type": kind,
        "params": params,
        "uuid": identity("chart", file),
        "version": "1.0.0",
        "dataset_uuid": identity("dataset", subject.semantic),
    }


def _filters(subject: Subject) -> Iterable[dict]:
    if subject.time:
        yield {
            "id": "NATIVE_FILTER-time",
            "name": "Time",
            "filterType": "filter_time",
            "targets": [{}],
            "controlValues": {"enableEmptyFilter": False},
        }
    if subject.category:
        column, words = subject.category
        yield {
            "id": f"NATIVE_FILTER-{column}",
            "name": words,
            "filterType": "filter_select",
            "targets": [
                {
                    "datasetUuid": identity("dataset", subject.semantic),
                    "column": {"name": column},
                }
            ],
            "controlValues": {
                "multiSelect": True,
                "enableEmptyFilter": False,
                "defaultToFirstItem": False,
                "searchAllOptions": False,
                "inverseSelection": False,
            },
        }


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data):
        return True


def _yaml(content: dict) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
