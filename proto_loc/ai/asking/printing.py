"""Prints answers and evaluations: results on stdout, notes on stderr."""

import csv
import json
import sys
from datetime import date, datetime
from decimal import Decimal

from proto_loc.ai import values
from proto_loc.ai.asking.queries import Answer
from proto_loc.ai.text import clean, number, rounded
from proto_loc.errors import PlainWriter
from proto_loc.metrics.formats import CURRENCY, money


def answer(reply: Answer, form: str) -> None:
    """Print an answer as ``table``, ``json`` (which includes its origin) or ``csv``."""
    if form == "csv":
        writer = csv.writer(PlainWriter(sys.stdout), lineterminator="\n")
        writer.writerow(reply.columns)
        writer.writerows([_digits(value) for value in row] for row in reply.rows)
    elif form == "json":
        rows = [dict(zip(reply.columns, map(values.exact, row), strict=True)) for row in reply.rows]
        origin = {"sql": reply.sql} if reply.sql else {"metric_query": reply.metric_query}
        source = {
            "version": reply.version,
            "published_at": reply.published_at,
            "truncated": reply.truncated,
        }
        content = {"rows": rows, **origin, **source, "notes": reply.notes}
        print(json.dumps(content, indent=2, allow_nan=False))
    else:
        _table(reply)
        query = json.dumps(reply.metric_query)
        print(f"metrics: {query}" if reply.metric_query else f"sql: {clean(reply.sql)}")
        print(f"data: version {reply.version} of prod, published {reply.published_at}")
    cut = [f"These are the first {len(reply.rows):,} rows"] if reply.truncated else []
    for note in (*reply.notes, *cut):
        print(f"note: {note}.", file=sys.stderr)


def _table(reply: Answer) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = Table()
    for at, name in enumerate(reply.columns):
        numeric = any(isinstance(row[at], (int, float, Decimal)) for row in reply.rows)
        shown.add_column(
            escape(clean(name)), justify="right" if numeric else "left", overflow="fold"
        )
    for row in reply.rows:
        cells = (
            _cell(value, reply.formats.get(name, ""), reply.currencies.get(name, CURRENCY))
            for value, name in zip(row, reply.columns, strict=True)
        )
        shown.add_row(*map(escape, cells))
    width = None if Console().is_terminal else 140
    Console(width=width, highlight=False).print(shown)


def _cell(value, form: str, currency: str = CURRENCY) -> str:
    """Format a value as text for a person; a metric has its own format."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    kind, _, decimals = form.partition("_")
    formatted = kind in ("percent", "currency") or (
        decimals.isdigit() and not isinstance(value, int)
    )
    if formatted and isinstance(value, (int, float, Decimal)):
        places = int(decimals) if decimals.isdigit() else 1 if kind == "percent" else 2
        shown = rounded(value * 100 if kind == "percent" else value, places)
        if kind == "currency":
            return money(shown, currency)
        return f"{shown}%" if kind == "percent" else shown
    if isinstance(value, int):
        return str(value) if 1900 <= value <= 2100 else f"{value:,}"
    if isinstance(value, (float, Decimal)):
        return number(value)
    if isinstance(value, datetime):
        return str(value).removesuffix(" 00:00:00")
    return str(value) if isinstance(value, date) else clean(value)


def _digits(value):
    """Write a value with all its digits, and a DECIMAL without an exponent."""
    return f"{value:f}" if isinstance(value, Decimal) else value


def progress(done: int, total: int, question: str, right: bool) -> None:
    """Print one line per question."""
    print(f"{done:>3}/{total} {'right' if right else 'wrong'}  {question}", file=sys.stderr)


def evaluation(done, form: str) -> None:
    """Print the accuracy by kind, and each wrong answer with the reason."""
    if form == "json":
        failures = [
            {"question": item.question, "kind": item.kind, "why": item.why, "gave": item.gave}
            for item in done.wrong
        ]
        kinds = {kind: {"right": right, "of": of} for kind, (right, of) in done.kinds.items()}
        summary = {"model": done.model, "accuracy": done.accuracy}
        print(json.dumps(summary | {"kinds": kinds, "failures": failures}, indent=2))
        return
    for item in done.wrong:
        gave = clean(item.gave) or "nothing"
        print(f"wrong: {item.question}", f"why: {clean(item.why)}", f"gave: {gave}", sep="\n  ")
    for kind, (right, of) in done.kinds.items():
        print(f"{kind}: {right} of {of} ({right / of:.0%})")
    right = len(done.items) - len(done.wrong)
    print(f"{done.model}: {right} of {len(done.items)} ({done.accuracy:.0%})")
