"""Keeps what a soak has really run, over any number of runs, in ``.run/soak/``.

A soak is a folder with ``soak.json`` (its runs) and the samples of each run. The file is written
again every minute, so that a run that is killed counts as far as it came.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from proto_loc import files
from proto_loc.errors import LocError
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.setup.programs import output
from proto_loc.soak.load import KEPT, Stretch

STEP = 1.02
"""How much longer each step of a histogram is than the one before."""


@dataclass
class Run:
    """One run of a soak, or as much of it as there was."""

    started_at: str
    revision: str | None
    seconds: float = 0
    """Time under load."""
    readers: int = 0
    reads: dict[str, int] = field(default_factory=dict)
    publishes: int = 0
    errors: int = 0
    half_built: int = 0
    locks: int = 0
    restarted: int = 0
    validations: int = 0
    failed_validations: int = 0
    stale_max: dict[str, float] = field(default_factory=dict)
    """By kind of reader: the oldest answer in seconds."""
    latencies: dict[str, list[float]] = field(default_factory=dict)
    """By kind of reader: median, 95th percentile and maximum in seconds."""
    histograms: dict[str, dict[str, int]] = field(default_factory=dict)
    """By kind of reader: how many answers took so many steps of :data:`STEP`, see :func:`_step`."""
    messages: list[str] = field(default_factory=list)
    """The first messages of what went wrong."""

    @property
    def passed(self) -> bool:
        return not (
            self.errors
            or self.half_built
            or self.locks
            or self.restarted
            or self.failed_validations
        )


@dataclass
class Soak:
    """A soak with its runs."""

    folder: Path
    runs: list[Run] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(run.seconds for run in self.runs)

    @property
    def samples(self) -> Path:
        """The file with the samples of the last run, one JSON object a line."""
        return self.folder / f"samples-{len(self.runs):03}.jsonl"

    def left(self, hours: float) -> float:
        """The seconds that it lacks of so many hours, to the millisecond."""
        return max(0.0, round(hours * 3600 - self.seconds, 3))

    def begin(self, readers: int) -> Run:
        """Add a run."""
        revision = output(["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"])
        started = datetime.now(UTC).isoformat(timespec="seconds")
        self.runs.append(Run(started, revision or None, readers=readers))
        self.samples.write_text("")
        return self.runs[-1]

    def save(self) -> None:
        """Write the runs.

        Raises:
            OSError: the folder cannot be written.
        """
        content = {"schema": 1, "runs": [asdict(run) for run in self.runs]}
        files.replace(self.folder / "soak.json", json.dumps(content, indent=2), private=True)

    def add_samples(self, samples: list[dict]) -> None:
        """Append samples of the last run to its file."""
        with self.samples.open("a") as file:
            file.writelines(json.dumps(sample) + "\n" for sample in samples)


def find(hours: float, *, new: bool) -> Soak:
    """The last soak, if it has run for less than so many hours, else a new one.

    Raises:
        LocError: the file of the last one is damaged.
    """
    soak = None if new else last()
    if soak and soak.left(hours):
        return soak
    return Soak(private_folder(_home() / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")))


def last() -> Soak | None:
    """The last soak; None if there is none.

    Raises:
        LocError: its file is damaged.
    """
    known = sorted(path for path in _home().iterdir() if (path / "soak.json").exists())
    return read(known[-1]) if known else None


def _home() -> Path:
    return private_folder(settings().run / "soak")


def read(folder: Path) -> Soak:
    """Read a soak.

    Raises:
        LocError: its file is damaged.
    """
    file = folder / "soak.json"
    try:
        return Soak(folder, [Run(**run) for run in json.loads(file.read_text())["runs"]])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LocError(
            f"{file} cannot be read.",
            f"{type(error).__name__}: {error}.",
            "`loc soak --new` begins another one.",
        ) from error


def _step(seconds: float) -> str:
    """The step of a histogram that an answer belongs to; text, as it is a key in JSON."""
    return str(round(math.log(max(seconds, 0.001), STEP)))


def _share(counts: Mapping[str, int], share: float) -> float:
    """The seconds below which this share of the answers is, to 1 %."""
    rest = share * sum(counts.values())
    for step in sorted(map(int, counts)):
        rest -= counts[str(step)]
        if rest < 0:
            break
    return STEP**step


def note(run: Run, stretch: Stretch, before: Run) -> None:
    """Set a run to what it was before a stretch and what the stretch has added so far."""
    run.seconds = before.seconds + stretch.seconds
    kinds = before.reads.keys() | stretch.reads.keys()
    run.reads = {
        kind: before.reads.get(kind, 0) + stretch.reads.get(kind, 0) for kind in sorted(kinds)
    }
    run.publishes = before.publishes + stretch.publishes
    run.errors = before.errors + len(stretch.errors)
    run.half_built = before.half_built + len(stretch.half_built)
    run.locks = before.locks + len(stretch.locks)
    run.restarted = before.restarted + len(stretch.restarted)
    run.stale_max = dict(before.stale_max)
    for kind, ages in list(stretch.stale.items()):
        run.stale_max[kind] = round(max(run.stale_max.get(kind, 0), *ages), 3)
    run.latencies, run.histograms = dict(before.latencies), dict(before.histograms)
    for kind, values in list(stretch.latencies.items()):  # readers add to it
        counts = Counter(before.histograms.get(kind)) + Counter(map(_step, values))
        slowest = max(before.latencies[kind][-1] if kind in before.latencies else 0, *values)
        shares = [min(_share(counts, share), slowest) for share in (0.5, 0.95)]
        run.histograms[kind] = dict(counts)
        run.latencies[kind] = [round(value, 3) for value in (*shares, slowest)]
    restarts = [f"{name} has restarted" for name in stretch.restarted]
    messages = [*stretch.errors, *stretch.half_built, *stretch.locks, *restarts]
    run.messages = [*before.messages, *messages][:KEPT]
