"""Finds data for a benchmark: a source's sample, and the mart with the most metrics."""

import json
from dataclasses import dataclass

from proto_loc import warehouse
from proto_loc.errors import LocError
from proto_loc.metrics.definitions import Dimension, Metric, SemanticModel
from proto_loc.metrics.expressions import render
from proto_loc.metrics.read import read
from proto_loc.refresh.job import load_and_refresh
from proto_loc.sources import Source, find_sources
from proto_loc.sql import identifier


class NothingToMeasure(LocError):
    """The project lacks what a benchmark measures; it is no failure of the platform."""


def sampled_source() -> Source:
    """Return the first source of ``pipelines/`` that has a sample.

    Raises:
        NothingToMeasure: no source has a sample.
    """
    sources = find_sources()
    for source in sources.values():
        if source.sample_rows:
            return source
    names = ", ".join(sources) or "no source"
    raise NothingToMeasure(
        "There is nothing to measure with.",
        f"A benchmark needs a source with a sample; pipelines/ has {names}.",
        "Give a source a sample: docs/declaration.md shows how. `loc bench warehouse` needs none.",
    )


def load_sample(rows: int) -> None:
    """Load ``rows`` rows of a sample in this process, into the environment's data folder."""
    sampled_source().load_sample(rows, who="loc bench", report=quiet)


def publish_sample(rows: int) -> None:
    """Load ``rows`` rows of a sample in this process, then build, audit and publish."""
    source = sampled_source()
    load_and_refresh(
        lambda report: source.load_sample(rows, who="loc bench", report=report),
        who="loc bench",
        report=quiet,
    )


def quiet(*state: object) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Mart:
    """A mart, with the metrics and dimensions that a benchmark queries."""

    model: SemanticModel
    metrics: tuple[Metric, ...]
    """One or two metrics; simple metrics if the mart has any."""
    dimensions: tuple[Dimension, ...]
    """At most two dimensions, of type text."""

    @property
    def table(self) -> str:
        return identifier(self.model.schema, self.model.table)

    def select(self, metrics: tuple[Metric, ...], *by: str) -> str:
        """Return a SELECT statement without a GROUP BY: the SQL expressions ``by``, then the
        metrics.
        """
        columns = [*by, *(render(metric.expression) for metric in metrics)]
        return f"select {', '.join(columns)} from {self.table}"


def published_models() -> list[SemanticModel]:
    """Return the semantic models of the published version."""
    manifest = warehouse.current("prod").folder / "dbt/manifest.json"
    return read(json.loads(manifest.read_text()))


def published_mart() -> Mart:
    """Return the mart with the most metrics.

    Raises:
        NothingToMeasure: the project has no metrics.
    """
    model = max(published_models(), key=lambda model: len(model.metrics), default=None)
    if model is None or not model.metrics:
        raise NothingToMeasure(
            "There is nothing to ask for.",
            "The dbt project has no metrics.",
            "Define one: docs/metrics.md shows how.",
        )
    simple = tuple(metric for metric in model.metrics if metric.kind == "simple")
    texts = [
        dimension
        for dimension in model.dimensions
        if (column := model.type_of(dimension)) and column.type == "VARCHAR"
    ]
    return Mart(model, (simple or model.metrics)[:2], tuple(texts[:2]))
