"""Dagster's history in a backup: runs, their events and logs; nothing counts as running."""

from histories import dagster

from proto_loc.backup import make, restore
from proto_loc.backup.make import Wish
from proto_loc.backup.plan import Terms


def test_runs_in_progress_end_and_free_their_slots(platform, empty, target, monkeypatch):
    """A run whose events say that it succeeded has succeeded; the others are canceled.

    The archive is that of an older Dagster, so its tables are also brought to this release.
    """
    statuses, slots, events = dagster("make")
    assert statuses == "NOT_STARTED STARTED STARTED SUCCESS" and slots and int(events) > 5
    older = make.releases() | {"dagster": "1.13.0"}
    with monkeypatch.context() as patch:
        patch.setattr(make, "releases", lambda: older)
        make.backup(target, Wish(), who="test")
    empty.use()
    restore.restore(target, Terms())
    assert dagster("look") == ["CANCELED CANCELED SUCCESS SUCCESS", "", events]
