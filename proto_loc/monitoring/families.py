"""Turns the state of the platform into metric families of OpenMetrics.

Labels are names of processes, sources, tables, jobs and channels. Values of the data are in none.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)

from proto_loc.backup.records import Record
from proto_loc.dagster.run_totals import BUCKETS, Total
from proto_loc.fork_file import EVENTS
from proto_loc.home.schema import Database, Machine, Service, Status, Table
from proto_loc.notify.outbox import Outbox

VERDICTS = ("ready", "done", "failed", "waiting", "off")


def platform(state: Status) -> Iterator[Metric]:
    """What the platform is, and the number of its problems."""
    labels = {"name": state.name, "git_revision": state.git_revision or ""}
    yield InfoMetricFamily("loc_platform", "The clone that is monitored.", labels)
    problems = Counter((problem.part, problem.severity) for problem in state.problems)
    family = GaugeMetricFamily(
        "loc_problems", "Problems that the home page shows.", labels=["part", "severity"]
    )
    for key, number in sorted(problems.items()):
        family.add_metric(key, number)
    yield family


def services(rows: list[Service]) -> Iterator[Metric]:
    """The processes."""
    states = StateSetMetricFamily(
        "loc_process_state", "The state of a process.", labels=["process"]
    )
    restarts = CounterMetricFamily(
        "loc_process_restarts", "Restarts since the stack was started.", labels=["process"]
    )
    memory = _bytes("loc_process_memory", "Memory of a process and its children.", "process")
    faults = GaugeMetricFamily(
        "loc_process_fault", "1: it runs, and does not serve what it should.", labels=["process"]
    )
    for row in rows:
        states.add_metric([row.name], {name: row.verdict == name for name in VERDICTS})
        restarts.add_metric([row.name], row.restarts)
        memory.add_metric([row.name], row.memory)
        faults.add_metric([row.name], float(bool(row.problem)))
    return iter((states, restarts, memory, faults))


def databases(rows: list[Database]) -> Iterator[Metric]:
    """What is published."""
    labels = ["database"]
    version = GaugeMetricFamily("loc_version", "Id of the version that is served.", labels=labels)
    publishes = CounterMetricFamily(
        "loc_publishes", "Versions that were published: the highest id.", labels=labels
    )
    time = _time("loc_published", "When the served version was published.", *labels)
    size = _bytes("loc_version", "Size of the served version.", *labels)
    kept = GaugeMetricFamily("loc_versions_kept", "Versions that are kept.", labels=labels)
    damaged = GaugeMetricFamily("loc_versions_damaged", "Of those, damaged ones.", labels=labels)
    rows_of = GaugeMetricFamily(
        "loc_table_rows", "Rows of a published table.", labels=["database", "table"]
    )
    checks = GaugeMetricFamily(
        "loc_checks", "dbt's tests of the served version.", labels=["database", "status"]
    )
    for row in rows:
        kept.add_metric([row.name], len(row.versions))
        damaged.add_metric([row.name], sum(bool(one.damage) for one in row.versions))
        publishes.add_metric([row.name], max((one.id for one in row.versions), default=0))
        current = next((one for one in row.versions if one.current), None)
        if current is None or not current.published_at:
            continue
        version.add_metric([row.name], current.id)
        time.add_metric([row.name], _seconds(current.published_at))
        size.add_metric([row.name], current.bytes)
        for table, number in current.tables.items():
            rows_of.add_metric([row.name, table], number)
        for status, number in current.checks.items():
            checks.add_metric([row.name, status], number)
    return iter((version, publishes, time, size, kept, damaged, rows_of, checks))


def sources(rows: list[Table]) -> Iterator[Metric]:
    """The tables of sources, as loaded and as the models judged their rows."""
    labels = ["source", "table"]

    def gauge(name: str, text: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"loc_source_{name}", text, labels=labels)

    loaded = gauge("rows", "Rows of the active loads.")
    unpublished = gauge("unpublished_rows", "Rows of loads that prod was not built from.")
    accepted = gauge("accepted_rows", "Rows that the models accepted.")
    rejected = gauge("rejected_rows", "Rows that the models rejected, or that were put aside.")
    loads = gauge("loads", "Active loads.")
    stale = gauge("stale", "1: the newest load is older than declared.")
    newest = _time("loc_source_newest_load", "Time of the newest load.", *labels)
    within = GaugeMetricFamily(
        "loc_source_fresh_within", "Age within which a load is due.", labels=labels, unit="seconds"
    )
    for row in rows:
        key = [row.source, row.table]
        values = (
            (loaded, row.rows),
            (unpublished, row.unpublished),
            (accepted, row.accepted),
            (rejected, row.rejected),
            (loads, row.loads),
            (stale, float(bool(row.stale))),
            (newest, row.newest and _seconds(row.newest)),
            (within, row.fresh_within),
        )
        for family, value in values:
            if value is not None:
                family.add_metric(key, value)
    return iter((loaded, unpublished, accepted, rejected, loads, stale, newest, within))


def runs(ended: dict[tuple[str, str], Total], open_runs: dict[str, int]) -> Iterator[Metric]:
    """Dagster's runs since the data folder was made."""
    seconds = HistogramMetricFamily(
        "loc_run_seconds", "Durations of ended runs.", labels=["dagster_job", "status"]
    )
    last = _time(
        "loc_run_last", "When the last run with this status ended.", "dagster_job", "status"
    )
    for key, total in sorted(ended.items()):
        limits = [*map(str, map(float, BUCKETS)), "+Inf"]
        buckets = list(zip(limits, map(float, accumulate(total.by_bucket)), strict=True))
        seconds.add_metric(key, buckets, total.seconds)
        last.add_metric(key, total.last_end)
    active = GaugeMetricFamily(
        "loc_runs_active", "Runs that wait or have not ended.", labels=["dagster_job"]
    )
    for job, number in sorted(open_runs.items()):
        active.add_metric([job], number)
    return iter((seconds, last, active))


def machine(measured: Machine) -> Iterator[Metric]:
    """Disk and memory."""
    folders = _bytes("loc_folder", "Size of a part of the data and run folders.", "folder")
    for name, size in measured.sizes.items():
        folders.add_metric([name], size)
    yield folders
    for name, text, value in (
        ("disk_free", "Free space of the disk with the data folder.", measured.disk_free),
        ("disk_size", "Size of that disk.", measured.disk_total),
        ("memory_available", "Memory that programs can still get.", measured.memory_available),
        ("memory_size", "Memory of the machine.", measured.memory_total),
    ):
        family = _bytes(f"loc_{name}", text)
        family.add_metric([], value)
        yield family


def notices(box: Outbox) -> Iterator[Metric]:
    """Open incidents, and how their notices are delivered."""
    incidents = GaugeMetricFamily("loc_incidents", "Open incidents.", labels=["event"])
    counts = Counter(incident.event for incident in box.incidents if incident.is_open)
    for event in EVENTS:
        incidents.add_metric([event], counts[event])
    waiting = GaugeMetricFamily(
        "loc_notices_waiting", "Notices that wait for a channel.", labels=["channel"]
    )
    dead = GaugeMetricFamily("loc_channel_dead", "1: it takes no notices.", labels=["channel"])
    sent = CounterMetricFamily("loc_notices_sent", "Delivered notices.", labels=["channel"])
    dropped = CounterMetricFamily(
        "loc_notices_dropped", "Notices for which there was no room.", labels=["channel"]
    )
    for name, one in sorted(box.boxes.items()):
        waiting.add_metric([name], len(one.waiting))
        dead.add_metric([name], float(one.is_dead))
        sent.add_metric([name], one.sent)
        dropped.add_metric([name], one.dropped)
    return iter((incidents, waiting, dead, sent, dropped))


def backups(records: list[Record]) -> Iterator[Metric]:
    """The backups that ended, oldest first."""
    last = _time("loc_backup_last", "When the last backup with this outcome ended.", "outcome")
    size = _bytes("loc_backup", "Size of the newest archive.")
    ends: dict[str, float] = {}
    for record in records:
        outcome = "failed" if record.error else "written"
        ends[outcome] = _seconds(record.started_at) + record.seconds
    for outcome, seconds in sorted(ends.items()):
        last.add_metric([outcome], seconds)
    if written := [record for record in records if not record.error]:
        size.add_metric([], written[-1].bytes)
    return iter((last, size))


def _bytes(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels, unit="bytes")


def _time(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{name}_timestamp", text, labels=labels, unit="seconds")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
