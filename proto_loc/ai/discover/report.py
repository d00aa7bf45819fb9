"""Writes a discovery as one HTML page without scripts, which needs no other file."""

from base64 import b64encode
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from proto_loc.ai.discover import charts
from proto_loc.ai.discover.changes import Change, Segment, difference
from proto_loc.ai.discover.columns import Column, is_number
from proto_loc.ai.discover.facts import Piece, figure, html
from proto_loc.ai.discover.finding import Discovery, form_of


def page(discovery: Discovery, pieces: list[Piece] | None, note: str = "") -> str:
    """Write the report as one HTML page.

    Args:
        pieces: the model's summary; None if there is no summary.
        note: why there is no summary.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "base64": lambda png: b64encode(png).decode(),
        "cells": _cells,
        "html": lambda pieces: Markup(html(pieces)),
    }
    moved = [change for change in discovery.changes if change.moved]
    return environment.get_template("report.html").render(
        discovery=discovery,
        charts=charts,
        pieces=pieces,
        note=note,
        right=sum(1 for piece in pieces or () if piece.fact and not piece.wrong),
        wrong=sum(1 for piece in pieces or () if piece.wrong),
        moved=[(change, *_moved(change)) for change in moved],
        same=", ".join(change.metric.label for change in discovery.changes if not change.moved),
        drivers=charts.drivers(moved),
    )


def _moved(change: Change) -> tuple[list[str], list[tuple[Segment, str]]]:
    """Format the figures of a change, and its largest segments with their figures."""
    form = form_of(change.metric.format.kind)
    relative = "" if change.relative is None else figure(change.relative, "percent", sign=True)
    segments = [segment for segment in change.segments if segment.change][:3]
    return [*_apart(change.before, change.after, form), relative], [
        (segment, _figure(segment.change, form, sign=True)) for segment in segments
    ]


def _cells(column: Column) -> list[str]:
    median = "" if column.quartiles is None else f"{column.quartiles[1]:,.4g}"
    far = "" if column.fences is None else _against(column.far, column.far_before)
    number = is_number(column.type)
    low, high = _short(column.low, number), _short(column.high, number)
    nulls = _against(column.nulls, column.nulls_before)
    return [nulls, f"{column.distinct:,}", low, median, high, far]


def _against(share: float, before: float | None) -> str:
    text = f"{share:.2%}" if share else "0"
    return (
        text if before is None or round(before, 4) == round(share, 4) else f"{text} ({before:.2%})"
    )


def _short(text: str | None, number: bool) -> str:
    if text is None:
        return ""
    if number and text.lstrip("-").isdigit():
        return f"{int(text):,}"  # every digit matters, for example in a key
    if number:
        return f"{float(text):,.6g}"
    return text if len(text) <= 16 else text[:15] + "…"


def _figure(value, form: str, *, sign: bool = False) -> str:
    return figure(
        value,
        "number" if form == "money" else form,
        decimals=0 if form == "count" else 2,
        sign=sign,
    )


def _apart(before, after, form: str) -> list[str]:
    """Format two figures with enough decimals to show that they differ."""
    shown = [_figure(value, form) for value in (before, after)]
    for decimals in range(3, 13 if difference(before, after) else 0):
        if shown[0] != shown[1]:
            break
        shown = [
            figure(value, form if form == "percent" else "number", decimals=decimals)
            for value in (before, after)
        ]
    return shown
