"""Checks that every value of a file fits its canonical column, and casts it."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pipelines.taxi.reader import DIGITS, Reader, refused
from pipelines.taxi.schema import COLUMNS, Colour, Column, pickup
from proto_loc.errors import LocError
from proto_loc.sql import identifier, literal

_EXACT = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DECIMAL\(.*\)")
_NUMBER = re.compile(rf"{_EXACT.pattern}|FLOAT|DOUBLE")
# A time without a zone, since the tables have New York's local time. A cast would drop an offset
# silently.
_TIME = r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"


def check(
    reader: Reader, path: Path, colour: Colour, columns: Mapping[str, str | None]
) -> tuple[int, Counter]:
    """Read every value; return the number of rows, and of pick-ups in each ``YYYY-MM``."""
    used = [column for column in COLUMNS[colour] if columns[column.name] is not None]
    tests = {column: _unfit(column, reader, columns[column.name]) for column in used}
    counts = ", ".join(f"count_if({test})" for test in tests.values())
    time = _cast(_by_name(colour, pickup(colour)), reader, columns[pickup(colour)], cast="TRY_CAST")
    rows, inner, swallowing, months, *bad = reader.connection.execute(
        f"SELECT count(*), sum({reader.inner}), count({reader.swallowing}), "
        f"histogram(12 * year({time}) + month({time}) - 1), {counts} FROM {reader.relation}"
    ).fetchone()
    if rows == 0:
        raise refused(path, "It has a header but no rows.", "Fetch or export it again.")
    if swallowing:
        raise _swallowing_quote(reader, path)
    for (column, test), count in zip(tests.items(), bad, strict=True):
        if count:
            raise _unfit_value(reader, path, column, columns[column.name], test, count)
    if reader.lines is not None and reader.lines != rows + inner:
        raise refused(
            path,
            f"It has {reader.lines} lines after its header, but {rows + inner} can be read.",
            "Export it again as plain CSV.",
        )
    return rows, Counter(
        {f"{number // 12}-{number % 12 + 1:02}": count for number, count in (months or {}).items()}
    )


def selected(column: Column, reader: Reader, own: str | None) -> str:
    """The SQL of a column in a select list, from the file's column ``own`` or NULL."""
    return f"{_cast(column, reader, own)} AS {identifier(column.name)}"


def _unfit(column: Column, reader: Reader, own: str) -> str:
    """Return an SQL condition: true for a value that the column's type cannot hold exactly."""
    value, file_type = reader.expressions[own], reader.types[own]
    number, text = _NUMBER.fullmatch(file_type), file_type == "VARCHAR"
    if column.type == "TIMESTAMP" and text:
        fits = (
            f"regexp_full_match({value}, {literal(_TIME)}) AND TRY_CAST({value} AS TIMESTAMP) IS"
            " NOT NULL"
        )
    elif (
        column.type == "TIMESTAMP"
        and file_type.startswith("TIMESTAMP")
        and file_type != "TIMESTAMP WITH TIME ZONE"
    ):
        fits = f"isfinite(CAST({value} AS TIMESTAMP))"
    elif column.type == "VARCHAR" and text:
        # A line end in a value shows that a stray quote includes the rows up to the next quote.
        fits = f"NOT contains({value}, chr(10))"
    elif _is_wide(file_type):
        fits = "false"
    elif column.type not in ("VARCHAR", "TIMESTAMP") and (number or text):
        double = f"TRY_CAST({value} AS DOUBLE)"
        fits = f"isfinite({double})"
        if column.whole:
            fits += (
                f" AND {double} = trunc({double}) AND TRY_CAST({value} AS {column.type}) IS NOT"
                " NULL"
            )
        if column.type == "DOUBLE" and _EXACT.fullmatch(file_type):
            # A double is exact for a decimal of up to 15 digits, or an integer up to 2^53.
            fits += f" AND TRY_CAST(CAST({double} AS VARCHAR) AS {file_type}) = {value}"
        elif column.type == "DOUBLE" and column.whole:
            fits += f" AND abs({double}) <= 9007199254740992"
    else:
        fits = "false"  # another type; a column without values passes
    return f"({value} IS NOT NULL AND NOT coalesce({fits}, false))"


def _is_wide(duckdb_type: str) -> bool:
    """Whether a type is a decimal that is too wide for DuckDB."""
    return duckdb_type.startswith("DECIMAL(") and int(re.split(r"[(,]", duckdb_type)[1]) > DIGITS


def _swallowing_quote(reader: Reader, path: Path) -> LocError:
    row, own = reader.connection.execute(
        f"SELECT row, own FROM (SELECT {reader.row} AS row, {reader.swallowing} AS own FROM"
        f" {reader.relation}) WHERE own IS NOT NULL ORDER BY row LIMIT 1"
    ).fetchone()
    return refused(
        path,
        f"A stray quote in column {own!r} at row {row} swallows the rows after it, up to the next"
        " quote.",
        "Remove or double that quote and load the file again; nothing was loaded.",
    )


def _unfit_value(
    reader: Reader, path: Path, column: Column, own: str, test: str, count: int
) -> LocError:
    if _is_wide(reader.types[own]):  # its values are not shown, since they may be wrong
        return refused(
            path,
            f"Column {own!r} is {reader.types[own]}; a decimal of more than {DIGITS} digits cannot"
            " be read exactly.",
            f"Export it again with at most {DIGITS} digits, or as a double; nothing was loaded.",
        )
    row, value = reader.connection.execute(
        f"SELECT row, CAST(value AS VARCHAR) FROM (SELECT {reader.row} AS row, {test} AS unfit,"
        f" {reader.expressions[own]} AS value FROM {reader.relation}) WHERE unfit ORDER BY row"
        " LIMIT 1"
    ).fetchone()
    kind = {
        "TIMESTAMP": "a local time without a zone (2025-02-01 12:34:56)",
        "VARCHAR": "text",
    }.get(column.type, f"a whole number ({column.type})" if column.whole else "a finite number")
    if column.type == "DOUBLE" and not column.whole and _EXACT.fullmatch(reader.types[own]):
        kind = "a number that a double holds exactly (15 digits, or 2^53)"
    more = f" ({count} such values)" if count > 1 else ""
    text = reader.types[own] == "VARCHAR"
    own_type = "" if text else f" of type {reader.types[own]}"
    shown = _short(json.dumps(value, ensure_ascii=False) if text else value)
    return refused(
        path,
        f"Column {own!r}{own_type} holds {shown} at row {row}{more}; it must be {kind}.",
        "Correct or remove the value and load the file again; nothing was loaded.",
    )


def _by_name(colour: Colour, name: str) -> Column:
    return next(column for column in COLUMNS[colour] if column.name == name)


def _cast(column: Column, reader: Reader, own: str | None, cast: str = "CAST") -> str:
    value = "NULL" if own is None else reader.expressions[own]
    # A column of another type has passed the check only because it has no values.
    kept = (
        own is None
        or _NUMBER.fullmatch(reader.types[own])
        or column.type in ("TIMESTAMP", reader.types[own])
        or reader.types[own] == "VARCHAR"
    )
    return f"{cast}({value if kept else 'NULL'} AS {column.type})"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"
