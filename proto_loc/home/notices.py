"""Reads the channels of notices, and the open incidents."""

from collections.abc import Callable

from proto_loc import fork_file
from proto_loc.home.schema import Channel, Incident, Problem
from proto_loc.notify import outbox


def channels(report: Callable[[Problem], None] = lambda _: None) -> list[Channel]:
    """The channels of fork.toml; a dead one, and one that has dropped notices, is reported.

    Raises:
        UsageError: fork.toml is not usable.
    """
    declared = fork_file.read().channels
    boxes = outbox.read() if declared else outbox.Outbox()
    rows = []
    for channel in declared:
        box = boxes.box(channel)
        rows.append(
            Channel(
                name=channel.name,
                kind=channel.kind,
                dead=box.is_dead,
                waiting=len(box.waiting),
                sent=box.sent,
                dropped=box.dropped,
                failing_since=box.failing_since,
                why=box.why,
            )
        )
        if box.is_dead:
            report(Problem("notices", "fail", *dead(rows[-1])))
    return rows


def dead(channel: Channel) -> tuple[str, str, str]:
    """Describe a dead channel: what, why, and the next step."""
    return (
        f"The channel {channel.name} takes no notices since {channel.failing_since};"
        f" {channel.waiting} wait.",
        channel.why,
        f"./loc notify test {channel.name}",
    )


def incidents() -> list[Incident]:
    """The open incidents; without a channel nobody looks for them, so there are none.

    Raises:
        UsageError: fork.toml is not usable.
    """
    if not fork_file.read().channels:
        return []
    return [
        Incident(known.key, known.event, known.what, known.since)
        for known in outbox.read().incidents
        if known.is_open
    ]
