"""Infers a column's type from its texts: numbers, dates, null, or text where it is not clear."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

NULL_TEXTS = (
    "", "NA", "N/A", "n/a", "NULL", "null", "None", "NaN", "nan", "-", "--", "?", "\\N", "#N/A",
    "(null)", "nil",
)  # fmt: skip
"""Texts that often mean null; they count only in a column that has another type without them."""

STYLES = ((".", ""), (".", ","), (",", ""), (",", "."), (",", " "), (".", " "), (".", "'"))
"""Decimal mark and thousands separator, the most common first."""

_DAYS = (
    "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%Y", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y",
    "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%Y.%m.%d", "%d-%b-%y",
    "%Y-%m-%d", "%Y/%m/%d",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S")
_ISO = r"\d{4}-\d{1,2}-\d{1,2}"
_CLOCK = r"[ T]\d{1,2}:\d{2}(:\d{2}(\.\d{1,6}0*)?)?"
_ZONE = r" ?(Z|z|UTC|GMT|[+-]\d{2}(:?\d{2})?)"
_DAY_NAME = re.compile(r"(?i)(date|day|datum|_on$|_dt$|^dt)")


@dataclass(frozen=True)
class Texts:
    """The different texts of a column, with the number of rows of each."""

    name: str
    counts: Mapping[str, int]

    def without(self, texts: Sequence[str]) -> "Texts":
        """The same without these texts."""
        return Texts(self.name, {t: n for t, n in self.counts.items() if t not in texts})

    @property
    def rows(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True)
class Guess:
    """The type of a column, and what a person should know about it."""

    kind: str = "VARCHAR"
    dates: tuple[str, ...] = ()
    """Formats of its dates, where they are not ISO 8601."""
    nulls: tuple[str, ...] = ()
    """Texts that mean null in it."""
    notes: tuple[str, ...] = ()
    questions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def number_pattern(decimal: str, thousands: str) -> re.Pattern:
    """Pattern of the numbers of a style."""
    fraction = rf"({re.escape(decimal)}\d*)?([eE][+-]?\d{{1,3}})?"
    shape = rf"[+-]?(\d+{fraction}|{re.escape(decimal)}\d+)"
    if thousands:
        mark = "[ \xa0\u202f]" if thousands == " " else re.escape(thousands)
        shape = rf"{shape}|[+-]?\d{{1,3}}({mark}\d{{3}})+{fraction}"
    return re.compile(shape)


_PATTERNS = {style: number_pattern(*style) for style in STYLES}


def styles_of(texts: Texts) -> tuple[tuple[str, str], ...]:
    """The styles by which every text is a number; empty for a column that has others."""
    values = texts.without(NULL_TEXTS).counts
    if not values:
        return ()
    return tuple(
        style for style, pattern in _PATTERNS.items() if all(map(pattern.fullmatch, values))
    )


def is_plain(texts: Texts) -> bool:
    """Whether the numbers have neither decimal marks nor separators."""
    values = texts.without(NULL_TEXTS).counts
    return all(re.fullmatch(r"[+-]?\d+", text) for text in values)


def infer(
    con: duckdb.DuckDBPyConnection, table: str, texts: Texts, style: tuple[str, str] | None
) -> Guess:
    """Infer the type of a column of text.

    Args:
        style: how numbers are written in its table; None: it is open, so that they stay text.
    """
    values = texts.without(NULL_TEXTS)
    nulls = tuple(text for text in NULL_TEXTS if text and text in texts.counts)
    if not values.counts:
        return Guess(notes=(f"{table}.{texts.name} is empty, so it stays text.",))
    for guess in (_boolean(values), _number(table, values, style), _time(con, table, values)):
        if guess:
            return guess if guess.kind == "VARCHAR" else _with_nulls(guess, nulls)
    return _nearly(con, table, texts, values, style)


def _with_nulls(guess: Guess, nulls: tuple[str, ...]) -> Guess:
    return Guess(guess.kind, guess.dates, nulls, guess.notes, guess.questions)


def _boolean(texts: Texts) -> Guess | None:
    return (
        Guess("BOOLEAN") if {text.lower() for text in texts.counts} <= {"true", "false"} else None
    )


def _number(table: str, texts: Texts, style: tuple[str, str] | None) -> Guess | None:
    if is_plain(texts):
        style = style or (".", "")
    if style is None or not all(map(_PATTERNS[style].fullmatch, texts.counts)):
        return None
    decimal, thousands = style
    plain = [
        re.sub("[ \xa0\u202f]" if thousands == " " else re.escape(thousands), "", text)
        if thousands
        else text
        for text in texts.counts
    ]
    plain = [text.replace(decimal, ".") for text in plain]
    name = f"{table}.{texts.name}"
    if zeros := next((text for text in plain if re.fullmatch(r"[+-]?0\d+", text)), ""):
        return Guess(
            notes=(f"{name} has numbers with a leading zero ({zeros}), so it stays text.",)
        )
    if any(re.search("[eE]", text) for text in plain):
        return Guess("DOUBLE")
    scale = max(len(text.partition(".")[2]) for text in plain)
    digits = max(len(text.partition(".")[0].lstrip("+-")) for text in plain)
    if scale == 0:
        if digits == 8 and _DAY_NAME.search(texts.name) and _all_days(plain):
            return Guess(
                "DATE", ("%Y%m%d",), notes=(f"{name} is read as dates such as {plain[0]}.",)
            )
        if all(-(2**63) <= int(text) < 2**63 for text in plain if text):
            return Guess("BIGINT")
        kind = "DECIMAL(38,0)" if digits <= 38 else "VARCHAR"
        return Guess(kind, notes=(f"{name} has integers of {digits} digits: {kind}.",))
    if scale <= 4 and digits <= 14:
        return Guess(f"DECIMAL(18,{max(scale, 2)})")
    return Guess("DOUBLE")


def _all_days(texts: Sequence[str]) -> bool:
    return all(re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", t) for t in texts)


def _time(con: duckdb.DuckDBPyConnection, table: str, texts: Texts) -> Guess | None:
    values = list(texts.counts)
    name = f"{table}.{texts.name}"

    def all_match(pattern: str) -> bool:
        return all(re.fullmatch(pattern, text) for text in values)

    if not all(re.search(r"\d.*[-/. ].*\d", text) for text in values):
        if all_match(r"\d{1,2}:\d{2}(:\d{2}(\.\d{1,6})?)?"):
            return Guess("TIME")
        return None
    if all_match(f"{_ISO}( 00:00(:00)?)?") and _parses(con, values, "date"):
        return Guess("DATE")
    if all_match(f"{_ISO}({_CLOCK})?") and _parses(con, values, "timestamp"):
        note = f"{name} names no time zone; its times are kept as written."
        return Guess("TIMESTAMP", notes=(note,))
    zoned = [text for text in values if re.fullmatch(f"{_ISO}{_CLOCK}{_ZONE}", text)]
    if len(zoned) == len(values) and _parses(con, values, "timestamptz"):
        return Guess("TIMESTAMPTZ", notes=(f"{name} names time zones; it is kept as instants.",))
    if zoned and all_match(f"{_ISO}({_CLOCK}({_ZONE})?)?"):
        return Guess(notes=(f"{name} has times with and without a zone, so it stays text.",))
    return _of_formats(con, table, texts, values)


def _parses(con: duckdb.DuckDBPyConnection, values: list[str], kind: str) -> bool:
    return con.execute(
        f"select count(*) = 0 from (select unnest(?) as v) where try_cast(v as {kind}) is null",
        [values],
    ).fetchone()[0]


def _of_formats(
    con: duckdb.DuckDBPyConnection, table: str, texts: Texts, values: list[str]
) -> Guess | None:
    formats = [day + time for time in _TIMES for day in _DAYS]
    calls = ", ".join(
        f"case when year(try_strptime(v, '{form}')) >= 100 then try_strptime(v, '{form}') end"
        for form in formats
    )
    readings = con.execute(f"select v, [{calls}] from (select unnest(?) as v)", [values]).fetchall()
    name = f"{table}.{texts.name}"
    whole = [place for place in range(len(formats)) if all(times[place] for _, times in readings)]
    if len(whole) > 1:
        sample = next(
            (text for text, times in readings if len({times[place] for place in whole}) > 1),
            values[0],
        )
        question = f"{name}: how is {sample} to be read?"
        return Guess(
            notes=(f"{name} has dates such as {sample}, which can be read in two ways.",),
            questions={question: ("text", *(formats[place] for place in whole))},
        )
    if not whole:
        whole = _two_formats(readings, len(formats))
    if not whole:
        if any(any(times) for _, times in readings) and all(any(t) for _, t in readings):
            note = f"{name} has dates in several formats that contradict each other: text."
            return Guess(notes=(note,))
        return None
    names = tuple(formats[place] for place in whole)
    kind = "TIMESTAMP" if any("%H" in name or "%I" in name for name in names) else "DATE"
    return Guess(kind, names, notes=(f"{name} has dates of the form {' and '.join(names)}.",))


def _two_formats(readings: Sequence[tuple[str, list]], count: int) -> list[int]:
    """Two formats that read every text, and none of them differently; empty if there are none."""
    best = max(range(count), key=lambda place: sum(bool(times[place]) for _, times in readings))
    rest = [times for _, times in readings if not times[best]]
    if len(rest) == len(readings):
        return []
    for place in range(count):
        if all(times[place] for times in rest) and all(
            not (times[best] and times[place]) or times[best] == times[place]
            for _, times in readings
        ):
            others = [p for p in range(count) if p != place and all(t[p] for t in rest)]
            return [] if others else [best, place]
    return []


def _nearly(
    con: duckdb.DuckDBPyConnection,
    table: str,
    texts: Texts,
    values: Texts,
    style: tuple[str, str] | None,
) -> Guess:
    """Guess for a column with a few texts that do not fit: it may have rejects, or stay text."""
    pattern = _PATTERNS[style or (".", "")]
    for shape in (pattern.fullmatch, re.compile(f"{_ISO}({_CLOCK})?").fullmatch):
        other = [text for text in values.counts if not shape(text)]
        rows = sum(values.counts[text] for text in other)
        if not other or rows * 50 > values.rows:
            continue
        guess = infer(con, table, texts.without(other), style)
        if guess.kind in ("VARCHAR", "BIGINT"):
            continue
        name = f"{table}.{texts.name}"
        question = (
            f"{name}: {rows:,} of {values.rows:,} values are no {guess.kind}, such as"
            f" {other[0][:40]!r}. Reject these rows, or read the column as text?"
        )
        return Guess(
            guess.kind, guess.dates, guess.nulls, guess.notes, {question: ("reject", "text")}
        )
    return Guess()
