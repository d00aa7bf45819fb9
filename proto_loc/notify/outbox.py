"""Keeps open incidents and waiting notices in a file, so that they survive a restart."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from proto_loc import files
from proto_loc.fork_file import Channel
from proto_loc.notify.incidents import Incident
from proto_loc.notify.messages import Message
from proto_loc.settings import settings

ROOM = 100
"""Notices that may wait for a channel; beyond, the oldest is dropped and counted."""
DEAD = 3
"""Failed rounds in a row after which a channel counts as dead; a round tries several times."""
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 3600.0
"""Seconds between two rounds: the pause doubles with each failed round."""


@dataclass
class Box:
    """What waits for a channel, and how its deliveries went."""

    waiting: list[Message] = field(default_factory=list)
    sent: int = 0
    dropped: int = 0
    """Notices that were dropped because :data:`ROOM` others waited."""
    failures: int = 0
    """Failed rounds since the last delivery."""
    failing_since: str = ""
    why: str = ""
    """Why the last round failed."""
    next_round: float = 0.0
    """Time of the next round, in seconds since the epoch."""

    @property
    def is_dead(self) -> bool:
        return self.failures >= DEAD

    def add(self, message: Message) -> None:
        """Let a notice wait."""
        self.waiting.append(message)
        self.dropped += max(0, len(self.waiting) - ROOM)
        del self.waiting[:-ROOM]

    def note_success(self) -> None:
        """Count the delivery of the first waiting notice."""
        self.waiting.pop(0)
        self.sent += 1
        self.failures, self.failing_since, self.why, self.next_round = 0, "", "", 0.0

    def note_failure(self, why: str, at: str, seconds: float) -> None:
        """Count a failed round at a time (ISO 8601, and seconds since the epoch)."""
        self.failures += 1
        self.failing_since = self.failing_since or at
        self.why = why
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(20, self.failures - 1))
        self.next_round = seconds + pause


@dataclass
class Outbox:
    """The content of the file."""

    incidents: list[Incident] = field(default_factory=list)
    boxes: dict[str, Box] = field(default_factory=dict)

    def box(self, channel: Channel) -> Box:
        return self.boxes.setdefault(channel.name, Box())

    def keep_only(self, channels: tuple[Channel, ...]) -> None:
        """Forget channels that fork.toml no longer has."""
        names = {channel.name for channel in channels}
        self.boxes = {name: box for name, box in self.boxes.items() if name in names}


def path() -> Path:
    """``.run/notify/state.json``"""
    return settings().run / "notify" / "state.json"


def read() -> Outbox:
    """Read the file; without one, nothing is open and nothing waits. A damaged one is put aside."""
    file = path()
    try:
        content = json.loads(file.read_text())
        incidents = [Incident(**record) for record in content["incidents"]]
        boxes = {
            name: Box(**record | {"waiting": [Message(**row) for row in record["waiting"]]})
            for name, record in content["boxes"].items()
        }
    except FileNotFoundError:
        return Outbox()
    except (ValueError, TypeError, KeyError):
        with suppress(OSError):
            file.replace(file.with_suffix(".damaged"))
        return Outbox()
    return Outbox(incidents, boxes)


def write(outbox: Outbox) -> None:
    """Replace the file.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    content = {
        "incidents": [incident.record() for incident in outbox.incidents],
        "boxes": {name: asdict(box) for name, box in outbox.boxes.items()},
    }
    files.replace(path(), json.dumps(content, indent=1), private=True)


def forget() -> None:
    """Remove the file: nothing is open, and nothing waits.

    Raises:
        OSError: the folder cannot be written.
    """
    path().unlink(missing_ok=True)


@contextmanager
def opened() -> Iterator[Outbox]:
    """Hold the file for the block, which may call :func:`write`; another process waits."""
    with files.locked(path().with_suffix(".lock")):
        yield read()
