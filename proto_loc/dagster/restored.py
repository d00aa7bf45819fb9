"""Ends runs that count as running although no process of them is left.

Run as ``python -m proto_loc.dagster.restored [upgrade]`` with the data folder in ``LOC_DATA``,
while nothing else uses it: it ends the runs that were in progress when a restored history was
backed up. Their processes are on another machine or gone, so they would count as running for ever
and keep the slots of their pools. With ``killed ID...`` it ends these runs only.
"""

import os
import sys

import dagster as dg

from proto_loc.dagster import instance

MESSAGE = "It was in progress when the backup was made from which this history was restored."
KILLED = "Its process was killed, and `loc doctor --fix` has ended it."
ENDS = {
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
}
OPEN = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.MANAGED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def end_runs(dagster: dg.DagsterInstance, ids: list[str] | None = None) -> int:
    """End every run that is in progress, or those with these ids; return their number.

    A run whose events say how it ended gets that end: the list of runs is copied before the events.
    """
    runs = dagster.get_runs(filters=dg.RunsFilter(run_ids=ids, statuses=OPEN))
    for run in runs:
        events = [
            record.event_log_entry.dagster_event
            for record in dagster.get_records_for_run(run.run_id, of_type=ENDS).records
        ]
        if events:
            dagster.run_storage.handle_run_event(run.run_id, events[-1])
        else:
            dagster.report_run_canceled(run, message=KILLED if ids else MESSAGE)
        dagster.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(runs)


def main(arguments: list[str]) -> None:
    os.environ.update(instance.environment())
    instance.prepare()
    with dg.DagsterInstance.get() as dagster:
        if "upgrade" in arguments:
            dagster.upgrade()
        print(end_runs(dagster, arguments[1:] if arguments[:1] == ["killed"] else None))


if __name__ == "__main__":
    main(sys.argv[1:])
