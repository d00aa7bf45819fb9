"""Collects the state of the platform; one broken part does not hide the others."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from proto_loc import fork_file, warehouse
from proto_loc.errors import LocError, of_source
from proto_loc.home import content, notices
from proto_loc.home.machine import machine
from proto_loc.home.processes import processes
from proto_loc.home.schema import VERSION, Problem, Run, Service, Status, Table
from proto_loc.settings import ROOT, settings
from proto_loc.setup.programs import output

T = TypeVar("T")
RUNS = 8
"""Number of the newest runs that are listed."""


def collect() -> Status:
    """Read the state of every part; what cannot be read is None, and a problem says why."""
    problems: list[Problem] = []

    def report(problem: Problem) -> None:
        if all(problem.what != known.what for known in problems):
            problems.append(problem)

    def part(name: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except LocError as error:
            report(content.problem(name, error))
        except Exception as error:  # whatever a damaged file or a fork's own code raises
            what = f"The {name} cannot be read: {type(error).__name__}: {error}."
            known = of_source(error) or LocError(
                what, "A file is damaged, or this is a defect of proto_loc.", "./loc doctor"
            )
            report(content.problem(name, known))
        return None

    states = part("services", lambda: processes(report))
    databases = part("warehouse", lambda: content.databases(report)) or []
    prod = _prod()
    tables = part("sources", lambda: content.tables(prod, report))
    project = part("metrics", lambda: content.manifest(prod))
    metrics = part("metrics", lambda: content.metrics(prod, project)) if project else []
    marts = (
        part("lineage", lambda: content.lineage(prod, project, metrics or [])) if project else []
    )
    memory = sum(state.memory for state in states or ())
    measured = part("machine", lambda: machine(memory))
    part("machine", lambda: _space(report))
    runs = part("runs", _runs)
    return Status(
        schema=VERSION,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        name=part("fork", lambda: fork_file.read().name) or fork_file.name(),
        clone=str(ROOT),
        data=str(settings().data),
        run=str(settings().run),
        git_revision=output(["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"])
        or None,
        services=states,
        databases=databases,
        tables=tables,
        runs=runs,
        metrics=metrics,
        marts=marts,
        machine=measured,
        channels=part("notices", lambda: notices.channels(report)) or [],
        incidents=part("notices", notices.incidents) or [],
        problems=problems,
        steps=_steps(states or [], prod, tables),
    )


def _prod() -> warehouse.Version | None:
    """The current version of prod; None if there is none, or if it is damaged."""
    try:
        return warehouse.current("prod")
    except LocError:  # the part on the warehouse reports it
        return None


def _space(report: Callable[[Problem], None]) -> None:
    from proto_loc.doctor.clone import space

    for finding in space():
        if finding.status != "ok":
            report(Problem("machine", finding.status, finding.what, finding.why, finding.fix))


def _runs() -> list[Run] | None:
    from proto_loc.dagster.client import last_runs

    answers = last_runs(RUNS)
    return None if answers is None else [_run(answer) for answer in answers]


def last_runs() -> list[Run]:
    """The run of each job that ended last, newest first, also while Dagster is down.

    Raises:
        LocError: Dagster's storage cannot be read.
    """
    from proto_loc.dagster.run_totals import last_ended

    return [_run(answer) for answer in last_ended()]


def _run(answer: dict) -> Run:
    """A run as Dagster describes it."""
    from proto_loc.dagster.run_totals import job_name

    tags = answer["tags"]
    version = tags.get("prod version", "")
    start, end = (_time(answer[name]) for name in ("startTime", "endTime"))
    return Run(
        id=answer["runId"],
        job=job_name(answer["jobName"]),
        status=answer["status"],
        who=next((tags[key] for key in WHO if key in tags), "Dagster's page"),
        started_at=start,
        ended_at=end,
        version=int(version) if version.isdecimal() else None,
        failed_checks=tags.get("failed checks", "").split(),
    )


WHO = ("who", "dagster/schedule_name", "dagster/sensor_name", "dagster/backfill")
"""Tags of a run that say who asked for it, the most exact one first."""


def _time(seconds: float | None) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None


def _steps(
    states: list[Service], prod: warehouse.Version | None, tables: list[Table] | None
) -> list[str]:
    if tables is None or any(state.name == "first-load" and state.pid for state in states):
        return []
    if not tables and fork_file.first_step():
        return ["./loc source add NAME --csv 'FILES'"]
    is_empty = not (prod and prod.tables)
    return ["./loc refresh"] if is_empty or any(table.unpublished for table in tables) else []
