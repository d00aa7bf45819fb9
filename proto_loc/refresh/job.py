"""The refresh: load what is new, build, audit, publish. `loc` and Dagster both call it."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from proto_loc import sources, warehouse
from proto_loc.dbt import publish
from proto_loc.errors import LocError
from proto_loc.warehouse import lake

Report = Callable[[str, str, int, int], None]
"""Called with the step, what is being done, how much of it is done, and how much there is."""


@dataclass
class Refreshed:
    """What one refresh did."""

    prod: warehouse.Version
    built: bool
    """False if ``prod`` was already built from these loads by this dbt project."""
    outcomes: list[sources.Outcome] = field(default_factory=list)
    """What was loaded, or skipped, this time."""
    loads: list[lake.Load] = field(default_factory=list)
    """Every load that ``prod`` is built from."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by step."""


def load_and_refresh(
    loading: Callable[[sources.Report], list[sources.Outcome]] | None,
    *,
    who: str,
    report: Report,
    force: bool = False,
    forget: Collection[str] = (),
) -> Refreshed:
    """Load, then bring ``prod`` up to date.

    Args:
        loading: loads, and returns the outcomes; None to load new files of ``data/landing/``, or
            the sample into an empty platform.
        force: build even if nothing has changed.
        forget: see :func:`proto_loc.dbt.publish.publish`.

    Raises:
        LocError: a file was refused, a model or test failed, the disk is full, ...; the published
            version stays as it is.
    """
    seconds = {}
    start = time.perf_counter()
    outcomes = load(loading, who=who, report=lambda *state: report("load", *state))
    seconds["load"] = time.perf_counter() - start
    start = time.perf_counter()
    built = force or not publish.is_current()
    if not built:
        prod = warehouse.current("prod")
    else:
        prod = publish.publish(
            who=who, forget=forget, report=lambda *state: report("build", *state)
        )
        seconds |= prod.facts["seconds"]
        seconds["publish"] = time.perf_counter() - start - sum(prod.facts["seconds"].values())
    return Refreshed(prod, built, outcomes, loads_of(prod), seconds)


def load(
    loading: Callable[[sources.Report], list[sources.Outcome]] | None,
    *,
    who: str,
    report: sources.Report,
) -> list[sources.Outcome]:
    """The first half of :func:`load_and_refresh`, with the same arguments and errors."""
    outcomes = loading(report) if loading else _load_new(who, report)
    lake.settle(sources.declared_columns())
    warehouse.tidy()
    return outcomes


def loads_of(prod: warehouse.Version) -> list[lake.Load]:
    """The loads that a version of ``prod`` was built from; others may be active by now."""
    return [load for load in lake.loads(active=False) if load.load_id in prod.facts["load_ids"]]


def _load_new(who: str, report: sources.Report) -> list[sources.Outcome]:
    declared = sources.find_sources().values()
    outcomes = sources.left_out()
    for source in declared:
        outcomes += source.load_landing(who=who, report=report)
    if lake.loads(active=False):
        return outcomes
    with_sample = [source for source in declared if source.sample_rows]
    if with_sample:
        _refuse_sample_over_records()
    for source in with_sample:
        outcomes += source.load_sample(who=who, report=report)
    return outcomes


def _refuse_sample_over_records() -> None:
    """Refuse the sample if ``raw`` was lost but ``prod`` still shows real records."""
    if warehouse.store.current_id("prod") is None:
        return
    prod = warehouse.current("prod")
    if "marts.publication" not in prod.tables:
        return  # the empty first version of set-up
    with prod.open() as con:
        origins = con.execute("select origin from marts.publication").fetchall()
    if origins and origins[0][0] in ("file", "fetched", "mixed"):
        raise LocError(
            "raw holds no load, and prod was built from records.",
            f"The catalogue in {warehouse.store.folder('raw')} was lost or taken back, and the"
            " synthetic sample would replace those records.",
            "Load your files again: `loc load FILES`. `loc load sample` puts the sample in their"
            " place.",
        )
