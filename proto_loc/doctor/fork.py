"""Checks of what a fork owns: its schedules, backups and notebooks."""

import shutil
import time
from collections.abc import Iterator
from datetime import datetime

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


def backups() -> Iterator[Finding]:
    """Compare the backups that ended with what fork.toml declares."""
    from proto_loc.backup import records

    try:
        declared = fork_file.read().backup
    except LocError:
        return  # the check of the schedules reports it
    last, good = records.last(well=False), records.last()
    if last and last.error:
        yield Finding(
            "fail",
            f"The backup of {last.started_at[:16]} failed.",
            last.error,
            "Mend that, then: `loc backup` (or `loc backup FILE`)",
            symptom="A backup is missing, or has failed",
        )
    elif declared is None:
        made = f"; the last one is {good.file}" if good else ""
        yield ok(f"fork.toml has no [backup]: docs/backup.md shows how{made}")
    elif not declared.clock.on:
        yield ok(f"Backups go to {declared.folder} once they are switched on in Dagster")
    elif good is None or _is_late(good.started_at, declared.clock):
        newest = f"the last backup is of {good.started_at[:16]}" if good else "none yet"
        yield Finding(
            "warn",
            f"{declared.clock}: no backup has been made in time, {newest}.",
            "Dagster makes them, while it is up.",
            "Start it (`loc up -d`) and see its runs; or make one: `loc backup`",
            symptom="A backup is missing, or has failed",
        )
    else:
        yield ok(f"The last backup is {good.file}, of {good.started_at[:16]}")


def _is_late(started_at: str, clock: fork_file.Schedule) -> bool:
    """Whether two ticks of a schedule have passed since a backup."""
    from proto_loc.dagster.private import cron_string_iterator

    began = datetime.fromisoformat(started_at).timestamp()
    ticks = cron_string_iterator(began + 60, clock.cron, clock.time_zone)
    next(ticks)
    return next(ticks).timestamp() < time.time()
