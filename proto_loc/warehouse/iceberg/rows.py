"""Rows of Trino as values of Python and as a pandas DataFrame, as DuckDB gives them."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any


def plain(value: Any) -> Any:
    """A value as DuckDB gives it: Trino's client makes a tuple of a row, DuckDB a dict."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        names = getattr(value, "__annotations__", {}).get("names") or map(str, range(len(value)))
        return dict(zip(names, map(plain, value), strict=True))
    return value


def plain_row(row: Sequence) -> tuple:
    return tuple(plain(value) for value in row)


def frame(columns: Sequence[str], types: Sequence[str], rows: Sequence[Sequence]):
    """Make a pandas DataFrame with the types of DuckDB's ``df()``: decimals become doubles."""
    import pandas as pd

    made = pd.DataFrame(index=range(len(rows)), columns=range(len(columns)))
    for at, kind in enumerate(types):
        values = pd.Series([row[at] for row in rows], dtype="object")
        made[at] = _column(values, kind.partition("(")[0], kind)
    made.columns = list(columns)
    return made


_WHOLE = {"tinyint": "int8", "smallint": "int16", "integer": "int32", "bigint": "int64"}


def _column(values, kind: str, whole: str):
    if kind in _WHOLE:
        # With a NULL, pandas' own type for that: a double would not hold 64 bits.
        return values.astype(_WHOLE[kind].capitalize() if values.isna().any() else _WHOLE[kind])
    if kind in ("decimal", "double"):
        return values.astype("float64")
    if kind == "real":
        return values.astype("float32")
    if kind == "boolean":
        return values.astype("boolean" if values.isna().any() else "bool")
    if kind in ("date", "timestamp"):
        with suppress(ValueError, TypeError):
            return values.astype(
                "datetime64[us, UTC]" if whole.endswith("zone") else "datetime64[us]"
            )
    return values
