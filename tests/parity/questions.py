"""The questions to every interface: each metric, in total, by dimension, and with filters."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

import yaml

from proto_loc.metrics.definitions import SemanticModel
from proto_loc.settings import ROOT


@dataclass(frozen=True)
class Equals:
    """Rows whose dimension has the value."""

    dimension: str
    value: str


@dataclass(frozen=True)
class Between:
    """Rows whose time dimension is on one of the days from ``first`` to ``last``, both included."""

    dimension: str
    first: date
    last: date
    grain: str = "day"


Filter = Equals | Between


@dataclass(frozen=True)
class Question:
    """One metric, by one dimension or whole, under one condition or none."""

    model: str
    metric: str
    dimension: str | None = None
    grain: str | None = None
    """``month`` where the dimension is one of time."""
    condition: Filter | None = None

    def __str__(self) -> str:
        by = f" by {self.dimension}" if self.dimension else ""
        under = f" where {self.condition.dimension}" if self.condition else ""
        return f"{self.metric}{by}{under}"


FILTERS: dict[str, tuple[Filter, Filter]] = {
    model: (Between(*filters["between"]), Equals(*filters["equals"]))
    for path in (ROOT / "tests").glob("*/filters.yml")
    for model, filters in yaml.safe_load(path.read_text()).items()
}
"""Two filters a semantic model; those of a domain are with its tests."""


def questions(models: list[SemanticModel]) -> Iterator[Question]:
    """All questions: by month, and by the two dimensions that a publish records."""
    for model in models:
        dimensions = [
            (None, None),
            (model.time.name, "month"),
            *((each.name, None) for each in model.record_by),
        ]
        for metric in model.metrics:
            for dimension, grain in dimensions:
                for condition in (None, *FILTERS[model.name]):
                    yield Question(model.name, metric.name, dimension, grain, condition)


def key(value: object) -> str | None:
    """A dimension's value as text, a month by its first day."""
    if isinstance(value, datetime):
        value = value.date()
    return None if value is None else str(value)
