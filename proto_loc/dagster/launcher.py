"""Run launcher that finds the process of a run again after the code server has restarted."""

import logging
import os
import signal
from contextlib import suppress

import psutil
from dagster import DagsterEventType, DagsterRun, DefaultRunLauncher

from proto_loc.dagster import slots
from proto_loc.dagster.private import CheckRunHealthResult, WorkerStatus

log = logging.getLogger("proto_loc.dagster")


class RunLauncher(DefaultRunLauncher):
    """Dagster's launcher, which also looks for the process that a run has recorded.

    Dagster's own launcher forgets its runs when the code server ends or the machine restarts. Such
    runs would count as running for ever, and keep their slots. So would a run of which a process
    was stopped (SIGSTOP): it is continued. A run that misses its turn gets its slot.
    """

    supports_check_run_worker_health = True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        if process := self._process(run.run_id):
            _continue(process)
            slots.give_out(self._instance.event_log_storage)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process has ended")

    def terminate(self, run_id: str) -> bool:
        if super().terminate(run_id):
            return True
        process = self._process(run_id)  # started by an earlier code server
        if process:
            os.kill(process.pid, signal.SIGINT)
            os.kill(process.pid, signal.SIGCONT)  # one that is stopped gets no other signal
        return process is not None

    def _process(self, run_id: str) -> psutil.Process | None:
        for record in self._instance.get_records_for_run(
            run_id, of_type=DagsterEventType.ENGINE_EVENT
        ).records:
            entry = record.event_log_entry
            pid = (
                entry.dagster_event.engine_event_data.metadata.get("pid")
                if entry.dagster_event
                else None
            )
            if pid is None:
                continue
            try:
                process = psutil.Process(int(pid.value))
                # Another process may have the id by now, for example after a restart.
                if (
                    process.create_time() <= entry.timestamp
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    return process
            except psutil.NoSuchProcess:
                continue
        return None


def _continue(process: psutil.Process) -> None:
    """Continue a process and its descendants, if something has stopped them."""
    with suppress(psutil.Error):
        for member in (process, *process.children(recursive=True)):
            if member.status() == psutil.STATUS_STOPPED:
                log.warning("process %d of a run was stopped, and is continued", member.pid)
                member.resume()
