"""Makes a history of Dagster with runs in progress, and looks at one, in a process of its own."""

import os
import subprocess
import sys

from proto_loc.settings import ROOT

PROGRAM = """
import sys
import dagster as dg
from dagster import DagsterInstance, DagsterEventType
from dagster._core.events import DagsterEvent
from proto_loc.dagster import instance
instance.begin()

@dg.op(pool="prod")
def load(): print("a line of the log")

@dg.job
def refresh(): load()

with DagsterInstance.get() as dagster:
    if sys.argv[1] == "make":
        assert refresh.execute_in_process(instance=dagster).success
        for status in ("NOT_STARTED", "STARTED", "STARTED"):
            run = dagster.create_run_for_job(refresh, status=dg.DagsterRunStatus[status])
        dagster.event_log_storage.set_concurrency_slots("prod", 1)
        dagster.event_log_storage.claim_concurrency_slot("prod", run.run_id, "load")
        event = DagsterEvent(DagsterEventType.RUN_SUCCESS.value, "refresh")
        dagster.report_dagster_event(event, run.run_id)
        dagster.run_storage.handle_run_event(
            run.run_id, DagsterEvent(DagsterEventType.RUN_START.value, "refresh"))
    print(*sorted(run.status.value for run in dagster.get_runs()))
    print(*dagster.event_log_storage.get_concurrency_info("prod").claimed_slots)
    first = min(dagster.get_run_records(), key=lambda record: record.storage_id)
    print(len(dagster.all_logs(first.dagster_run.run_id)))
"""


def dagster(step: str) -> list[str]:
    """Return the statuses of all runs, the slots that are taken, the number of events of one."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, step],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-3:]
