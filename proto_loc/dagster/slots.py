"""Mends two faults of Dagster's pools, by which a run waits for ever, or keeps a processor busy."""

import time

from proto_loc.dagster.private import InstanceConcurrencyContext, SqlEventLogStorage


def give_out(storage: SqlEventLogStorage) -> None:
    """Give each free slot to the step that has waited longest.

    Dagster does so when a slot is freed. If that happens between a step's look for a free slot and
    its entry into the queue, nobody gives it the slot, and its run waits until another one uses the
    pool. A slot that is given out twice does no harm: only one step can take it.
    """
    for pool in storage.get_concurrency_keys():
        if storage.has_unassigned_slots(pool):
            storage.assign_pending_steps([pool])


def sleep_while_waiting() -> None:
    """Let a run that waits for a slot sleep until it looks again.

    Dagster computes that time as at most zero, and the run asks all the time instead.
    """

    def interval(self: InstanceConcurrencyContext) -> float:
        ready = [at - time.time() for at in self._pending_timeouts.values()]
        return max(0.0, min(ready, default=0.0)) if self._pending_claims else 0.0

    InstanceConcurrencyContext.interval_to_next_pending_claim_check = interval
