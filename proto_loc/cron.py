"""Checks cron expressions without a library, so that a command need not load Dagster for it."""

import re

FIELDS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day of the month": (1, 31),
    "month": (1, 12),
    "weekday": (0, 7),
}
"""Field → its smallest and largest number, in order; Sunday is 0 and 7."""
NAMES = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "weekday": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of each month."""


def fault(expression: str) -> str:
    """Return what is wrong with a cron expression, as a sentence; empty if nothing is."""
    texts = expression.split(" ")
    if len(texts) != len(FIELDS):
        return f"it has {len(expression.split())} fields, and a schedule has five: {_ORDER}."
    numbers = {}
    for (field, (first, last)), text in zip(FIELDS.items(), texts, strict=True):
        try:
            numbers[field] = set().union(*(_numbers(part, field) for part in text.split(",")))
        except ValueError as error:
            return f"{field} {text!r} {error} It is a number from {first} to {last}, *, or a list."
    longest = max(LONGEST[month - 1] for month in numbers["month"])
    if min(numbers["day of the month"]) > longest:
        return f"no month of it has a day {min(numbers['day of the month'])}."
    return ""


_ORDER = ", ".join(FIELDS)


def _numbers(part: str, field: str) -> set[int]:
    """The numbers of one entry: ``*``, ``5``, ``1-5``, ``*/10``, ``mon-fri``.

    Raises:
        ValueError: it is none; the message continues a sentence.
    """
    first, last = FIELDS[field]
    match = re.fullmatch(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?", part, re.ASCII)
    if not match:
        raise ValueError("cannot be read.")
    star, low, high, step = match.groups()
    start = first if star else _number(low, field)
    end = last if star or (step and not high) else _number(high or low, field)
    if not first <= start <= end <= last or not 0 < int(step or 1) <= last:
        raise ValueError("is out of range.")
    return set(range(start, end + 1, int(step or 1)))


def _number(text: str, field: str) -> int:
    names = NAMES.get(field, [])
    if text.lower() in names:
        return names.index(text.lower()) + (1 if field == "month" else 0)
    if not text.isdigit():
        raise ValueError("cannot be read.")
    return int(text)
