"""Converts tables to and from JSON, for the reader, the sandbox and their parent process.

It imports only the standard library at first, because the sandbox's child uses this file alone.
A table is ``{"columns": [name], "kinds": [kind], "rows": [[value]], "truncated": bool}``.
"""

import json
import math
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal

KINDS = ("integer", "float", "decimal", "boolean", "date", "timestamp", "text")
DOUBLE = 2**53
"""The largest integer up to which a double represents every integer."""


def kind(values) -> str:
    """The kind of a column, from its values; ``text`` if they are mixed or of another type."""
    kinds = {_kind(value) for value in values if value is not None}
    if kinds <= {"integer", "decimal"} and "decimal" in kinds:
        return "decimal"
    if kinds <= {"integer", "float"} and "float" in kinds:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "text"


def _kind(value) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "float"
    if isinstance(value, Decimal):
        return "decimal"
    if isinstance(value, datetime):
        return "timestamp"
    return "date" if isinstance(value, date) else "text"


def _out(value, kind: str):
    if value is None or (kind in ("integer", "boolean")):
        return value
    if kind == "float":
        number = float(value)
        return number if math.isfinite(number) else str(number)
    if kind in ("date", "timestamp"):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return str(value)


def _in(value, kind: str):
    if value is None:
        return None
    if kind == "boolean":
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is not a boolean")
        return value
    if kind == "integer":
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{value!r} is not an integer")
        return value
    if kind == "text":
        if not isinstance(value, str):
            raise ValueError("a text column has another value")
        return value
    return {
        "float": float,
        "decimal": Decimal,
        "date": date.fromisoformat,
        "timestamp": datetime.fromisoformat,
    }[kind](value)


def dump(columns, rows, truncated: bool = False) -> dict:
    """Make a table of these rows; values of other types become text."""
    kinds = [kind([row[at] for row in rows]) for at in range(len(columns))]
    return {
        "columns": [str(name) for name in columns],
        "kinds": kinds,
        "rows": [[_out(value, of) for value, of in zip(row, kinds, strict=True)] for row in rows],
        "truncated": truncated,
    }


def load(table: dict) -> tuple[list[str], list[str], list[list], bool]:
    """Read columns, kinds, rows and whether it was truncated from a table that is not trusted.

    Raises:
        ValueError: it is not a valid table.
    """
    try:
        columns, kinds, rows = table["columns"], table["kinds"], table["rows"]
        if not all(isinstance(name, str) for name in columns) or not set(kinds) <= set(KINDS):
            raise ValueError("its columns have no names, or an unknown kind")
        if len(kinds) != len(columns):
            raise ValueError("the numbers of its kinds and columns differ")
        read = [[_in(value, of) for value, of in zip(row, kinds, strict=True)] for row in rows]
        return list(columns), list(kinds), read, bool(table.get("truncated"))
    except (
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        OverflowError,
        RecursionError,
    ) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def exact(value):
    """Return the value; turn a number that a double would change into text.

    JSON has no NaN or infinity, and JavaScript, in which most MCP clients are written, reads every
    number as a double.
    """
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= DOUBLE else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            return str(float(value))
        near = float(value)
        return near if math.isfinite(near) and Decimal(repr(near)) == value else f"{value:f}"
    return value.isoformat() if isinstance(value, date) else str(value)


def _whole(column, numbers: list):
    """Return the column, with exact integers if a double would change one of them."""
    import pandas as pd

    large = any(isinstance(value, int) and abs(value) > DOUBLE for value in numbers)
    if not large or kind(numbers) != "integer":
        return column
    return pd.Series(
        numbers,
        dtype="Int64" if all(v is None or -(2**63) <= v < 2**63 for v in numbers) else "object",
    )


def frame(columns: list[str], kinds: list[str], rows: list):
    """Make a pandas DataFrame from the result of :func:`load`; large integers stay exact.

    Decimals become floats, and times get microseconds, because nanoseconds reach from 1677 to 2262
    only. Without kinds, values stay as they are.
    """
    import pandas as pd

    made = pd.DataFrame(rows, columns=range(len(columns)))
    for at in made.columns:
        made[at] = _whole(made[at], [row[at] for row in rows])
    for at, of in enumerate(kinds):
        if of in ("decimal", "float"):
            made[at] = made[at].astype(float)
        elif of in ("date", "timestamp"):
            with suppress(ValueError, TypeError):  # times with and without a zone
                made[at] = made[at].astype("datetime64[us]")
    made.columns = columns
    return made


def parse(text: bytes | str) -> dict:
    """Parse a JSON object.

    Raises:
        ValueError: it is not an object, or it is nested too deeply.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    return value
