"""Profiles a mart's columns in two versions: distribution, missing values, outliers."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import combinations

from proto_loc.ai.discover.reading import Reading
from proto_loc.sql import identifier, value

NUMBERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL", "DOUBLE", "FLOAT", "REAL"),
)
UNORDERED = ("MAP", "JSON")
"""Types of Trino whose values have no least one."""
SHARES = (0.005, 0.25, 0.5, 0.75, 0.995)
BINS = 24
ENOUGH = 100
"""Rows that a distribution needs."""
FEW = 40
"""A column of at most this many values is a category."""
FAR = 3
"""An outlier is this many interquartile ranges beyond the quartiles."""


@dataclass
class Column:
    """Profile of one column, from the sample."""

    name: str
    type: str
    nulls: float
    """Share of the rows."""
    distinct: int
    low: str
    high: str
    kind: str = "other"
    """``number``, ``category``, ``time`` or ``other``."""
    quartiles: tuple[float, float, float] | None = None
    bounds: tuple[float, float] = (0.0, 0.0)
    """The 0.5 and 99.5 percentiles."""
    bins: list[tuple[float, float, int]] = field(default_factory=list)
    """From, to, rows: between the 0.5 and 99.5 percentile."""
    top: list[tuple[str, int]] = field(default_factory=list)
    fences: tuple[float, float] | None = None
    """Values beyond them are outliers; they come from the previous version, if there is one."""
    far: float = 0.0
    """Share of the rows beyond the fences."""
    nulls_before: float | None = None
    far_before: float | None = None


def describe(reading: Reading, table: str, before: Reading | None) -> tuple[list[Column], int]:
    """Profile the columns of a table; also return the number of rows in the sample."""
    relation, rows = reading.sample(table)
    columns = _summarized(reading, table, relation)
    if rows < ENOUGH:
        for column in columns:
            column.kind = "other"
    had, old = "", {}
    if before and before.has(table) and before.count(table) >= ENOUGH:
        had, _ = before.sample(table)
        old = _nulls(before, table, had)
    for column in columns:
        column.nulls_before = old.get(column.name)
        if column.kind == "number":
            found = reading.quantiles(relation, column.name, SHARES)
            if found:
                column.bounds = (found[0], found[-1])
                column.quartiles = tuple(found[1:-1])
                known = _quartiles(column, before, table, had) if column.name in old else []
                column.fences = _fences(known or column.quartiles)
                if column.fences:
                    column.far = _share_beyond(reading, relation, column)
                    if column.name in old:
                        column.far_before = _share_beyond(before, had, column)
                column.bins = _histogram(reading, relation, column)
    categories = [column for column in columns if column.kind == "category"]
    counts = reading.counts(relation, [(column.name,) for column in categories])
    for column, counted in zip(categories, counts, strict=True):
        column.top = sorted(
            (("null" if item is None else _text(item), number) for item, number in counted),
            key=lambda pair: (-pair[1], pair[0]),
        )[:10]
    return columns, rows


def _summarized(reading: Reading, table: str, relation: str) -> list[Column]:
    """Profile the sample; SUMMARIZE would fail on a column with an infinite number."""
    columns = []
    kinds = list(reading.columns(table).items())
    for start in range(0, len(kinds), reading.columns_at_once):
        part = kinds[start : start + reading.columns_at_once]
        asked = []
        for name, type_ in part:
            of, ends = identifier(name), ("min", "max")
            asked += [f"count({of})", f"count(distinct {of})"]
            asked += (
                ["null", "null"]
                if type_.upper().startswith(UNORDERED)
                else [f"{end}({of})" for end in ends]
            )
        total, *figures = reading.rows(f"select count(*), {', '.join(asked)} from {relation}")[0]
        for at, (name, type_) in enumerate(part):
            known, distinct, low, high = figures[4 * at : 4 * at + 4]
            nulls = 1 - known / total if total else 0.0
            column = Column(name, type_, nulls, distinct, _text(low), _text(high))
            if type_.upper().startswith(("DATE", "TIMESTAMP")):
                column.kind = "time"
            elif is_number(type_) and not name.endswith("_id") and distinct > FEW:
                column.kind = "number"
            elif distinct <= FEW and not name.endswith("_id"):
                column.kind = "category"
            columns.append(column)
    return columns


def _nulls(reading: Reading, table: str, relation: str) -> dict[str, float]:
    """The share of the rows in which each column has no value."""
    names = list(reading.columns(table))
    counts = ", ".join(f"count({identifier(name)})" for name in names)
    total, *known = reading.rows(f"select count(*), {counts} from {relation}")[0]
    return {name: 1 - count / total for name, count in zip(names, known, strict=True)}


def _text(item: object) -> str | None:
    """A value as DuckDB writes it."""
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, Decimal):
        return f"{item:f}"
    return None if item is None else str(item)


def is_number(type_: str) -> bool:
    """Whether a type of DuckDB or Trino is numeric."""
    return type_.partition("(")[0].upper().removeprefix("U") in NUMBERS and not type_.endswith("]")


def _quartiles(column: Column, before: Reading, table: str, relation: str) -> Sequence[float]:
    """The quartiles in the version before; empty if the column had no numbers there."""
    if not is_number(before.columns(table)[column.name]):
        return []
    return before.quantiles(relation, column.name, SHARES[1:-1])


def _fences(quartiles: Sequence[float]) -> tuple[float, float] | None:
    low, _, high = quartiles
    spread = high - low
    if not spread or not math.isfinite(FAR * spread + abs(high) + abs(low)):  # overflows a double
        return None
    return (low - FAR * spread, high + FAR * spread)


def _share_beyond(reading: Reading, relation: str, column: Column) -> float:
    name = f"cast({identifier(column.name)} as double)"
    low, high = map(value, column.fences)
    beyond = f"{name} < {low} or {name} > {high} or {reading.is_nan.format(name)}"
    (far, known) = reading.rows(
        f"select count(*) filter (where {beyond}), count({name}) from {relation}"
    )[0]
    return far / known if known else 0.0


def _histogram(reading: Reading, relation: str, column: Column) -> list[tuple[float, float, int]]:
    name = f"cast({identifier(column.name)} as double)"
    low, high = column.bounds
    if high <= low or not math.isfinite(high - low):
        return []
    width = (high - low) / BINS
    counts = dict(
        reading.rows(
            f"select cast(least(floor(({name} - {value(low)}) / {value(width)}), {BINS - 1}) as"
            f" integer), count(*) from {relation} where {name} between {value(low)} and"
            f" {value(high)} group by 1"
        )
    )
    return [(low + at * width, low + (at + 1) * width, counts.get(at, 0)) for at in range(BINS)]


def related(
    reading: Reading, table: str, columns: list[Column]
) -> list[tuple[str, str, float, str]]:
    """Pairs of columns with the strength (0 to 1) and measure of their relation, strongest first.

    Numbers are measured by Pearson's r, categories by Cramér's V with Bergsma's correction.
    """
    relation, _ = reading.sample(table)
    strengths = []
    cuts = {
        column.name: _cut(reading, column)
        for column in columns
        if column.kind == "number" and column.quartiles
    }
    if pairs := list(combinations(cuts, 2)):
        # A few outliers would decide r, so each column is cut at its 0.5 and 99.5 percentiles.
        cut = ", ".join(f"{text} as {identifier(name)}" for name, text in cuts.items())
        values = reading.rows(
            "select "
            + ", ".join(f"corr({identifier(a)}, {identifier(b)})" for a, b in pairs)
            + f" from (select {cut} from {relation})"
        )[0]
        strengths += [
            (a, b, abs(value), "r")
            for (a, b), value in zip(pairs, values, strict=True)
            if value is not None and value == value
        ]
    categories = [
        column.name for column in columns if column.kind == "category" and column.distinct > 1
    ]
    pairs = list(combinations(categories, 2))
    for (one, other), counted in zip(pairs, reading.counts(relation, pairs), strict=True):
        cells = [
            (str(a), str(b), number) for a, b, number in counted if a is not None and b is not None
        ]
        strengths.append((one, other, _cramers_v(cells), "V"))
    # The same value in two units gives pairs that differ by the order of a sum alone.
    return sorted(strengths, key=lambda pair: -round(pair[2], 9))


def _cut(reading: Reading, column: Column) -> str:
    name = f"cast({identifier(column.name)} as double)"
    low, high = map(value, column.bounds)
    above = f"{name} > {high} or {reading.is_nan.format(name)}"
    return f"case when {above} then {high} when {name} < {low} then {low} else {name} end"


def _cramers_v(cells: list[tuple[str, str, int]]) -> float:
    ones, others = Counter(), Counter()
    for one, other, count in cells:
        ones[one] += count
        others[other] += count
    total, rows, columns = sum(ones.values()), len(ones), len(others)
    if total < 2 or min(rows, columns) < 2:
        return 0.0
    phi = sum(count * count / (ones[one] * others[other]) for one, other, count in cells) - 1
    phi = max(0.0, phi - (rows - 1) * (columns - 1) / (total - 1))
    least = (
        min(rows - (rows - 1) ** 2 / (total - 1), columns - (columns - 1) ** 2 / (total - 1)) - 1
    )
    return min(1.0, (phi / least) ** 0.5) if least > 0 else 0.0
