"""Tables as data and nothing else: how rows travel between the reader, the sandbox and their
parent, as JSON.

Only the standard library is imported at first: the sandbox's child uses this file by itself.
A table is ``{"columns": [name], "kinds": [kind], "rows": [[value]], "truncated": bool}``.
"""

import json
import math
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal

KINDS = ("integer", "float", "decimal", "boolean", "date", "timestamp", "text")
DOUBLE = 2**53
"""Up to here a double holds every whole number."""


def kind(values) -> str:
    """The kind of a column, by its values; text where they are mixed or of no kind of their own."""
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
            raise ValueError(f"{value!r} is no boolean")
        return value
    if kind == "integer":
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{value!r} is no integer")
        return value
    if kind == "text":
        if not isinstance(value, str):
            raise ValueError("a text column holds no text")
        return value
    return {
        "float": float,
        "decimal": Decimal,
        "date": date.fromisoformat,
        "timestamp": datetime.fromisoformat,
    }[kind](value)


def dump(columns, rows, truncated: bool = False) -> dict:
    """A table of these rows; values of other kinds than :data:`KINDS` become their text."""
    kinds = [kind([row[at] for row in rows]) for at in range(len(columns))]
    return {
        "columns": [str(name) for name in columns],
        "kinds": kinds,
        "rows": [[_out(value, of) for value, of in zip(row, kinds, strict=True)] for row in rows],
        "truncated": truncated,
    }


def load(table: dict) -> tuple[list[str], list[str], list[list], bool]:
    """Columns, kinds, rows and whether there were more, from a table that may be anyone's.

    Raises:
        ValueError: it is no table.
    """
    try:
        columns, kinds, rows = table["columns"], table["kinds"], table["rows"]
        if not all(isinstance(name, str) for name in columns) or not set(kinds) <= set(KINDS):
            raise ValueError("its columns are not named, or of no known kind")
        if len(kinds) != len(columns):
            raise ValueError("it has not as many kinds as columns")
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
    """A value as any reader of JSON keeps it: a number that a double would change, or that is none,
    as its digits.

    JSON has no NaN and no infinity, and JavaScript, in which most programs of the Model Context
    Protocol are written, reads every number as a double.
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


def table(columns: list[str], rows: list[tuple]):
    """A pandas DataFrame of values as they are; pandas alone makes doubles of whole numbers
    beside nulls.
    """
    import pandas as pd

    made = pd.DataFrame(rows, columns=range(len(columns)))
    for at in made.columns:
        made[at] = _whole(made[at], [row[at] for row in rows])
    made.columns = columns
    return made


def _whole(column, numbers: list):
    """The column, or, where a double would change one of its whole numbers, those numbers
    themselves.
    """
    import pandas as pd

    large = any(isinstance(value, int) and abs(value) > DOUBLE for value in numbers)
    if not large or kind(numbers) != "integer":
        return column
    return pd.Series(
        numbers,
        dtype="Int64" if all(v is None or -(2**63) <= v < 2**63 for v in numbers) else "object",
    )


def frame(columns: list[str], kinds: list[str], rows: list[list]):
    """A pandas DataFrame of what :func:`load` gives; decimals become floats, as pandas reckons.

    Times are counted in microseconds, for nanoseconds reach from 1677 to 2262 only.
    """
    import pandas as pd

    made = pd.DataFrame(rows, columns=range(len(columns)))
    for at, of in enumerate(kinds):
        if of in ("decimal", "float"):
            made[at] = made[at].astype(float)
        elif of == "integer":
            made[at] = _whole(made[at], [row[at] for row in rows])
        elif of in ("date", "timestamp"):
            with suppress(
                ValueError, TypeError
            ):  # those with and without a time zone in one column stay as they are
                made[at] = made[at].astype("datetime64[us]")
    made.columns = columns
    return made


def parse(text: bytes | str) -> dict:
    """A JSON object.

    Raises:
        ValueError: it is none, or nested too deeply.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    return value
