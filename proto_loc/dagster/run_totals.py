"""Counts Dagster's runs, and finds the last of each job, in its SQLite file, also while it is down.

The web server would send every run. The table is private to Dagster: after an upgrade,
``tests/monitoring/test_openmetrics.py`` fails if it has changed.
"""

import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

from proto_loc.dagster import instance
from proto_loc.errors import LocError

BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
"""Upper limits of durations, in seconds."""
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
QUERY = """
select pipeline_name, status, start_time, end_time, exists (
    select 1 from run_tags where run_tags.run_id = runs.run_id and key = 'failed checks'
) from runs
"""
LAST = """
select run_id, pipeline_name, status, start_time, max(end_time) from runs
where status in ('SUCCESS', 'FAILURE') group by pipeline_name
"""
"""SQLite takes the other columns from the row with the greatest end."""
TAGS = "select key, value from run_tags where run_id = ?"


@dataclass
class Total:
    """The ended runs of a job with one status."""

    number: int = 0
    seconds: float = 0.0
    by_bucket: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    """Runs by the index of their bucket; the last has no limit."""
    last_end: float = 0.0
    """Time of the last end, in seconds since the epoch."""

    def add(self, start: float | None, end: float | None) -> None:
        """Count a run; one that never started took no time."""
        seconds = max(0.0, end - start) if start and end else 0.0
        self.number += 1
        self.seconds += seconds
        self.by_bucket[bisect_left(BUCKETS, seconds)] += 1
        self.last_end = max(self.last_end, end or 0.0)


def job_name(name: str) -> str:
    """The name of a job as it is shown: Dagster's own job for a click on assets has none."""
    return "materialize" if name.startswith("__") else name


def totals() -> tuple[dict[tuple[str, str], Total], dict[str, int]]:
    """Count all runs.

    Returns:
        The ended runs by job and status (``success``, ``failure``, ``canceled``, and
        ``audit_failure`` if a test of dbt failed), and the number of runs of each job that have not
        ended.

    Raises:
        LocError: the file cannot be read.
    """
    with _opened() as con:
        return _count(con.execute(QUERY)) if con else ({}, {})


def last_ended() -> list[dict]:
    """The run of each job that ended last with success or failure, newest first.

    Each is a dictionary as that of :func:`proto_loc.dagster.client.last_runs`. Other jobs may have
    had any number of runs since.

    Raises:
        LocError: the file cannot be read.
    """
    names = ("runId", "jobName", "status", "startTime", "endTime")
    with _opened() as con:
        rows = [dict(zip(names, row, strict=True)) for row in con.execute(LAST)] if con else []
        for row in rows:
            row["tags"] = dict(con.execute(TAGS, [row["runId"]]))
    return sorted(rows, key=lambda row: row["endTime"] or 0.0, reverse=True)


@contextmanager
def _opened() -> Iterator[sqlite3.Connection | None]:
    """The file for reading; None before Dagster's first start."""
    path = instance.home() / "history" / "runs.db"
    if not path.exists():
        yield None
        return
    try:
        address = f"file:{quote(str(path))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=5)) as con:
            yield con
    except sqlite3.Error as error:
        raise LocError(f"{path} cannot be read.", f"{error}.", "./loc doctor") from error


def _count(rows: Iterable[tuple]) -> tuple[dict[tuple[str, str], Total], dict[str, int]]:
    ended: dict[tuple[str, str], Total] = {}
    open_runs: dict[str, int] = {}
    for name, status, start, end, has_failed_checks in rows:
        job = job_name(name)
        if status in ENDED:
            audited = "audit_" if has_failed_checks and status == "FAILURE" else ""
            ended.setdefault((job, audited + status.lower()), Total()).add(start, end)
        else:
            open_runs[job] = open_runs.get(job, 0) + 1
    return ended, open_runs
