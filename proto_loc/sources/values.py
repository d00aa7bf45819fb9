"""SQL that turns a value of a file into its declared type, and says what is wrong with it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proto_loc.sources.formats import Format
from proto_loc.sql import identifier, literal

_INTEGER = re.compile(r"(?i)(u?(tiny|small|big|huge)?int|integer|int\d)")
_DECIMAL = re.compile(r"(?i)(decimal|numeric)")
_FLOAT = re.compile(r"(?i)(double|float|real)")
_TIMESTAMP = re.compile(r"(?i)(timestamp|datetime)")
_ZONED = re.compile(r"(?i)(timestamptz|timestamp with time zone)$")
_TIME = re.compile(r"(?i)time( without time zone)?$")
_TEXT = re.compile(r"(?i)(varchar|text|string|char)")

_ISO_DATE = r"\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}"
_CLOCK = r"\d{1,2}:\d{2}(:\d{2}(\.\d{1,6}0*)?)?"
_ZONE = r" ?(Z|z|UTC|GMT|[+-]\d{2}(:?\d{2})?| [A-Za-z_]+/[A-Za-z_/]+)"
_SPACES = {" ", "\xa0", "\u202f"}


@dataclass(frozen=True)
class Value:
    """A declared column as SQL: its text or value in the file, then its typed value."""

    column: str
    source: str
    """Expression of the value in the file; null where the file means null."""
    typed: str
    """Expression of the typed value over ``source``'s alias; null where the value does not fit."""
    faults: tuple[tuple[str, str], ...]
    """Conditions over both aliases, each with the end of its sentence, such as ``is no DATE``."""


def alias(index: int) -> tuple[str, str]:
    """Names of the value in the file and of the typed one, in the query of a file."""
    return f"v{index}", f"t{index}"


def value(
    index: int, column: str, kind: str, expression: str, file_kind: str, form: Format
) -> Value:
    """Write the SQL of a column.

    Args:
        index: the column's position, which names the aliases.
        kind: its declared DuckDB type.
        expression: the value in the file.
        file_kind: the type of ``expression``; VARCHAR for all text.
        form: how the file is written; ``file_kind`` decides whether text is read.
    """
    text, typed = alias(index)
    if not _TEXT.match(file_kind):
        return Value(column, *_of_value(text, typed, kind, expression, file_kind, form))
    if _TEXT.match(kind):
        nulls = form.nulls if form.text_nulls is None else form.text_nulls
        return Value(column, _without(nulls, expression), text, ())
    source = _without(form.nulls, f"trim({expression})")
    formats = form.dates.get(column, ())
    formats = (formats,) if isinstance(formats, str) else tuple(formats)
    if formats:
        return Value(column, source, *_of_formats(text, typed, kind, formats, form))
    if _ZONED.match(kind):
        return Value(column, source, *_of_zoned(text, typed, kind, form))
    if _TIMESTAMP.match(kind):
        return Value(column, source, *_of_timestamp(text, typed, kind))
    if re.match(r"(?i)date$", kind):
        midnight = rf"({_ISO_DATE})([ T]0{{1,2}}:00(:00(\.0+)?)?)?"
        cast, fault = f"try_cast({text} as date)", _unlike(text, typed, midnight)
        return Value(column, source, cast, ((fault, f"is no {kind}; write 2025-01-31"),))
    if _INTEGER.match(kind) or _DECIMAL.match(kind) or _FLOAT.match(kind):
        return Value(column, source, *_of_number(text, typed, kind, form))
    fault, hint = f"{text} is not null and {typed} is null", ""
    if _TIME.match(kind):  # a cast drops a zone, and digits beyond the microsecond
        fault = f"({fault} or not regexp_full_match({text}, {literal(_CLOCK)}))"
        hint = "; write 23:59:59"
    return Value(column, source, f"try_cast({text} as {kind})", ((fault, f"is no {kind}{hint}"),))


def _without(nulls: Iterable[str], expression: str) -> str:
    texts = [literal(text) for text in nulls]
    if not texts:
        return expression
    if len(texts) == 1:
        return f"nullif({expression}, {texts[0]})"
    return f"case when {expression} not in ({', '.join(texts)}) then {expression} end"


def _unlike(text: str, typed: str, pattern: str) -> str:
    """Condition: the value does not fit, or is written in a way that hides a wrong guess."""
    return (
        f"{text} is not null and ({typed} is null or case"
        f" when isfinite({typed}) and {typed}::varchar = {text} then false"
        f" else not regexp_full_match({text}, {literal(pattern)}) end)"
    )


def _of_number(text: str, typed: str, kind: str, form: Format) -> tuple[str, tuple]:
    number = text
    if form.decimal != "." or form.thousands:
        number = _plain_number(text, form)
    cast = f"try_cast({number} as {kind})"
    whole = r"[+-]?\d+"
    power = r"[+-]?\d+(\.\d+)?[eE][+-]?\d{1,3}"
    same = f"{typed}::double = try_cast({number} as double)"
    if _INTEGER.match(kind):
        wrong = (
            f"{typed}::varchar <> {text} and not case"
            rf" when regexp_full_match({number}, '{whole}(\.0*)?') then true"
            f" when regexp_full_match({number}, '{power}')"
            f" then abs({typed}::double) < 9007199254740992 and {same} else false end"
        )
    elif _DECIMAL.match(kind):
        scale = int(parts[2]) if (parts := re.match(r"\w+\((\d+), *(\d+)\)", kind)) else 3
        exact = rf"[+-]?\d*(\.\d{{0,{scale}}}0*)?"
        wrong = (
            f"not {same} or contains({number}, '_')"
            f" or (length({number}) > 15 and not regexp_full_match({number}, '{exact}'))"
        )
    else:
        digits = 15 if re.match("(?i)(double|float8)", kind) else 7
        wrong = (
            f"not isfinite({typed}) or contains({number}, '_') or case when"
            f" length({number}) > {digits} and regexp_full_match({number}, '{whole}')"
            f" then try_cast({typed} as hugeint) is distinct from try_cast({number} as hugeint)"
            " else false end"
        )
    fault = f"{text} is not null and ({typed} is null or {wrong})"
    return cast, ((fault, f"is no {kind}"),)


def _plain_number(text: str, form: Format) -> str:
    """Rewrite a number with a decimal comma or thousands separator; null if it has another form."""
    group = form.thousands
    point = re.escape(form.decimal)
    fraction = rf"({point}\d*)?([eE][+-]?\d{{1,3}})?"
    shape = rf"[+-]?\d*{fraction}"
    plain = text
    if group:
        mark = "[ \xa0\u202f]" if group in _SPACES else re.escape(group)
        shape = rf"{shape}|[+-]?\d{{1,3}}({mark}\d{{3}})+{fraction}"
        shape = rf"{shape}|[+-]?\d{{1,2}}({mark}\d{{2}})*{mark}\d{{3}}{fraction}"
        for character in sorted(_SPACES) if group in _SPACES else [group]:
            plain = f"replace({plain}, {literal(character)}, '')"
    if form.decimal != ".":
        plain = f"replace({plain}, {literal(form.decimal)}, '.')"
    return f"case when regexp_full_match({text}, {literal(shape)}) then {plain} end"


def _of_timestamp(text: str, typed: str, kind: str) -> tuple[str, tuple]:
    zoned = rf"({_ISO_DATE})[ T]{_CLOCK}{_ZONE}"
    other = f"case when {typed}::varchar = {text} then false else "
    return f"try_cast({text} as {kind})", (
        (
            f"{other} regexp_full_match({text}, {literal(zoned)}) end",
            f"names a time zone, which a {kind} loses; declare TIMESTAMPTZ",
        ),
        (
            _unlike(text, typed, rf"({_ISO_DATE})([ T]{_CLOCK})?"),
            f"is no {kind}; write 2025-01-31 23:59:59",
        ),
    )


def _of_zoned(text: str, typed: str, kind: str, form: Format) -> tuple[str, tuple]:
    naive = rf"({_ISO_DATE})([ T]{_CLOCK})?"
    zoned = rf"({_ISO_DATE})[ T]{_CLOCK}{_ZONE}"
    bare = f"regexp_full_match({text}, {literal(naive)})"
    zone_cast = (
        f"case when regexp_full_match({text}, {literal(zoned)})"
        f" then try_cast({text} as timestamptz) end"
    )
    wrong = (f"{text} is not null and {typed} is null", f"is no {kind}")
    if not form.time_zone:
        return zone_cast, ((bare, "names no time zone; declare Format(time_zone=...)"), wrong)
    local = f"case when {bare} then try_cast({text} as timestamp) end"
    zone = literal(form.time_zone)
    cast = f"case when {bare} then {local} at time zone {zone} else {zone_cast} end"
    return cast, (*_of_clock(local, typed, form.time_zone), wrong)


def _of_clock(local: str, typed: str, zone: str) -> tuple[tuple[str, str], ...]:
    """Faults of a local time that a change of the clock skips or repeats."""
    back = f"{typed} at time zone {literal(zone)}"
    repeated = " or ".join(
        f"({typed} {sign} interval {minutes} minutes) at time zone {literal(zone)} = {local}"
        for minutes in (30, 60)
        for sign in "+-"
    )
    return (
        (f"{local} is not null and {back} <> {local}", f"does not exist in {zone}"),
        (f"{local} is not null and ({repeated})", f"is there twice in {zone}, so name the offset"),
    )


def _of_formats(
    text: str, typed: str, kind: str, formats: tuple[str, ...], form: Format
) -> tuple[str, tuple]:
    parsed = [f"try_strptime({text}, {literal(name)})" for name in formats]
    stamps = [f"{call}::timestamp" for call in parsed]
    first = parsed[0] if len(parsed) == 1 else f"coalesce({', '.join(parsed)})"
    faults = []
    if len(formats) > 1:
        # Null is in the list of those that the formats read differently, and does not count.
        readings = f"len(list_distinct([{', '.join(stamps)}])) > 1"
        faults.append((readings, f"is a different time by each of {', '.join(formats)}"))
    zoned = all("%z" in name or "%Z" in name for name in formats)
    if any("%Y" in name for name in formats):
        faults.append((f"year({typed}) < 100", "has a year of two digits"))
    cast = f"try_cast({first} as {kind})"
    if _ZONED.match(kind) and not zoned:
        if not form.time_zone:
            faults.append((f"{text} is not null", "names no time zone; declare one in Format"))
        cast = f"({first})::timestamp at time zone {literal(form.time_zone or 'UTC')}"
        faults += _of_clock(f"({first})::timestamp", typed, form.time_zone or "UTC")
    elif zoned and _TIMESTAMP.match(kind) and not _ZONED.match(kind):
        faults.append((f"{text} is not null", "names a time zone; declare TIMESTAMPTZ"))
    elif re.match(r"(?i)date$", kind):
        faults.append((f"({first})::timestamp <> {typed}", f"has a time, which a {kind} loses"))
    faults.append(
        (
            f"{text} is not null and {typed} is null",
            f"is no {kind} of the form {' or '.join(formats)}",
        )
    )
    return cast, tuple(faults)


def _of_value(
    text: str, typed: str, kind: str, expression: str, file_kind: str, form: Format
) -> tuple[str, str, tuple]:
    """The SQL of a value that has a type in its file, as in Parquet: nothing may be lost."""
    source, faults = expression, []
    cast = f"try_cast({text} as {kind})"
    if _FLOAT.match(file_kind):
        if any(name.lower() == "nan" for name in form.nulls):
            source = f"case when not isnan({expression}) then {expression} end"
        faults.append((f"not isfinite({text})", "is no finite number"))
    lost = f"try_cast({typed} as {file_kind}) is distinct from {text}"
    if _TIMESTAMP.match(file_kind) and _TIMESTAMP.match(kind):
        zoned = bool(_ZONED.match(file_kind))
        if zoned and not _ZONED.match(kind):
            faults.append((f"{text} is not null", f"has a time zone, which a {kind} loses"))
        elif _ZONED.match(kind) and not zoned:
            if form.time_zone:
                cast = f"{text}::timestamp at time zone {literal(form.time_zone)}"
                faults += _of_clock(f"{text}::timestamp", typed, form.time_zone)
            else:
                faults.append((f"{text} is not null", "names no time zone; declare one in Format"))
            lost = "false"
    faults.append((f"{text} is not null and ({typed} is null or {lost})", f"is no {kind}"))
    return source, cast, tuple(faults)


def reasons(values: Iterable[Value], required: Mapping[str, str]) -> list[str]:
    """Write SQL expressions: null, or how the row breaks the declaration.

    Args:
        required: column → its use, such as ``its key``, for those that may not be null.
    """
    expressions = []
    missing = []
    for index, column in enumerate(values):
        text, _ = alias(index)
        start = literal(f"column {column.column}: '")
        for fault, sentence in column.faults:
            end = literal(f"' {sentence}")
            expressions.append(
                f"case when {fault} then concat({start}, {text}::varchar, {end}) end"
            )
        if column.column in required:
            use = required[column.column]
            reason = literal(f"column {column.column}: no value, and {use} needs one")
            missing.append(f"case when {text} is null then {reason} end")
    return expressions + missing


def columns(values: Iterable[Value]) -> str:
    """The typed values under their columns' names, as a list of SQL."""
    return ", ".join(
        f"{alias(index)[1]} as {identifier(column.column)}" for index, column in enumerate(values)
    )
