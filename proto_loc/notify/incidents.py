"""Incidents: what is wrong with the platform, from its first sight to its recovery."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

LOOKS = 2
"""Looks in a row that must show a fault of a service: it may be restarting."""


@dataclass(frozen=True)
class Fault:
    """Something that is wrong at one look; no text of it has data or a secret."""

    key: str
    """What it is the fault of, such as ``service:cube``."""
    event: str
    """One of :data:`proto_loc.fork_file.EVENTS`."""
    what: str
    """One sentence, made of names, numbers and times only."""
    run: str = ""
    """The id of Dagster's run that failed."""
    looks: int = 1
    """Looks in a row that must show it before it is an incident."""


@dataclass(frozen=True)
class Incident:
    """A fault with its time."""

    key: str
    event: str
    what: str
    run: str
    since: str
    """Time of the first look that showed it, UTC, ISO 8601."""
    looks: int
    """Looks in a row that have shown it."""
    due: int
    """Looks after which it is reported."""

    @property
    def is_open(self) -> bool:
        """Whether it has lasted long enough to be reported."""
        return self.looks >= self.due

    def record(self) -> dict:
        """The incident as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Look:
    """The faults that one look at the platform shows."""

    at: str
    faults: tuple[Fault, ...]
    judged: frozenset[str]
    """Keys that could be judged, and starts of keys, which end with a colon."""

    def judges(self, key: str) -> bool:
        """Whether the look could judge a key; if it could not, an incident stays as it was."""
        return key in self.judged or f"{key.partition(':')[0]}:" in self.judged


def compare(
    known: Iterable[Incident], look: Look
) -> tuple[list[Incident], list[Incident], list[Incident]]:
    """Compare a look with the known incidents.

    Returns:
        All incidents after the look, those that it opens, and those from which the platform has
        recovered.
    """
    before = {incident.key: incident for incident in known}
    after: dict[str, Incident] = {}
    for fault in look.faults:
        past = before.get(fault.key)
        after[fault.key] = Incident(
            fault.key,
            fault.event,
            fault.what,
            fault.run,
            past.since if past else look.at,
            past.looks + 1 if past else 1,
            fault.looks,
        )
    gone = [incident for key, incident in before.items() if key not in after]
    after |= {incident.key: incident for incident in gone if not look.judges(incident.key)}
    opened = [
        incident
        for key, incident in after.items()
        if incident.is_open and not (key in before and before[key].is_open)
    ]
    recovered = [incident for incident in gone if look.judges(incident.key) and incident.is_open]
    return list(after.values()), opened, recovered
