"""Conditions on dimensions, as a person or a model writes them: ``place = Leeds``, ``age=7..9``."""

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta

from proto_loc.errors import UsageError

OPERATORS = {"=": "equals", "!=": "notEquals"}
"""Cube's operator for a value."""
COMPARISONS = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}
"""Cube's operator for a bound of a number."""
OPPOSITES = {">=": "<", "<=": ">"}
RANGE = re.compile(r"(.*?)\s*\.\.\s*(.*)", re.DOTALL)
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
FORMS = "dimension=value, dimension!=value, dimension=LOW..HIGH or dimension>=value"


@dataclass(frozen=True)
class Condition:
    """One condition on a dimension."""

    name: str
    sign: str
    """A key of :data:`OPERATORS` or :data:`COMPARISONS`."""
    value: str
    """A value, or for numbers and times also a range ``LOW..HIGH`` with both ends included."""

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Parse ``name=value``; spaces and quotes around the value are optional.

        Raises:
            UsageError: it has another form.
        """
        parts = re.fullmatch(r"\s*([\w.]+?)\s*(!=|==?|<=?|>=?)\s*(.*?)\s*", text, re.DOTALL)
        if not parts:
            raise UsageError(f"{text!r} is not a condition.", "", f"Write it as {FORMS}.")
        name, sign, value = parts.groups()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        return cls(name, sign.replace("==", "="), value)

    def is_range(self, kind: str) -> bool:
        """Whether it bounds a dimension of this Cube type; a time is compared by its period.

        Raises:
            UsageError: the type has no order here.
        """
        if kind in ("number", "time"):
            return kind == "time" or self.sign in COMPARISONS or bool(RANGE.fullmatch(self.value))
        if self.sign in COMPARISONS:
            raise UsageError(
                f"{self.name} is neither a number nor a time, so {self.sign} does not apply.",
                "",
                f"Write {self.name}=value or {self.name}!=value.",
            )
        return False

    def of_kind(self, kind: str) -> str:
        """Check the value, and write it for a dimension of this Cube type.

        Raises:
            UsageError: the value does not have this type.
        """
        if kind == "number":
            return self._number(self.value)
        if kind == "boolean":
            if self.value.lower() not in ("true", "false"):
                raise UsageError(
                    f"{self.name} is true or false, not {self.value!r}.", "", "Write one of them."
                )
            return self.value.lower()
        return self.value

    def bounds(self) -> list[tuple[str, str]]:
        """The bounds of a number, each as a key of :data:`COMPARISONS` and a number.

        Raises:
            UsageError: an end is not a number, or the range is empty.
        """
        if self.sign in COMPARISONS:
            return [(self.sign, self._number(self.value))]
        low, high = (self._number(end) if end else "" for end in self._ends())
        if low and high and float(low) > float(high):
            raise self._empty()
        return [(sign, end) for sign, end in ((">=", low), ("<=", high)) if end]

    def period(self) -> tuple[str, str]:
        """The first and last day, both included; an open end is empty.

        Raises:
            UsageError: an end is not a year, month or day, or the range is empty.
        """
        if self.sign in COMPARISONS:
            first, last = self._period(self.value)
            day = timedelta(days=1)
            return {
                ">=": (str(first), ""),
                ">": (str(last + day), ""),
                "<=": ("", str(last)),
                "<": ("", str(first - day)),
            }[self.sign]
        if not RANGE.fullmatch(self.value):
            first, last = self._period(self.value)
            return str(first), str(last)
        low, high = self._ends()
        first = str(self._period(low)[0]) if low else ""
        last = str(self._period(high)[1]) if high else ""
        if first and last and first > last:
            raise self._empty()
        return first, last

    def _ends(self) -> tuple[str, str]:
        """The two ends of a range; one of them may be empty."""
        match = RANGE.fullmatch(self.value)
        if not match or not any(match.groups()):
            raise UsageError(
                f"{self.value!r} is not a range.",
                "",
                f"Write {self.name}=LOW..HIGH, {self.name}=LOW.. or {self.name}=..HIGH.",
            )
        return match[1], match[2]

    def _empty(self) -> UsageError:
        return UsageError(
            f"The range {self.value} of {self.name} ends before it begins.", "", "Swap its ends."
        )

    def _number(self, text: str) -> str:
        if not NUMBER.fullmatch(text):
            raise UsageError(
                f"{self.name} is a number, and {text!r} is not.",
                "",
                "Write digits, as in 1234.5, or a range, as in 10..20.",
            )
        return text

    def _period(self, text: str) -> tuple[date, date]:
        """The first and last day of the year, month or day that a text names."""
        try:
            year, month, day = ([int(part) for part in text.split("-")] + [0, 0])[:3]
            if re.fullmatch(r"\d{4}(-\d\d){0,2}", text):
                first = date(year, month or 1, day or 1)
                last = date(year, month or 12, day or calendar.monthrange(year, month or 12)[1])
                return first, last
        except ValueError:
            pass  # letters, or a date that does not exist
        raise UsageError(
            f"{self.name} is a time, and {text!r} is not a year, month or day.",
            "",
            f"Write {self.name}=2025, =2025-01, =2025-01-31 or =2025-01..2025-03, or use --since"
            " and --until.",
        )


def cube_filter(member: str, kind: str, sign: str, conditions: list[Condition]) -> dict:
    """Cube's filter for the conditions on one dimension that have the same sign.

    With ``=`` they are alternatives; with another sign, all of them hold.

    Raises:
        UsageError: a value does not have the type of the dimension.
    """
    values = [one.of_kind(kind) for one in conditions if not one.is_range(kind)]
    parts = [{"member": member, "operator": OPERATORS[sign], "values": values}] if values else []
    ranges = [one for one in conditions if one.is_range(kind)]
    parts += [(_time_filter if kind == "time" else _number_filter)(member, one) for one in ranges]
    return parts[0] if len(parts) == 1 else {"or" if sign == "=" else "and": parts}


def _time_filter(member: str, condition: Condition) -> dict:
    first, last = condition.period()
    end = f"{last}T23:59:59.999999"  # Cube would read a date without a time as midnight
    is_outside = condition.sign == "!="
    if first and last:
        operator, values = ("notInDateRange" if is_outside else "inDateRange"), [first, last]
    elif first:
        operator, values = ("beforeDate" if is_outside else "afterOrOnDate"), [first]
    else:
        operator, values = ("afterDate" if is_outside else "beforeOrOnDate"), [end]
    part = {"member": member, "operator": operator, "values": values}
    # != includes null, as for a text
    return {"or": [part, {"member": member, "operator": "notSet"}]} if is_outside else part


def _number_filter(member: str, condition: Condition) -> dict:
    is_outside = condition.sign == "!="
    parts = [
        {
            "member": member,
            "operator": COMPARISONS[OPPOSITES[sign] if is_outside else sign],
            "values": [value],
        }
        for sign, value in condition.bounds()
    ]
    if is_outside:
        return {"or": [*parts, {"member": member, "operator": "notSet"}]}
    return parts[0] if len(parts) == 1 else {"and": parts}
