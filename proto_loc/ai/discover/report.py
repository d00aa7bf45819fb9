"""Writes a discovery as one HTML page without scripts, which needs no other file."""

from base64 import b64encode
from html import escape

from proto_loc.ai.discover import charts
from proto_loc.ai.discover.changes import difference
from proto_loc.ai.discover.columns import Column, is_number
from proto_loc.ai.discover.facts import Piece, figure, html
from proto_loc.ai.discover.finding import Discovery, Mart, form_of

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 1000px }
body { margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem } h3 { margin-top: 1.8rem }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem }
th { text-align: left; background: #f6f6f6 }
td, th { padding: .3rem .7rem; border-bottom: 1px solid #e5e5e5; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
img { max-width: 100% } .quiet { color: #666 } .wide { overflow-x: auto }
mark { background: #ffd9d2 } sup.wrong { color: #b3261e; margin-left: .2rem }
.checked { border-bottom: 1px dotted #2b7a3d }
.model { background: #f7f9fc; padding: .5rem 1.2rem; border-left: 4px solid #9ab }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(discovery: Discovery, pieces: list[Piece] | None, note: str = "") -> str:
    """Write the report as one HTML page.

    Args:
        pieces: the model's summary; None without one.
        note: why there is none.
    """
    against = (
        f"against version {discovery.before.id}"
        if discovery.before
        else "with no version before it to compare with"
    )
    findings = "".join(f"<li>{escape(str(finding))}</li>" for finding in discovery.findings)
    parts = [
        f"<h1>What is in version {discovery.version.id} of prod</h1>",
        (
            f"<p class=quiet>Published {escape(discovery.version.published_at)} by"
            f" {escape(discovery.version.who)}, {against}. Profiled in {discovery.seconds:.1f}"
            f" s. Origin of the data: {escape(discovery.origin)}.</p>"
        ),
        "<h2>Read this first</h2>",
        f"<ul>{findings}</ul>" if findings else "<p>Nothing stands out.</p>",
        _told(pieces, note),
        *_changed(discovery),
        *(part for mart in discovery.marts for part in _mart(mart)),
    ]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>Version {discovery.version.id} of prod</title><style>{STYLE}</style>"
    )
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'
    )


def _told(pieces: list[Piece] | None, note: str) -> str:
    if pieces is None:
        return f"<p class=quiet>{escape(note)}</p>" if note else ""
    wrong = sum(1 for piece in pieces if piece.wrong)
    right = sum(1 for piece in pieces if piece.fact and not piece.wrong)
    summed = f"{right} figures checked against the data" + (
        f", {wrong} marked: they do not check out" if wrong else ""
    )
    return (
        f"<h2>In a model's words</h2><div class=model>{html(pieces)}</div><p"
        f" class=quiet>{summed}.</p>"
    )


def _changed(discovery: Discovery) -> list[str]:
    if not discovery.changes:
        return []
    moved = [change for change in discovery.changes if change.moved]
    if not moved:
        return ["<h2>What the publish has changed</h2><p>No metric.</p>"]
    rows = []
    for change in moved:
        form = form_of(change.metric.format.kind)
        relative = "" if change.relative is None else figure(change.relative, "percent", sign=True)
        segments = [segment for segment in change.segments if segment.change][:3]
        shown = "<br>".join(
            f"{escape(segment.dimension)} {escape(segment.value)}:"
            f" {_figure(segment.change, form, sign=True)}"
            for segment in segments
        )
        cells = [*_apart(change.before, change.after, form), relative]
        figures = "".join(f"<td class=n>{cell}</td>" for cell in cells)
        rows.append(f"<tr><td>{escape(change.metric.label)}</td>{figures}<td>{shown}</td></tr>")
    same = ", ".join(
        escape(change.metric.label) for change in discovery.changes if not change.moved
    )
    head = (
        "<th>metric</th><th class=n>before</th><th class=n>now</th><th class=n>change</th><th>moved"
        " most</th>"
    )
    return [
        "<h2>What the publish has changed</h2>",
        _picture(charts.drivers(moved), "The segments that moved the metrics most"),
        f"<div class=wide><table><tr>{head}</tr>{''.join(rows)}</table></div>",
        *([f"<p class=quiet>Metrics that have not changed: {same}.</p>"] if same else []),
    ]


def _mart(mart: Mart) -> list[str]:
    model = mart.model
    of = (
        f", its columns described from a sample of {mart.described:,}"
        if mart.described < mart.rows
        else ""
    )
    parts = [
        f"<h2>{escape(model.label)}</h2><p>{escape(model.description)}</p>",
        f"<p class=quiet>{escape(model.schema)}.{escape(model.table)}: {mart.rows:,} rows{of}.</p>",
        _picture(charts.days(mart), f"{model.label} a day"),
        _picture(charts.week(mart), f"{model.label} by weekday and hour"),
        "<h3>Columns</h3>",
        _columns(mart.columns),
        _picture(charts.distributions(mart), "Distributions of the numbers"),
        _picture(charts.categories(mart), "Most frequent values of the categories"),
    ]
    strong = mart.related[:12]
    if strong:
        rows = "".join(
            f"<tr><td>{escape(one)}</td><td>{escape(other)}</td><td"
            f" class=n>{strength:.2f}</td><td>{measure}</td></tr>"
            for one, other, strength, measure in strong
        )
        parts.append(
            "<h3>What goes together</h3><p class=quiet>r: Pearson's, of numbers cut at their 0.5"
            " and 99.5 percentile. V: Cramér's, of categories. 0 is not at all, 1 is"
            " fully.</p><table><tr><th>column</th><th>column</th><th"
            f" class=n>strength</th><th>measure</th></tr>{rows}</table>"
        )
    return parts


def _columns(columns: list[Column]) -> str:
    rows = []
    for column in columns:
        median = "" if column.quartiles is None else f"{column.quartiles[1]:,.4g}"
        far = "" if column.fences is None else _against(column.far, column.far_before)
        cells = [_against(column.nulls, column.nulls_before), f"{column.distinct:,}"]
        number = is_number(column.type)
        cells += [_short(column.low, number), median, _short(column.high, number), far]
        rows.append(
            f"<tr><td>{escape(column.name)}</td><td>{escape(column.type.lower())}</td>"
            f"{''.join(f'<td class=n>{cell}</td>' for cell in cells)}</tr>"
        )
    head = "".join(
        f"<th class=n>{name}</th>"
        for name in ("missing", "values, about", "least", "median", "most", "far out")
    )
    return (
        "<p class=quiet>Far out: beyond the quartiles by three times their distance; the quartiles"
        " are those of the version before, where there is one. In brackets: the version before.</p>"
        f"<div class=wide><table><tr><th>column</th><th>type</th>{head}</tr>"
        f"{''.join(rows)}</table></div>"
    )


def _against(share: float, before: float | None) -> str:
    text = f"{share:.2%}" if share else "0"
    return (
        text if before is None or round(before, 4) == round(share, 4) else f"{text} ({before:.2%})"
    )


def _short(text: str | None, number: bool) -> str:
    if text is None:
        return ""
    if number and text.lstrip("-").isdigit():
        return f"{int(text):,}"  # each digit counts, as in a key
    if number:
        return f"{float(text):,.6g}"
    return escape(text if len(text) <= 16 else text[:15] + "…")


def _figure(value, form: str, *, sign: bool = False) -> str:
    return figure(
        value,
        "number" if form == "money" else form,
        decimals=0 if form == "count" else 2,
        sign=sign,
    )


def _apart(before, after, form: str) -> list[str]:
    """Two figures with enough decimals to show that they differ."""
    shown = [_figure(value, form) for value in (before, after)]
    for decimals in range(3, 13 if difference(before, after) else 0):
        if shown[0] != shown[1]:
            break
        shown = [
            figure(value, form if form == "percent" else "number", decimals=decimals)
            for value in (before, after)
        ]
    return shown


def _picture(png: bytes | None, title: str) -> str:
    if not png:
        return ""
    return (
        f'<p><img alt="{escape(title, quote=True)}"'
        f' src="data:image/png;base64,{b64encode(png).decode()}"></p>'
    )
