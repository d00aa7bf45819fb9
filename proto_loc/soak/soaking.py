"""Runs a soak: validations and stretches of load in turn, until the time is over."""

import copy
import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict

from proto_loc import files
from proto_loc.docs import measured
from proto_loc.errors import LocError
from proto_loc.settings import settings
from proto_loc.soak import ledger, readers, slopes
from proto_loc.soak.load import Load, Stretch
from proto_loc.validate import report, steps
from proto_loc.validate.proof import Proof, fail

CYCLE = 15 * 60.0
"""Seconds of load between two validations."""
SAVE_EVERY = 60.0
PAGE, COMMAND = measured.FOLDER / "soak.md", "loc soak"
"""The page of the docs that has the last report, and the command that writes it."""
LEFT_OUT = ("machine", "pages")
"""Steps of `loc validate` that tell nothing new within an hour."""

Say = Callable[[str], None]


def soak(
    hours: float,
    *,
    number: int,
    publish: bool,
    new: bool,
    say: Say,
    begun: Callable[[threading.Event], None],
) -> tuple[ledger.Soak, list[slopes.Slope]]:
    """Run until the soak has so many hours in all, and fit the slopes of this run.

    Args:
        number: how many readers.
        say: called with a line on what happens.
        begun: called before the first stretch with what stops the soak once it is set. From then
            on, KeyboardInterrupt ends it without waiting for what is in flight.

    Raises:
        LocError: the platform cannot be started, or has no figure to watch.
    """
    this = ledger.find(hours, new=new)
    if this.runs:
        say(f"Goes on with {this.folder.name}, which has run for {this.seconds / 3600:.2f} h")
    run, stopped = this.begin(number), threading.Event()
    ready = _validate(run, publish, say, stopped)
    begun(stopped)
    try:
        while (left := this.left(hours)) and not stopped.is_set():
            note = _Notes(this, run, say)
            load = Load(readers.kinds(number, ready), publish=publish, stopped=stopped, note=note)
            note(load.run(min(CYCLE, left)))
            this.save()
            if not stopped.is_set():
                ready = _validate(run, publish, say, stopped)
    except KeyboardInterrupt:
        if not stopped.is_set():
            raise
    this.save()
    return this, _fitted(this)


def _fitted(this: ledger.Soak) -> list[slopes.Slope]:
    """The slopes of the last run of a soak."""
    samples = [json.loads(line) for line in this.samples.read_text().splitlines()]
    own = settings()  # superseded versions and unused files of the lake stay for so long
    return slopes.fit_all(samples, {"data": own.grace, "bin": own.bin_grace})


def last() -> tuple[ledger.Soak, list[slopes.Slope]]:
    """The last soak, with the slopes of its last run.

    Raises:
        LocError: there is none, or its file is damaged.
    """
    this = ledger.last()
    if this is None:
        raise LocError(
            "There is no soak yet.",
            "Only what has really run can be written.",
            "loc soak --minutes 30 --write-docs",
        )
    return this, _fitted(this)


class _Notes:
    """Adds the results of a stretch to its run, and saves them every minute."""

    def __init__(self, this: ledger.Soak, run: ledger.Run, say: Say) -> None:
        self.this, self.run, self.say = this, run, say
        self.before = copy.deepcopy(run)
        self.saved, self.written = time.monotonic(), 0

    def __call__(self, stretch: Stretch) -> None:
        ledger.note(self.run, stretch, self.before)
        samples = stretch.samples[self.written :]
        self.written = len(stretch.samples)
        begun = self.before.seconds
        self.this.add_samples([one | {"at": begun + one["at"]} for one in samples])
        if time.monotonic() > self.saved + SAVE_EVERY:
            self.saved = time.monotonic()
            self.this.save()
            self.say(summary(self.run))


def _validate(run: ledger.Run, publish: bool, say: Say, stopped: threading.Event) -> set[str]:
    """Validate the platform, count it, and return the services that are ready.

    A validation during which the soak is stopped ends after the present step, and does not count.

    Raises:
        LocError: no service is ready; it is the first failed finding.
    """
    proof = Proof(report.new_folder(), publish=publish)
    chosen = {name: step for name, step in steps.STEPS.items() if name not in LEFT_OUT}
    steps.run(proof, chosen, lambda *_: None, stopped)
    if stopped.is_set():
        shutil.rmtree(proof.folder, ignore_errors=True)
        return proof.ready
    page = report.write(proof)
    run.validations += 1
    run.failed_validations += proof.failed
    for outcome in proof.outcomes:
        if outcome.verdict == "failed":
            run.messages.append(f"validate, {outcome.title}: {outcome.summary}")
            say(run.messages[-1])
    if not proof.ready:
        say(f"No service is ready, {page}")
        findings = [row for outcome in proof.outcomes for row in outcome.findings]
        first = next(
            (row for row in findings if row.status == "fail"),
            fail("No service is ready.", f"See {page}", "./loc status"),
        )
        raise LocError(first.what, first.why, first.fix)
    say(f"Validated: {'something failed' if proof.failed else 'all is well'}, {page}")
    return proof.ready


def summary(run: ledger.Run) -> str:
    """One line on a run so far."""
    wrong = f"{run.errors} errors, {run.locks} lock messages, {run.half_built} half-built figures"
    oldest = max(run.stale_max.values(), default=0.0)
    return (
        f"{run.seconds / 60:.1f} min: {sum(run.reads.values()):,} answers to {run.readers} readers,"
        f" {run.publishes} publishes, {wrong}, oldest answer {oldest:.2f} s stale"
    )


def content(this: ledger.Soak, fitted: list[slopes.Slope]) -> dict:
    """The report of a soak as plain data."""
    return {
        "schema": 1,
        "folder": str(this.folder),
        "hours": round(this.seconds / 3600, 3),
        "passed": passed(this, fitted),
        "runs": [asdict(run) for run in this.runs],
        "slopes": [asdict(slope) for slope in fitted],
        "leaks": sorted({slope.process for slope in fitted if slope.verdict == slopes.LEAKS}),
    }


def passed(this: ledger.Soak, fitted: list[slopes.Slope]) -> bool:
    """Whether nothing went wrong in any run, and nothing leaks."""
    return all(run.passed for run in this.runs) and not any(
        slope.verdict == slopes.LEAKS for slope in fitted
    )


def page(this: ledger.Soak, fitted: list[slopes.Slope]) -> str:
    """The report of a soak as Markdown."""
    verdict = "passed" if passed(this, fitted) else "failed"
    lines = [f"# Soak of {this.seconds / 3600:.2f} hours: {verdict}", ""]
    lines += [
        "| run | revision | minutes | answers | publishes | errors | locks | half-built | restarts"
        " | validations (failed) | oldest answer |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in this.runs:
        oldest = max(run.stale_max.values(), default=0.0)
        lines.append(
            f"| {run.started_at} | {run.revision} | {run.seconds / 60:.1f} |"
            f" {sum(run.reads.values()):,} | {run.publishes} | {run.errors} | {run.locks} |"
            f" {run.half_built} | {run.restarted} | {run.validations} ({run.failed_validations}) |"
            f" {oldest:.2f} s |"
        )
    last = this.runs[-1]
    lines += [
        "",
        "Of the last run:",
        "",
        "| reader | answers | median | 95 % | slowest | oldest answer |",
        "|---" * 6 + "|",
    ]
    for kind, (middle, high, slowest) in sorted(last.latencies.items()):
        lines.append(
            f"| {kind} | {last.reads.get(kind, 0):,} | {middle:.2f} s | {high:.2f} s |"
            f" {slowest:.2f} s | {last.stale_max.get(kind, 0.0):.2f} s |"
        )
    lines += [
        "",
        "| process | measure | first | last | an hour | tau | verdict |",
        "|---" * 7 + "|",
    ]
    for slope in fitted:
        first, last_value, hourly = (
            _shown(slope.measure, value) for value in (slope.first, slope.last, slope.hourly)
        )
        lines.append(
            f"| {slope.process} | {slope.measure} | {first} | {last_value} | {hourly} |"
            f" {slope.tau:z.2f} | {slope.verdict} |"
        )
    messages = [message for run in this.runs for message in run.messages]
    lines += ["", *(f"- {message}" for message in messages)] if messages else []
    return "\n".join(lines) + "\n"


def _shown(measure: str, value: float) -> str:
    if measure in ("memory", "data", "bin", "run"):
        return f"{value / 2**20:z,.1f} MiB"
    return f"{value:z,.3f} s" if measure == "latency" else f"{value:z,.1f}"


def write(this: ledger.Soak, fitted: list[slopes.Slope]) -> str:
    """Write the report into the soak's folder, and return the path of its page.

    Raises:
        OSError: the folder cannot be written.
    """
    data = json.dumps(content(this, fitted), indent=2) + "\n"
    files.replace(this.folder / "report.json", data, private=True)
    files.replace(this.folder / "report.md", page(this, fitted), private=True)
    return str(this.folder / "report.md")


def check_docs() -> None:
    """Make sure that the page of the docs has a place for a report.

    Raises:
        LocError: it has none.
    """
    measured.around(PAGE, COMMAND)


def write_docs(this: ledger.Soak, fitted: list[slopes.Slope]) -> None:
    """Write the report into the page of the docs: its hours are those that were really run.

    Raises:
        LocError: the page has no place for it.
    """
    title, _, body = page(this, fitted).partition("\n")
    measured.write(PAGE, COMMAND, f"**{title.removeprefix('# ')}**\n{body}")
