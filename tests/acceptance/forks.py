"""A person's clone, and the records of an API."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from clone import Clone

TABLES = ("airlines", "airports", "flights", "planes", "weather")

NOTICES = [
    {
        "notice_id": number,
        "airport": ("EWR", "JFK", "LGA")[number % 3],
        "published_on": f"2013-{1 + number % 12:02}-{1 + number % 28:02}",
        "minutes": 5 * (number % 19),
        "text": f"Notice {number}, with an \N{EM DASH} and a 'quote'",
    }
    for number in range(130)
]
"""The records of the API: delays that the three airports announce."""


@dataclass
class Fork:
    """A person's clone, and the repository that it came from."""

    upstream: Clone
    home: Path
    clone: Clone
    seconds: dict[str, float] = field(default_factory=dict)
    """By command: how long it took."""

    def run(self, *command: str | Path) -> str:
        """Run a command as a person does, and keep its time; return its output."""
        begun = time.monotonic()
        done = self.clone.run(*command)
        self.seconds[" ".join(map(str, command))] = time.monotonic() - begun
        return done.stdout + done.stderr

    def loc(self, *arguments: str | Path) -> str:
        return self.run("./loc", *arguments)
