"""A run that waits for the slot of a pool gets it, and meanwhile does nothing."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from proto_loc.dagster import slots
from proto_loc.dagster.private import InstanceConcurrencyContext

A, B = "a" * 8, "b" * 8


@pytest.fixture
def dagster(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    pools = {"pools": {"default_limit": 1, "granularity": "op"}}
    with dg.DagsterInstance.local_temp(str(tmp_path), {"concurrency": pools}) as instance:
        instance.event_log_storage.set_concurrency_slots("raw", 1)
        yield instance


def test_a_step_that_has_missed_its_turn_gets_the_slot(dagster):
    """Bug: a slot was freed just when a step of another run came, which then waited for ever."""
    storage = dagster.event_log_storage

    def waits() -> bool:
        return not storage.claim_concurrency_slot("raw", B, "step").is_claimed

    assert storage.claim_concurrency_slot("raw", A, "step").is_claimed
    assert not storage.has_unassigned_slots("raw")  # what B sees
    storage.free_concurrency_slots_for_run(A)
    storage.add_pending_step("raw", B, "step", should_assign=False)
    assert waits() and waits(), "Dagster has mended it: remove slots.give_out"
    slots.give_out(storage)
    assert not waits()
    slots.give_out(storage)
    assert not storage.claim_concurrency_slot("raw", A, "step").is_claimed, "B has it"


def test_a_run_that_waits_for_a_slot_sleeps(dagster, monkeypatch):
    """Bug: it kept a processor busy, as long as another one wrote."""
    name = "interval_to_next_pending_claim_check"
    monkeypatch.setattr(InstanceConcurrencyContext, name, getattr(InstanceConcurrencyContext, name))
    assert dagster.event_log_storage.claim_concurrency_slot("raw", A, "step").is_claimed
    with InstanceConcurrencyContext(dagster, dg.DagsterRun("refresh", B)) as waiting:
        assert not waiting.claim("raw", "step")
        slots.sleep_while_waiting()
        assert 0.5 < waiting.interval_to_next_pending_claim_check() <= 1
        waiting._pending_timeouts["step"] = 0
        assert waiting.interval_to_next_pending_claim_check() == 0
