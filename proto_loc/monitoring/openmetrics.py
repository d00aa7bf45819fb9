"""The state of the platform as OpenMetrics text, for Prometheus."""

import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from proto_loc.backup import records
from proto_loc.dagster import run_totals
from proto_loc.home.status import collect
from proto_loc.monitoring import families, latencies
from proto_loc.notify import outbox


class State(Collector):
    """Collects everything at one time; a part that cannot be read is left out and counted."""

    def collect(self) -> Iterator[Metric]:
        start = time.perf_counter()
        state = collect()
        unreadable = GaugeMetricFamily(
            "loc_part_unreadable", "1: a part of the metrics cannot be read.", labels=["part"]
        )

        def part(name: str, read: Callable[[], Iterable[Metric]]) -> list[Metric]:
            try:
                metrics = list(read())
            except Exception:  # whatever a damaged file raises; the other parts are shown
                metrics = []
                unreadable.add_metric([name], 1)
            else:
                unreadable.add_metric([name], 0)
            return metrics

        def known(rows: Iterable | None) -> Iterable:
            if rows is None:
                raise ValueError  # the state says why, as a problem
            return rows

        yield from families.platform(state)
        yield from part("services", lambda: families.services(known(state.services)))
        yield from part("warehouse", lambda: families.databases(state.databases))
        yield from part("sources", lambda: families.sources(known(state.tables)))
        yield from part("runs", lambda: families.runs(*run_totals.totals()))
        yield from part("machine", lambda: families.machine(known(state.machine)))
        yield from part("backups", lambda: families.backups(records.read()))
        yield from part("notices", lambda: families.notices(outbox.read()))
        yield from part("superset", latencies.superset)
        yield from part("cube", latencies.cube)
        yield unreadable
        seconds = GaugeMetricFamily(
            "loc_collection", "Time that it took to collect these metrics.", unit="seconds"
        )
        seconds.add_metric([], time.perf_counter() - start)
        yield seconds


def text() -> str:
    """All metrics as OpenMetrics text."""
    registry = CollectorRegistry()
    registry.register(State())
    return generate_latest(registry).decode()
