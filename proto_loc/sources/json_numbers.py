"""Finds numbers of JSON that DuckDB reads as the nearest double, which has other digits."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, DecimalException
from pathlib import Path

import duckdb

from proto_loc.sources.content import refused

_EXACT = re.compile(r"(?i)decimal|numeric|int|varchar|text|string|char|json")
"""Types whose values a double changes; integers of any size are read with all their digits."""

_LONG = "[0-9.]{16}"
"""A number of more than 15 digits, or a part of a text, which Python tells apart."""


class _Inexact(str):
    """The text of a number that is no double."""


def refuse_inexact(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    records: str,
    keys: Mapping[str, str],
    kinds: Mapping[str, str],
    lines: bool,
) -> None:
    """Refuse a number that would be rounded on its way into a column.

    Args:
        records: relation with the field ``json``, the text of a record.
        keys: key of a record → column.
        kinds: column → declared type; a DOUBLE takes the nearest double, as everywhere.
        lines: whether a record is a line.

    Raises:
        LocError: there is one; the message has its line, else the position of its record.
    """
    exact = {key: column for key, column in keys.items() if _EXACT.search(kinds[column])}
    if not exact:
        return
    con.execute(
        f"select row, json from (select row_number() over () as row, json from {records})"
        f" where regexp_matches(json, '{_LONG}') order by row"
    )
    while batch := con.fetchmany(1000):
        for row, text in batch:
            place = f"{'Line' if lines else 'Record'} {row:,}"
            try:
                record = _DECODER.decode(text)
            except (ValueError, RecursionError) as error:
                raise refused(path, f"{place} is no JSON: {error}.") from error
            for key, column in exact.items():
                if number := next(_inexact(record.get(key)), None):
                    raise refused(
                        path,
                        f"{place}, column {column}: the number {number} has more digits than a"
                        " double, as which JSON numbers are read.",
                        f"Write it as text, or declare {column} as DOUBLE; nothing was loaded.",
                    )


def _number(text: str) -> str:
    double = repr(float(text))
    try:
        return text if double == text or Decimal(double) == Decimal(text) else _Inexact(text)
    except DecimalException:
        return _Inexact(text)


_DECODER = json.JSONDecoder(parse_float=_number, parse_int=str, strict=False)


def _inexact(value: object) -> Iterator[str]:
    """The numbers in a value, however deep, that are no doubles."""
    if isinstance(value, _Inexact):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _inexact(part)
