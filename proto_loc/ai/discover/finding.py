"""Profiles the marts, compares them with the previous version, and picks the main findings."""

import time
from dataclasses import dataclass, field

from proto_loc import warehouse
from proto_loc.ai import context
from proto_loc.ai.discover import changes as changing
from proto_loc.ai.discover import columns as profiling
from proto_loc.ai.discover.facts import Fact, Facts
from proto_loc.ai.discover.reading import Reading
from proto_loc.ai.discover.reading import of as begin
from proto_loc.ai.discover.seasons import Seasons, seasons
from proto_loc.errors import LocError
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.metrics.read import read
from proto_loc.warehouse import store

STRONG = 0.5
"""Minimum strength of a relation of two columns that is a finding."""
SAME = 0.99
"""Minimum strength of two equal columns, such as a duration in seconds and in minutes."""
MOST = 6
"""Maximum number of metric changes that are findings; the table shows the others."""
MOVED = 0.02
"""A smaller relative change of a metric is not a finding."""
GREW = 0.01
"""Minimum growth of a share of nulls or outliers that is a finding."""


@dataclass(frozen=True)
class Finding:
    """A sentence of words and facts for the top of the report."""

    parts: tuple[str | Fact, ...]

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else part.shown for part in self.parts)

    def referenced(self) -> str:
        """The sentence with the reference of each fact, as a model must write it."""
        return "".join(
            part if isinstance(part, str) else f"{part.shown} [{part.id}]" for part in self.parts
        )


@dataclass
class Mart:
    """The profile of one mart."""

    model: SemanticModel
    rows: int
    described: int
    """The number of rows from which its columns are profiled."""
    columns: list[profiling.Column]
    related: list[tuple[str, str, float, str]]
    seasons: Seasons


@dataclass
class Discovery:
    """What was discovered in a version, compared with the previous one."""

    version: warehouse.Version
    before: warehouse.Version | None
    origin: str
    marts: list[Mart]
    changes: list[changing.Change]
    facts: Facts = field(default_factory=Facts)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0


def discover() -> Discovery:
    """Profile the published version.

    Raises:
        LocError: there is no data, or a query took too much time or memory.
    """
    start = time.monotonic()
    version = warehouse.current("prod")
    models = tuple(read(context.definitions(version)))
    if not models:
        raise LocError(
            "There is no mart to report on.",
            "No metric is defined, and the report covers the marts with metrics.",
            "Define one as docs/metrics.md shows, and run `loc refresh`.",
        )
    reading = begin(version)
    old = store.before("prod", version.id)
    previous = warehouse.find("prod", old) if old is not None else None
    before = (
        begin(previous)
        if previous and (previous.folder / "dbt" / "manifest.json").exists()
        else None
    )
    try:
        (origin,) = reading.rows("select origin from marts.publication")[0]
        marts = sorted(
            (_mart(reading, before, model) for model in models), key=lambda mart: -mart.rows
        )
        discovery = Discovery(
            version,
            before.version if before else None,
            origin,
            marts,
            changing.changes(reading, before, models),
        )
        for metric, figure in changing.unmeasurable(reading, models):
            discovery.findings.append(
                Finding((f"{metric.label} is {figure}: a value that it is made of is no number.",))
            )
    finally:
        reading.close()
        if before:
            before.close()
    _find(discovery)
    discovery.seconds = time.monotonic() - start
    return discovery


def _mart(reading: Reading, before: Reading | None, model: SemanticModel) -> Mart:
    table = f"{model.schema}.{model.table}"
    columns, described = profiling.describe(reading, table, before)
    related = profiling.related(reading, table, columns) if described else []
    return Mart(model, reading.count(table), described, columns, related, seasons(reading, model))


def _find(discovery: Discovery) -> None:
    say = lambda *parts: discovery.findings.append(Finding(parts))  # noqa: E731
    add = discovery.facts.add
    moved = [
        change
        for change in discovery.changes
        if change.relative is not None and abs(change.relative) >= MOVED
    ]
    for change in moved[:MOST]:
        label, form = change.metric.label, form_of(change.metric.format.kind)
        currency = change.metric.format.currency
        rose = "rose" if change.change > 0 else "fell"
        parts: list = [
            f"{label} {rose} by ",
            add(f"relative change of {label}", abs(change.relative), "percent"),
            " to ",
            add(label, change.after, form, currency),
        ]
        if (by := changing.driver(change)) and change.adds_up:
            share = add(
                f"share of {by.dimension} {by.value} in the change of {label}",
                by.change / change.change,
                "percent",
            )
            parts += [f"; {_named(by)} makes ", share, " of the change"]
        elif by:
            parts += [
                f"; most in {_named(by)}, to ",
                add(f"{label} of {by.dimension} {by.value}", by.after, form, currency),
            ]
        say(*parts, ".")
    if len(moved) > MOST:
        say(
            add("further metrics that moved", len(moved) - MOST, "count"),
            " more metrics moved; see below.",
        )
    for mart in discovery.marts:
        _find_in(mart, add, say)


def _find_in(mart: Mart, add, say) -> None:
    name = mart.model.label
    for column in mart.columns:
        for what, verb, share, before in (
            (f"nulls in {column.name}", "is missing", column.nulls, column.nulls_before),
            (f"{column.name} far out", "lies far out", column.far, column.far_before),
        ):
            if before is not None and share - before > GREW:
                after = add(f"share of {what}", share, "percent")
                earlier = add(f"share of {what} before", before, "percent")
                middle, end = " of the rows, after ", " in the version before."
                say(f"{column.name} {verb} in ", after, middle, earlier, end)
    days = mart.seasons
    if days.weekly is not None and days.weekly >= STRONG:
        share = add(
            f"share of the variance of {name} a day that the weekday explains",
            days.weekly,
            "percent",
        )
        say(
            f"{name} follow the week: the weekday explains ", share, " of the variance of the days."
        )
    for day, rows, usual in days.standing_out[:3]:
        say(
            add(f"day of {name} that stands out", day, "date"),
            " stands out with ",
            add(f"rows of {name} on {day}", rows, "count"),
            ", where ",
            add(f"usual rows of {name} on the weekday of {day}", usual, "count"),
            " are usual on its weekday.",
        )
    if len(days.standing_out) > 3:
        say(
            add(f"days of {name} that stand out", len(days.standing_out), "count"),
            f" days of {name} stand out in all.",
        )
    for one, other, strength, measure in [
        pair for pair in mart.related if STRONG <= pair[2] < SAME
    ][:5]:
        say(
            f"{one} and {other} go together ({measure} ",
            add(f"{measure} of {one} and {other}", strength, "number"),
            ").",
        )


def form_of(kind: str) -> str:
    return kind if kind in ("count", "percent", "money") else "number"


def _named(segment: changing.Segment) -> str:
    return f"{segment.dimension.replace('_', ' ')} {segment.value}"
