"""Counts the rows of a mart by day and hour of the week, and finds unusual days."""

from dataclasses import dataclass, field
from datetime import date

from proto_loc.ai.discover.reading import Reading
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.metrics.expressions import written

ENOUGH = 28
"""Days that a weekly pattern needs."""
STANDS_OUT = 4.0
"""Robust standard deviations from its weekday's median at which a day stands out."""


@dataclass
class Seasons:
    """Counts of all rows of a mart, by day and by hour of the week."""

    days: list[tuple[date, int]] = field(default_factory=list)
    hours: list[tuple[int, int, float]] = field(default_factory=list)
    """ISO weekday, hour, rows on an average day."""
    weekly: float | None = None
    """Share of the variance of daily rows that the weekday explains."""
    standing_out: list[tuple[date, int, float]] = field(default_factory=list)
    """Day, rows, and the median of its weekday."""


def seasons(reading: Reading, model: SemanticModel) -> Seasons:
    """Count the rows by the model's time dimension; with too few days the result is empty."""
    time = written(model.time.of)
    table = f"{model.schema}.{model.table}"
    result = Seasons()
    days = reading.rows(
        f"select cast({time} as date), count(*) from {table} where ({time}) is not null group by 1"
        " order by 1"
    )
    if len(days) < ENOUGH:
        return result
    result.days = days
    week: dict[int, list[int]] = {}
    for day, rows in days:
        week.setdefault(day.isoweekday(), []).append(rows)
    mean = sum(rows for _, rows in days) / len(days)
    total = sum((rows - mean) ** 2 for _, rows in days)
    between = sum(len(counts) * (sum(counts) / len(counts) - mean) ** 2 for counts in week.values())
    result.weekly = between / total if total else None
    for day, rows in days:
        counts = sorted(week[day.isoweekday()])
        usual = counts[len(counts) // 2]
        spread = 1.4826 * sorted(abs(count - usual) for count in counts)[len(counts) // 2]
        if abs(rows - usual) > STANDS_OUT * max(spread, usual**0.5):
            result.standing_out.append((day, rows, usual))
    if model.time.grain == "hour" or _has_hours(reading, table, time):
        result.hours = _hours(
            reading.rows(
                f"select cast({time} as date), cast(extract(hour from {time}) as bigint), count(*)"
                f" from {table} where ({time}) is not null group by 1, 2 order by 1, 2"
            )
        )
    return result


def _hours(counts: list[tuple[date, int, int]]) -> list[tuple[int, int, float]]:
    """ISO weekday, hour, and the rows on an average day that has any in that hour."""
    cells: dict[tuple[int, int], list[int]] = {}
    for day, hour, rows in counts:
        cells.setdefault((day.isoweekday(), hour), []).append(rows)
    return [(weekday, hour, sum(rows) / len(rows)) for (weekday, hour), rows in cells.items()]


def _has_hours(reading: Reading, table: str, time: str) -> bool:
    (kind,) = reading.rows(f"select typeof({time}) from {table} limit 1")[0]
    return kind.upper().startswith("TIMESTAMP")
