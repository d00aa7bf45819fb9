"""What a benchmark measured: figures with the lower bound (``floor``) of the same run."""

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Self

from rich.filesize import decimal

SECONDS, BYTES, SHARE, RATE, COUNT = "s", "B", "share", "/s", ""
MANY = 10
"""From so many runs on, the spread is shown as a percentile."""


@dataclass(frozen=True)
class Figure:
    """A value in its unit, the median if there were several runs."""

    name: str
    value: float
    unit: str
    """``s``, ``B``, ``share`` (1 is all), ``/s``, or nothing for a count."""
    what: str
    """What was measured, and against which floor."""
    runs: tuple[float, ...] = ()
    floor: float | None = None
    """The lower bound, in the same unit."""
    target: float | None = None
    """The most that the value may be, in the same unit."""

    @classmethod
    def of(cls, name: str, runs: list[float], what: str, **options) -> Self:
        """Make the figure of several runs, in seconds."""
        return cls(name, median(runs), SECONDS, what, tuple(runs), **options)

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.value <= self.target

    def cells(self) -> tuple[str, ...]:
        """Return the texts of a row: name, value, spread, floor, ratio, target, verdict, what."""
        return (
            self.name,
            self.shown(self.value),
            self.spread(),
            self.shown(self.floor),
            f"{self.ratio:.2f}" if self.ratio else "",
            self.shown(self.target),
            {True: "met", False: "missed", None: ""}[self.met],
            self.what,
        )

    def shown(self, value: float | None) -> str:
        """Return a value with its unit, rounded as a person reads it."""
        if value is None:
            return ""
        if self.unit == SECONDS:
            if value >= 1:
                return f"{value:,.2f} s"
            return f"{1000 * value:.{1 if value < 0.1 else 0}f} ms"
        if self.unit == BYTES:
            return decimal(round(value))
        if self.unit == SHARE:
            return f"{value:.2%}".replace("%", " %")
        if self.unit == RATE:
            return f"{value:,.{0 if value >= 100 else 2}f} /s"
        return f"{value:,.0f}"

    def spread(self) -> str:
        """Return the range of few runs, or the 95th percentile of many."""
        if len(self.runs) < 2:
            return ""
        ordered = sorted(self.runs)
        if len(ordered) >= MANY:
            return f"p95 {self.shown(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))])}"
        return f"{self.shown(ordered[0])} to {self.shown(ordered[-1])}"


COLUMNS = ("figure", "value", "spread", "floor", "ratio", "target", "", "what is measured")
NUMBERS = COLUMNS[1:6]


@dataclass
class Result:
    """The figures of one benchmark, and why it has none or not all."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """Wrong answers and errors during the measurement; the benchmark has failed if any."""
    left_out: str = ""
    """What the project lacks, so that there is nothing to measure."""
    command: str = ""
    """The command line that repeats it."""
    seconds: float = 0
    busy: float = 0
    """The share of the processor that others used just before."""

    def plain(self) -> dict:
        """Return the result as data for JSON, with each figure's ratio and verdict."""
        figures = [
            asdict(figure) | {"ratio": figure.ratio, "met": figure.met} for figure in self.figures
        ]
        return _rounded(asdict(self) | {"figures": figures})

    @classmethod
    def read(cls, data: dict) -> Self:
        """Make a result of what :meth:`plain` returns."""
        figures = []
        for row in data["figures"]:
            fields = {key: item for key, item in row.items() if key not in ("ratio", "met")}
            figures.append(Figure(**fields | {"runs": tuple(row["runs"])}))
        return cls(**data | {"figures": figures})


def _rounded(data):
    """Return data with each number to the microsecond, or to the millionth."""
    if isinstance(data, dict):
        return {key: _rounded(item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        return [_rounded(item) for item in data]
    return round(data, 6) if isinstance(data, float) else data
