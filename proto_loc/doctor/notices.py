"""Checks of the channels of notices."""

from collections.abc import Iterator

from proto_loc import credentials, fork_file
from proto_loc.doctor.finding import Finding, ok
from proto_loc.errors import LocError, UsageError
from proto_loc.notify import outbox


def channels() -> Iterator[Finding]:
    """Find channels without a secret, and dead ones."""
    try:
        declared = fork_file.read().channels
    except UsageError:
        return  # the check of the schedules reports fork.toml
    if not declared:
        yield ok("fork.toml declares no channel of notices: docs/monitoring.md shows how")
        return
    boxes = outbox.read()
    for channel in declared:
        box = boxes.box(channel)
        try:
            if channel.kind != "smtp" or channel.user:
                credentials.given(channel.secret)
        except LocError as error:
            yield Finding(
                "fail",
                f"The channel {channel.name} has no secret.",
                f"{error.what} {error.why}",
                error.fix,
                symptom="No notices arrive",
            )
            continue
        if box.is_dead:
            yield Finding(
                "fail",
                f"The channel {channel.name} takes no notices since {box.failing_since};"
                f" {len(box.waiting)} wait.",
                box.why,
                f"./loc notify test {channel.name} tries it now",
                symptom="No notices arrive any more",
            )
        elif box.dropped:
            yield Finding(
                "warn",
                f"{box.dropped} notices for the channel {channel.name} were dropped.",
                f"It took none for so long that more than {outbox.ROOM} waited.",
                "See `loc status --json` for the open incidents; remove .run/notify/state.json to"
                " forget the number",
                symptom="Notices of a time are missing",
            )
        else:
            yield ok(f"{channel.name} ({channel.kind}): {box.sent} sent, {len(box.waiting)} wait")
