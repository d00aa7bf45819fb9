"""Check of the schedules in ``fork.toml``."""

import time
from collections.abc import Iterator

from proto_loc import fork_file
from proto_loc.doctor.finding import Finding, ok


def schedules() -> Iterator[Finding]:
    """Show each schedule with its next run, as Dagster computes it."""
    declared = fork_file.read().schedules
    if not declared:
        yield ok("fork.toml declares no schedule: docs/schedules.md shows how")
        return
    from proto_loc.dagster.private import cron_string_iterator

    for schedule in declared:
        ticks = cron_string_iterator(time.time(), schedule.cron, schedule.time_zone)
        yield ok(f"{schedule}; next at {next(ticks):%Y-%m-%d %H:%M %Z}")
