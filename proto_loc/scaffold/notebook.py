"""Writes the first notebook of a source."""

import json

from proto_loc.scaffold.plan import Mart


def notebook(name: str, mart: Mart) -> str:
    """The text of ``notebooks/NAME.ipynb``; its cells need only the published data."""
    table, count = f"marts.{mart.model}", mart.measures[0]
    words, title = count.label.lower(), _python(f"{count.label} by month")
    cells = [
        ("markdown", "title", f"# {name}\n\nThe published rows of `{table}`. DuckDB computes every"
         " figure; Python gets what is shown."),
        ("code", "connect", f'from proto_loc import warehouse\n\ncon = warehouse.read("prod")\n'
         f'con.sql("from {table} limit 10").df()'),
        ("markdown", "columns", "## Columns\n\nHow many values each column has, and its range."),
        ("code", "columns-cell", f'con.sql("summarize {table}").df()'),
    ]  # fmt: skip
    if mart.has_date:
        cells += [
            ("markdown", "time", f"## {count.label} over time"),
            (
                "code",
                "time-cell",
                "import altair as alt\n\n"
                'months = con.sql("""\n'
                f"    select date_trunc('month', {mart.time.name})::date as month,"
                f" count(*) as row_count\n    from {table}\n"
                "    group by all\n    order by all\n"
                '""").df()\n\n'
                f"alt.Chart(months, title={title}).mark_bar().encode(\n"
                '    x=alt.X("month:T", title=None),\n'
                f'    y=alt.Y("row_count:Q", title={_python(words)}),\n'
                ").properties(width=640, height=240)",
            ),
        ]
    elif mart.category:
        column = mart.category.name
        cells += [
            ("markdown", "groups", f"## {count.label} by {column}"),
            (
                "code",
                "groups-cell",
                'con.sql("""\n'
                f"    select {column}, count(*) as row_count\n    from {table}\n"
                "    group by all\n    order by row_count desc\n"
                '""").df()',
            ),
        ]
    content = {
        "cells": [_cell(*cell) for cell in cells],
        "metadata": {
            "kernelspec": {
                "display_name": "Python 3", "language": "python", "name": "python3",
            },
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }  # fmt: skip
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _python(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _cell(kind: str, name: str, source: str) -> dict:
    cell: dict = {"cell_type": kind}
    if kind == "code":
        cell["execution_count"] = None
    cell |= {"id": name, "metadata": {}}
    if kind == "code":
        cell["outputs"] = []
    return cell | {"source": source.splitlines(keepends=True)}
