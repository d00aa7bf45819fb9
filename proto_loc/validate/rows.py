"""Compares the rows that a chart shows with those of its SQL on the published file."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal

TOLERANCE = 1e-9
"""Relative difference of two numbers, as Superset sends every DECIMAL as a double."""


def difference(shown: list[dict], expected: Sequence[tuple]) -> str:
    """Say how a chart's rows differ from those of the file; empty if they are the same.

    The order does not count, as the order of rows that tie is not decided.
    """
    if len(shown) != len(expected):
        return f"it shows {len(shown)} rows, and the file has {len(expected)}"
    ours = sorted(([_plain(value) for value in row.values()] for row in shown), key=_key)
    theirs = sorted(([_plain(value) for value in row] for row in expected), key=_key)
    for one, other in zip(ours, theirs, strict=True):
        if len(one) != len(other):
            return f"it shows {len(one)} columns, and the file has {len(other)}"
        for left_value, right_value in zip(one, other, strict=True):
            if not _alike(left_value, right_value):
                return f"it shows {left_value!r}, and the file has {right_value!r}"
    return ""


def _plain(value: object) -> object:
    """A value as Superset's JSON has it: numbers as float, times as milliseconds since 1970."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float, Decimal)):
        return None if isinstance(value, float) and math.isnan(value) else float(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC).timestamp() * 1000
    return str(value)


def _key(row: list) -> tuple:
    """Sort key with numbers last and rounded, so that tiny differences do not matter."""
    exact = [str(value) for value in row if not isinstance(value, float)]
    return tuple(exact), tuple(float(f"{v:.6g}") for v in row if isinstance(v, float))


def _alike(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-9)
    return one == other
