"""Compares each metric with the previous version; finds the segment that drives a change."""

from dataclasses import dataclass
from decimal import Decimal

from proto_loc.ai.discover.reading import Reading
from proto_loc.metrics.definitions import Metric, SemanticModel
from proto_loc.metrics.expressions import aggregates


@dataclass(frozen=True)
class Segment:
    """A metric's figure for one value of a dimension, in both versions."""

    dimension: str
    value: str
    before: Decimal
    after: Decimal

    @property
    def change(self) -> Decimal:
        return difference(self.before, self.after)


@dataclass(frozen=True)
class Change:
    """A metric's total figure in both versions."""

    metric: Metric
    before: Decimal
    after: Decimal
    segments: tuple[Segment, ...]
    """The largest changes first."""
    adds_up: bool
    """Whether the segments of a dimension add up to the total."""

    @property
    def change(self) -> Decimal:
        return difference(self.before, self.after)

    @property
    def moved(self) -> bool:
        """Whether the metric or one of its segments changed."""
        return bool(self.change) or any(segment.change for segment in self.segments)

    @property
    def relative(self) -> Decimal | None:
        return self.change / abs(self.before) if self.before else None


FIGURES = "marts.metric_figures"
ADDITIVE = {"sum", "count"}
NOISE = Decimal("1e-9")
"""Relative difference that floating point may show when the same rows are added up again."""
NOISY = 15
"""Minimum number of significant digits of a floating-point figure; other figures have fewer."""


def difference(before: Decimal, after: Decimal) -> Decimal:
    """Return the change of a figure; zero if floating-point noise explains it."""
    change = after - before
    floating = max(len(figure.as_tuple().digits) for figure in (before, after)) >= NOISY
    return (
        Decimal(0) if floating and abs(change) <= NOISE * max(abs(before), abs(after)) else change
    )


def changes(
    reading: Reading, before: Reading | None, models: tuple[SemanticModel, ...]
) -> list[Change]:
    """Return every metric that both versions recorded, the largest relative change first."""
    if before is None or not before.has(FIGURES) or not reading.has(FIGURES):
        return []
    old, new = _figures(before), _figures(reading)
    result = []
    for metric in (metric for model in models for metric in model.metrics):
        whole = (metric.name, "", "")
        if whole not in old or whole not in new:
            continue
        adds_up = (
            metric.kind == "simple"
            and {aggregate.function for aggregate in aggregates(metric.expression)} <= ADDITIVE
        )
        zero = Decimal(0)
        segments = [
            Segment(key[1], str(key[2]), old.get(key, zero), new.get(key, zero))
            for key in (old.keys() | new.keys() if adds_up else old.keys() & new.keys())
            if key[0] == metric.name and key[1]
        ]
        segments.sort(key=lambda part: (-abs(part.after - part.before), part.dimension, part.value))
        result.append(Change(metric, old[whole], new[whole], tuple(segments), adds_up))
    return sorted(result, key=lambda change: -abs(change.relative or 0))


def driver(change: Change) -> Segment | None:
    """The segment with the largest change in the metric's direction; None if nothing changed."""
    moved = [
        segment
        for segment in change.segments
        if segment.change and (segment.change > 0) == (change.change > 0)
    ]
    return moved[0] if change.change and moved else None


def _figures(reading: Reading) -> dict[tuple[str, str, str | None], Decimal]:
    rows = reading.rows(f"select metric, dimension, value, figure from {FIGURES}")
    figures = {
        (metric, dimension, value): Decimal(figure) for metric, dimension, value, figure in rows
    }
    return {key: figure for key, figure in figures.items() if figure.is_finite()}


def unmeasurable(reading: Reading, models: tuple[SemanticModel, ...]) -> list[tuple[Metric, str]]:
    """Return every metric with the total ``nan``, ``inf`` or ``-inf``, and that total."""
    if not reading.has(FIGURES):
        return []
    whole = dict(reading.rows(f"select metric, figure from {FIGURES} where dimension = ''"))
    metrics = [metric for model in models for metric in model.metrics if metric.name in whole]
    return [
        (metric, whole[metric.name])
        for metric in metrics
        if not Decimal(whole[metric.name]).is_finite()
    ]
