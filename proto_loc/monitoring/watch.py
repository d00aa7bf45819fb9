"""Looks at the platform once: finds incidents, and delivers the notices of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from proto_loc import fork_file, services
from proto_loc.errors import LocError
from proto_loc.home.schema import Run, Service, Status
from proto_loc.home.status import collect, last_runs
from proto_loc.notify import delivery, incidents, messages, outbox
from proto_loc.notify.incidents import Fault, Incident, Look
from proto_loc.settings import origin, settings

ENDED = ("SUCCESS", "FAILURE")
"""States of a run that tell whether its job works; a cancelled one does not."""


@dataclass(frozen=True)
class Looked:
    """What a look did."""

    opened: list[Incident]
    recovered: list[Incident]
    outbox: outbox.Outbox


def state_to_judge() -> Status:
    """The state of the platform with the last ended run of each job, not only the newest runs.

    So no failure is missed, however many runs came after it, and while nobody looked.
    """
    state = collect()
    try:
        return replace(state, runs=last_runs())
    except LocError:  # the file is damaged: Dagster may still answer, or a problem says why
        return state


def watch(look: Callable[[], Status] = state_to_judge) -> Looked:
    """Look at the platform, note incidents and recoveries, and deliver what waits.

    Without a channel in fork.toml, what was open is forgotten: nobody would hear of its end.

    Args:
        look: reads the state.

    Raises:
        UsageError: fork.toml is not usable.
        OSError: the state cannot be written.
    """
    fork = fork_file.read()
    with outbox.opened() as box:
        if not fork.channels:
            outbox.forget()
            return Looked([], [], outbox.Outbox())
        box.keep_only(fork.channels)
        state = look()
        box.incidents, opened, recovered = incidents.compare(box.incidents, judge(state))
        changes = [(messages.opening, incident) for incident in opened]
        changes += [(messages.recovery, incident) for incident in recovered]
        for make, incident in changes:
            message = make(incident, state.name, state.at, link(incident))
            for channel in fork.channels:
                if incident.event in channel.events:
                    box.box(channel).add(message)
        outbox.write(box)
        pairs = [(channel, box.box(channel)) for channel in fork.channels]
        delivery.deliver(pairs, lambda: outbox.write(box))
        outbox.write(box)
    return Looked(opened, recovered, box)


def greeting(platform: str) -> messages.Message:
    """A notice that tests a channel."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    what = "This channel gets the notices of this platform"
    return messages.Message(platform, "test", "test", "test", what, at, at, _home())


def link(incident: Incident) -> str:
    """The page that shows an incident: that of the run, or the home page."""
    if incident.run:
        return f"{origin(settings().port('dagster'))}/runs/{incident.run}"
    return _home()


def _home() -> str:
    return f"{origin(settings().port(services.find('home').port))}/"


def judge(state: Status) -> Look:
    """The faults in a state; a part that cannot be read is not judged."""
    judged: set[str] = set()
    faults: list[Fault] = []
    if state.services:
        judged.add("service:")
        faults += filter(None, map(_of_service, state.services))
    if state.tables is not None:
        judged.add("stale:")
        faults += [
            Fault(f"stale:{name}", "stale", f"{name}: {table.stale}")
            for table in state.tables
            if table.stale
            for name in [f"{table.source}.{table.table}"]
        ]
    for run in _last_runs(state.runs or []):
        judged |= {f"refresh:{run.job}", f"audit:{run.job}"} if run.status == "SUCCESS" else set()
        if run.status == "FAILURE":
            faults.append(_of_run(run))
    return Look(state.at, tuple(faults), frozenset(judged))


def _of_service(service: Service) -> Fault | None:
    """The fault of a service. Its log and its own words may hold data, so they are not quoted."""
    key, name = f"service:{service.name}", service.name
    if service.verdict == "failed":
        how = f"exit code {service.exit_code}" if not service.pid else "it runs, but cannot work"
        what = f"{name} has failed ({how}, {service.restarts} restarts): ./loc status"
        return Fault(key, "service", what, looks=incidents.LOOKS)
    if service.problem:
        what = f"{name} does not serve what it should: ./loc status"
        return Fault(key, "service", what, looks=incidents.LOOKS)
    return None


def _last_runs(runs: list[Run]) -> Iterator[Run]:
    """The newest ended run of each job."""
    jobs: set[str] = set()
    for run in runs:
        if run.status in ENDED and run.job not in jobs:
            jobs.add(run.job)
            yield run


def _of_run(run: Run) -> Fault:
    """The fault of a failed run. Its error may hold values of the data, so it is not quoted."""
    if run.failed_checks:
        tests = ", ".join(run.failed_checks)
        what = f"{run.job}: {tests} failed, and nothing was published (run {run.id[:8]})"
        return Fault(f"audit:{run.job}", "audit", what, run.id)
    return Fault(f"refresh:{run.job}", "refresh", f"{run.job} failed (run {run.id[:8]})", run.id)
