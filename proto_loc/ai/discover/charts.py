"""Draws the charts of a report, as PNG."""

import io
from collections.abc import Iterable

import altair as alt

from proto_loc.ai.discover.changes import Change
from proto_loc.ai.discover.finding import Mart

WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ROWS = alt.Axis(format="~s", tickCount=4, tickMinStep=1)
"""Axis of counts with whole steps: without them, half a row would be labelled 500m."""
alt.data_transformers.disable_max_rows()


def days(mart: Mart) -> bytes | None:
    """Chart of the rows per day, with the days that stand out as points."""
    if not mart.seasons.days:
        return None
    out = {day for day, _, _ in mart.seasons.standing_out}
    data = [
        {"day": day.isoformat(), "rows": rows, "out": day in out} for day, rows in mart.seasons.days
    ]
    base = alt.Chart(alt.Data(values=data), title=f"{mart.model.label} a day").encode(
        x=alt.X("day:T", title=None), y=alt.Y("rows:Q", title=mart.model.label.lower())
    )
    points = base.mark_point(color="firebrick", size=60).transform_filter("datum.out")
    return _png((base.mark_line() + points).properties(width=820, height=200))


def week(mart: Mart) -> bytes | None:
    """Heat map of the rows by weekday and hour, on an average day."""
    if not mart.seasons.hours:
        return None
    data = [
        {"weekday": WEEK[day - 1], "hour": hour, "rows": rows}
        for day, hour, rows in mart.seasons.hours
    ]
    chart = alt.Chart(
        alt.Data(values=data), title=f"{mart.model.label} an hour, on an average day"
    ).mark_rect()
    return _png(
        chart.encode(
            x=alt.X("hour:O", title="hour"),
            y=alt.Y("weekday:N", title=None, sort=list(WEEK)),
            color=alt.Color("rows:Q", title=mart.model.label.lower()).scale(
                scheme="yellowgreenblue"
            ),
        ).properties(width=720, height=180)
    )


def distributions(mart: Mart) -> bytes | None:
    """Histograms of the numeric columns, between their 0.5 and 99.5 percentiles."""
    panels = []
    for column in mart.columns:
        if column.bins:
            data = [{"from": low, "to": high, "rows": rows} for low, high, rows in column.bins]
            panels.append(
                alt.Chart(alt.Data(values=data), title=column.name)
                .mark_bar()
                .encode(
                    x=alt.X("from:Q", bin="binned", title=None, axis=alt.Axis(tickCount=5)),
                    x2="to:Q",
                    y=alt.Y("rows:Q", title=None, axis=ROWS),
                )
                .properties(width=180, height=110)
            )
    return _grid(panels, 4)


def categories(mart: Mart) -> bytes | None:
    """Bar charts of the most frequent values of each category."""
    panels = []
    for column in mart.columns:
        if column.top and column.distinct > 1:
            data = [{"value": value, "rows": rows} for value, rows in column.top]
            panels.append(
                alt.Chart(alt.Data(values=data), title=column.name)
                .mark_bar()
                .encode(
                    y=alt.Y("value:N", sort=None, title=None, axis=alt.Axis(labelLimit=120)),
                    x=alt.X("rows:Q", title=None, axis=ROWS),
                )
                .properties(width=170, height=150)
            )
    return _grid(panels, 3)


def drivers(changes: list[Change]) -> bytes | None:
    """Bar charts of the segments behind the four largest changes."""
    panels = []
    for change in changes[:4]:
        data = [
            {"segment": f"{segment.dimension}: {segment.value}", "change": float(segment.change)}
            for segment in change.segments[:8]
            if segment.change
        ]
        if data:
            axis = alt.Axis(format=_ticks(segment["change"] for segment in data), tickCount=5)
            panels.append(
                alt.Chart(alt.Data(values=data), title=f"{change.metric.label}, change by segment")
                .mark_bar()
                .encode(
                    y=alt.Y("segment:N", sort=None, title=None, axis=alt.Axis(labelLimit=200)),
                    x=alt.X("change:Q", title=None, axis=axis),
                    color=alt.condition(
                        "datum.change > 0", alt.value("#3b7dbd"), alt.value("#c2533c")
                    ),
                )
                .properties(width=230, height=150)
            )
    return _grid(panels, 2)


def _ticks(values: Iterable[float]) -> str:
    """The d3 format of an axis: 1k or 1M for large numbers, plain (not milli) for small ones."""
    return "~s" if max(map(abs, values)) >= 1000 else "~g"


def _grid(panels: list[alt.Chart], columns: int) -> bytes | None:
    if not panels:
        return None
    return _png(
        alt.concat(*panels, columns=columns).resolve_scale(x="independent", y="independent")
    )


def _png(chart: alt.TopLevelMixin) -> bytes:
    out = io.BytesIO()
    chart.save(out, format="png", ppi=110)
    return out.getvalue()
