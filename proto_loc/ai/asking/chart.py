"""Draws the chart of an answer: bars by category, or a line over time."""

import json
import math
from datetime import date
from decimal import Decimal
from pathlib import Path

from proto_loc.errors import LocError, UsageError

MOST_BARS = 60


def of(answer):
    """Return an Altair chart of the answer's rows.

    None if there are fewer than two rows or two columns, or no column of numbers to draw.
    """
    numbers = [name for name, kind in _kinds(answer).items() if kind == "number"]
    others = [name for name, kind in _kinds(answer).items() if kind != "number"]
    if len(answer.rows) < 2 or len(answer.columns) < 2 or not numbers:
        return None
    by = others[0] if others else answer.columns[0]
    figures = [name for name in numbers if name != by]
    if not figures:
        return None
    import altair as alt

    data = [
        {name: _plain(value) for name, value in zip(answer.columns, row, strict=True)}
        for row in answer.rows[: 5000 if _kinds(answer)[by] == "time" else MOST_BARS]
    ]
    alt.data_transformers.disable_max_rows()
    base = alt.Chart(alt.Data(values=data), title=answer.question[:100])
    figure, series = figures[0], others[1] if len(others) > 1 else None
    value = alt.value("steelblue") if series is None else alt.Color(_field(series, "N"))
    if _kinds(answer)[by] == "time":
        return base.mark_line(point=True).encode(
            x=alt.X(_field(by, "T")), y=alt.Y(_field(figure, "Q")), color=value
        ).properties(width=600, height=300)  # fmt: skip
    if not others:
        return (
            base.mark_bar()
            .encode(x=alt.X(_field(by, "O")), y=alt.Y(_field(figure, "Q")))
            .properties(height=300)
        )
    return base.mark_bar().encode(
        y=alt.Y(_field(by, "N"), sort=None), x=alt.X(_field(figure, "Q")), color=value
    ).properties(width=600)  # fmt: skip


def check_name(path: Path) -> None:
    """Raise UsageError unless the name ends in ``.png`` or ``.html``."""
    if path.suffix.lower() not in (".png", ".html"):
        raise UsageError(f"{path} cannot be a chart.", "", "End its name in .png or .html.")


def save(answer, path: Path) -> None:
    """Write the chart as a PNG, or as an HTML page that needs no network.

    Raises:
        LocError: no chart fits, or the file cannot be written.
    """
    chart = of(answer)
    if chart is None:
        raise LocError(
            "No chart fits this answer.",
            "It needs two rows and a column of numbers.",
            "Ask for a number by category or over time.",
        )
    form = path.suffix.lower()[1:]
    options = {"inline": True, "json_kwds": {"cls": _InScript}} if form == "html" else {}
    try:
        chart.save(str(path), format=form, **options)
    except OSError as error:
        raise LocError(
            f"{path} cannot be written.", f"{error.strerror}.", "Name another file."
        ) from error


class _InScript(json.JSONEncoder):
    """JSON that is safe in a page's script: a value cannot contain ``</script>``."""

    def encode(self, o) -> str:
        return super().encode(o).replace("<", "\\u003c")


def _kinds(answer) -> dict[str, str]:
    kinds = {}
    for at, name in enumerate(answer.columns):
        column = [row[at] for row in answer.rows if row[at] is not None]
        number = all(
            isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
            for value in column
        )
        time = all(isinstance(value, date) for value in column)
        kinds[name] = "text" if not column else "number" if number else "time" if time else "text"
    return kinds


def _plain(value):
    """Convert a value for JSON; None for a number that is not finite."""
    if isinstance(value, (float, Decimal)):
        return float(value) if math.isfinite(value) else None
    return value.isoformat() if isinstance(value, date) else value


def _field(name: str, kind: str):
    escaped = "".join(f"\\{char}" if char in ".[]:\\" else char for char in name)
    return f"{escaped}:{kind}"
