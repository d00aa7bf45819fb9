"""Profiles a mart's columns in two versions: distribution, missing values, outliers."""

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations

from proto_loc.ai.discover.reading import Reading
from proto_loc.sql import identifier

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL", "DOUBLE", "FLOAT")
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
    rows = reading.sample(table, "sampled")
    columns = _summarized(reading)
    old = {}
    if before and before.has(table) and before.count(table) >= ENOUGH:
        before.sample(table, "sampled")
        old = {column.name: column for column in _summarized(before)}
    for column in columns:
        known = old.get(column.name)
        column.nulls_before = known.nulls if known else None
        if rows < ENOUGH:
            column.kind = "other"
        elif column.kind == "number" and column.quartiles:
            _far_out(column, known, reading, before)
            column.bins = _histogram(reading, column.name)
        elif column.kind == "category":
            name = identifier(column.name)
            column.top = reading.rows(
                f"select coalesce({name}::varchar, 'null'), count(*) from sampled group by all "
                "order by 2 desc, 1 limit 10"
            )
    return columns, rows


def _summarized(reading: Reading) -> list[Column]:
    """Profile the sample; SUMMARIZE would fail on a column with an infinite number."""
    names = [(name, type_) for name, type_, *_ in reading.rows("describe sampled")]
    asked = []
    for name, type_ in names:
        of, quartiles = identifier(name), "null"
        if is_number(type_):
            finite = f"filter (where isfinite({of}::double))"
            quartiles = f"approx_quantile({of}::double, [0.25, 0.5, 0.75]) {finite}"
        asked += [
            f"1 - count({of}) / nullif(count(*), 0)",
            f"approx_count_distinct({of})",
            quartiles,
        ]
        asked += [f"min({of})::varchar", f"max({of})::varchar"]
    figures = reading.rows(f"select {', '.join(asked)} from sampled")[0]
    columns = []
    for at, (name, type_) in enumerate(names):
        nulls, distinct, quartiles, low, high = figures[5 * at : 5 * at + 5]
        column = Column(name, type_, nulls or 0.0, distinct, low, high)
        if type_.startswith(("DATE", "TIMESTAMP")):
            column.kind = "time"
        elif is_number(type_) and not name.endswith("_id") and distinct > FEW:
            column.kind = "number"
            column.quartiles = tuple(quartiles) if quartiles else None
        elif distinct <= FEW and not name.endswith("_id"):
            column.kind = "category"
        columns.append(column)
    return columns


def is_number(type_: str) -> bool:
    """Whether a DuckDB type is numeric."""
    return type_.partition("(")[0].removeprefix("U") in NUMBERS and not type_.endswith("]")


def _far_out(
    column: Column, known: Column | None, reading: Reading, before: Reading | None
) -> None:
    low, _, high = known.quartiles if known and known.quartiles else column.quartiles
    spread = high - low
    if not spread or not math.isfinite(FAR * spread + abs(high) + abs(low)):  # overflows a double
        return
    column.fences = (low - FAR * spread, high + FAR * spread)
    beyond = f"{identifier(column.name)} not between {column.fences[0]!r} and {column.fences[1]!r}"
    share = f"select coalesce(avg(({beyond})::int), 0) from sampled"
    column.far = float(reading.rows(share)[0][0])
    if known and before:
        column.far_before = float(before.rows(share)[0][0])


def _histogram(reading: Reading, column: str) -> list[tuple[float, float, int]]:
    name = f"{identifier(column)}::double"
    low, high = reading.rows(f"select {_bounds(column)} from sampled")[0][0] or (0, 0)
    if high <= low or not math.isfinite(high - low):
        return []
    width = (high - low) / BINS
    counts = dict(
        reading.rows(
            f"select least(floor(({name} - {low!r}) / {width!r}), {BINS - 1})::int, count(*) from"
            f" sampled where {name} between {low!r} and {high!r} group by 1"
        )
    )
    return [(low + at * width, low + (at + 1) * width, counts.get(at, 0)) for at in range(BINS)]


def _bounds(column: str) -> str:
    """Return the SQL of the 0.5 and 99.5 percentiles of a column's finite numbers."""
    name = f"{identifier(column)}::double"
    return f"quantile_cont({name}, [0.005, 0.995]) filter (where isfinite({name}))"


def related(reading: Reading, columns: list[Column]) -> list[tuple[str, str, float, str]]:
    """Pairs of columns with the strength (0 to 1) and measure of their relation, strongest first.

    Numbers are measured by Pearson's r, categories by Cramér's V with Bergsma's correction.
    """
    strengths = []
    numbers = [column.name for column in columns if column.kind == "number" and column.quartiles]
    if pairs := list(combinations(numbers, 2)):
        # A few outliers would decide r, so each column is cut at its 0.5 and 99.5 percentiles.
        bounds = reading.rows(f"select {', '.join(map(_bounds, numbers))} from sampled")[0]
        cut = ", ".join(
            f"greatest(least({identifier(name)}::double, {high!r}), {low!r}) as {identifier(name)}"
            for name, (low, high) in zip(numbers, bounds, strict=True)
        )
        values = reading.rows(
            "select "
            + ", ".join(f"corr({identifier(a)}, {identifier(b)})" for a, b in pairs)
            + f" from (select {cut} from sampled)"
        )[0]
        strengths += [
            (a, b, abs(value), "r")
            for (a, b), value in zip(pairs, values, strict=True)
            if value is not None and value == value
        ]
    categories = [
        column.name for column in columns if column.kind == "category" and column.distinct > 1
    ]
    for one, other in combinations(categories, 2):
        cells = reading.rows(
            f"select {identifier(one)}::varchar, {identifier(other)}::varchar, count(*)"
            f" from sampled where {identifier(one)} is not null"
            f" and {identifier(other)} is not null group by all"
        )
        strengths.append((one, other, _cramers_v(cells), "V"))
    return sorted(strengths, key=lambda pair: -pair[2])


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
