"""The questions to every interface: each metric in total, by dimension, and with filters."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

import yaml

from proto_loc.metrics.definitions import SemanticModel
from proto_loc.settings import ROOT


@dataclass(frozen=True)
class Equals:
    """Keeps the rows whose dimension has the value."""

    dimension: str
    value: str


@dataclass(frozen=True)
class Between:
    """Keeps the rows with a time dimension from ``first`` to ``last``, both days included."""

    dimension: str
    first: date
    last: date
    grain: str = "day"


Filter = Equals | Between


@dataclass(frozen=True)
class Question:
    """One metric, in total or by one dimension, with one filter or none."""

    model: str
    metric: str
    dimension: str | None = None
    grain: str | None = None
    """``month`` if it is the time dimension."""
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
"""Two filters per semantic model, in the folder of a domain's tests; a fork may have none."""


def questions(models: list[SemanticModel]) -> Iterator[Question]:
    """Yield all questions: in total, by month, and by the dimensions that a publish records."""
    for model in models:
        dimensions = [
            (None, None),
            (model.time.name, "month"),
            *((each.name, None) for each in model.record_by),
        ]
        for metric in model.metrics:
            for dimension, grain in dimensions:
                for condition in (None, *FILTERS.get(model.name, ())):
                    yield Question(model.name, metric.name, dimension, grain, condition)


def key(value: object) -> str | None:
    """Return a dimension's value as text; a month is its first day."""
    if isinstance(value, datetime):
        value = value.date()
    return None if value is None else str(value)
