"""Policies of the assets: one writer at a time, retries, and how failures are reported."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from proto_loc import run_id
from proto_loc.dagster.private import DagsterExecutionInterruptedError, EngineEventData
from proto_loc.errors import LocError, of_source, plain
from proto_loc.warehouse import LockTimeout

RETRY = dg.RetryPolicy(
    max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)


def writes(database: str) -> dict:
    """The arguments of an asset that writes a database: one writer at a time, with retries."""
    return {"pool": database, "retry_policy": RETRY}


@contextmanager
def said_plainly(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Turn a :class:`LocError` into a failure of the step, with the same sentences.

    What the block publishes and logs has the run's id (:mod:`proto_loc.run_id`).

    A retry cannot repair a file, a model or a disk, so a lock time-out is the only LocError that is
    retried. :data:`RETRY` retries other exceptions; an exception in a source's code is reported
    with its file and line.
    """
    run_id.join(context.run_id)
    try:
        yield
    except (KeyboardInterrupt, DagsterExecutionInterruptedError) as interrupt:
        # Dagster would retry an interrupted step, so the run would not end.
        raise dg.Failure("The run was asked to end.", allow_retries=False) from interrupt
    except LocError as error:
        raise _failure(error, isinstance(error, LockTimeout)) from error
    except Exception as error:
        if (fault := of_source(error)) is None:
            raise
        raise _failure(fault, True) from error


def _failure(error: LocError, again: bool) -> dg.Failure:
    sentences = {name: text for name in ("what", "why", "fix") if (text := getattr(error, name))}
    about = sentences | {"exit_code": error.exit_code, "kind": type(error).__name__}
    return dg.Failure(str(error), metadata=about, allow_retries=again)


def who(context: dg.AssetExecutionContext) -> str:
    """Return the writer's name for the warehouse's history: the command, or Dagster's run."""
    return context.run.tags.get("who", f"Dagster run {context.run_id[:8]}")


def progress(context: dg.AssetExecutionContext, step: str) -> Callable[[str, int, int], None]:
    """Make a report function whose calls become events of the run."""

    def report(what: str, done: int, total: int) -> None:
        metadata = {"progress": dg.MetadataValue.json([step, what, done, total])}
        context.instance.report_engine_event(
            plain(f"{step}: {what} ({done} of {total})"),
            context.run,
            EngineEventData(metadata=metadata),
            step_key=str(context.op_handle),
        )

    return report
