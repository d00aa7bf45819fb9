"""Checks of what a fork owns: its schedules and its notebooks."""

import shutil
import time
from collections.abc import Iterator

from proto_loc import fork_file
from proto_loc.doctor.finding import Finding, ok
from proto_loc.errors import LocError
from proto_loc.fork import notebooks as tracked
from proto_loc.settings import ROOT


def schedules() -> Iterator[Finding]:
    """Show each schedule with its next run, as Dagster computes it."""
    try:
        declared = fork_file.read().schedules
    except LocError as error:
        yield Finding(
            "fail",
            error.what,
            error.why,
            error.fix,
            symptom="A schedule does not run, or a command refuses `fork.toml`",
        )
        return
    if not declared:
        yield ok("fork.toml declares no schedule: docs/schedules.md shows how")
        return
    from proto_loc.dagster.private import cron_string_iterator

    for schedule in declared:
        ticks = cron_string_iterator(time.time(), schedule.cron, schedule.time_zone)
        yield ok(f"{schedule}; next at {next(ticks):%Y-%m-%d %H:%M %Z}")


def notebooks() -> Iterator[Finding]:
    """Find notebooks whose output would go into git."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        yield ok("Without git, notebooks are not compared")
        return
    if names := tracked.with_output(ROOT):
        yield Finding(
            "warn",
            f"{', '.join(names)} holds output, which git would keep.",
            "Output may contain data.",
            f"{tracked.CLEAR} {' '.join(names)}; your own notebooks belong in notebooks/work/",
            symptom="Git shows changes of notebooks that hold output",
        )
    else:
        yield ok("Tracked notebooks hold no output")
