"""Runs dbt once on a session's file, and reports its progress and results."""

import json
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from proto_loc import warehouse
from proto_loc.dbt import program, relations
from proto_loc.dbt.failures import failure
from proto_loc.dbt.nodes import names_test
from proto_loc.errors import disk_is_full
from proto_loc.warehouse.errors import block_is_damaged, first_line, no_space

Report = Callable[[str, int, int], None]
"""Called with the current step, the number of nodes done, and the number of all nodes."""


@dataclass
class Run:
    """Results of one run of dbt, by node."""

    results: list[dict] = field(default_factory=list)
    """From dbt's run_results.json: ``unique_id``, ``status``, ``message``, ``failures`` and
    ``execution_time`` (seconds).
    """
    invocation: str = ""
    """dbt's id of the run, as in its log and artifacts; empty if dbt wrote no results."""

    @property
    def nodes(self) -> set[str]:
        """Nodes that dbt ran, whatever the result."""
        return {result["unique_id"] for result in self.results}

    @property
    def checks(self) -> dict[str, int]:
        """Tests by status: ``pass``, ``warn``, ``fail``, ``error``."""
        counts: dict[str, int] = {}
        for result in self.results:
            if names_test(result["unique_id"]):
                counts[result["status"]] = counts.get(result["status"], 0) + 1
        return counts

    @property
    def built(self) -> set[str]:
        """Models and seeds that were built."""
        return {r["unique_id"] for r in self.results if r["status"] == "success"}


def execute(arguments: Sequence[str], session: warehouse.Session, report: Report | None) -> Run:
    """Run dbt once on a session's file and read its results.

    Raises:
        BuildFailed: dbt ended with an error.
        OSError: the disk is full.
    """
    results = program.target_path("prod") / "run_results.json"
    results.unlink(missing_ok=True)
    command = [*program.BUILDER, *arguments, "--target", "prod"]
    options = {
        "cwd": session.folder,
        "env": program.environment("prod", session=session),
    }
    if report is None:
        code, lines = session.run(command, **options).returncode, []
    else:
        at = len(program.BUILDER)
        command[at:at] = ["--log-format", "json", "--no-use-colors"]
        code, lines = _watch(command, session, report, options)
    answer = json.loads(results.read_text()) if results.exists() else {}
    run = Run(answer.get("results", []), answer.get("metadata", {}).get("invocation_id", ""))
    if code != 0:
        messages = [result["message"] or "" for result in run.results]
        if disk_is_full([*lines, *messages]):
            raise no_space(session.path, program.target_path("prod"))  # the session explains it
        message = next((text for text in (*lines, *messages) if block_is_damaged(text)), None)
        if message and session.base:
            raise session.base.damaged(
                first_line(next(filter(block_is_damaged, message.splitlines())))
            )
        _add_rows(session, run)
        failed = failure(run.results, lines)
        failed.results = run.results
        raise failed
    return run


def _add_rows(session: warehouse.Session, run: Run) -> None:
    """Add the first rows that each failed data test found to its result, as ``rows``."""
    failed = [r for r in run.results if r["status"] == "fail" and r.get("compiled_code")]
    if not failed:
        return
    # Without the rows, the failure itself is still reported.
    with suppress(session.engine.error, warehouse.WarehouseError), session.connect() as con:
        for result in failed:
            with suppress(session.engine.error):
                result["rows"] = relations.failing_rows(con, result["compiled_code"])


def _watch(command, session, report, options) -> tuple[int, list[str]]:
    """Run dbt with its JSON log and report each node as it ends.

    Returns:
        The exit code, and the errors of the log.
    """
    errors, done, total = [], 0, 1
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, pass_fds=(session.lock_fd,), **options
    ) as process:
        try:
            for line in process.stdout:
                try:
                    event = json.loads(line)
                    name, data = event["info"]["name"], event["data"]
                except (ValueError, KeyError):
                    errors.append(line.rstrip())
                    continue
                if event["info"]["level"] == "error":
                    errors.append(event["info"]["msg"])
                info = data.get("node_info") or {}
                if name == "LogStartLine":
                    total = max(total, data.get("total", 1))
                # NodeFinished, which would be simpler, is below the log's level.
                elif info and name.startswith("Log") and name.endswith("Result"):
                    done += 1
                    total = max(total, done)
                    report(info.get("node_name", ""), done, total)
        except BaseException:
            # A signal that ends this process need not reach its child.
            process.terminate()
            raise
    report("dbt has ended", total, total)
    return process.returncode, errors
