"""What a run of ``loc validate`` knows and collects: its steps, figures and pictures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from proto_loc import warehouse
from proto_loc.doctor.finding import Finding
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.validate.figures import Expected

PASSED, WARNED, FAILED, SKIPPED, RUNNING = "passed", "warned", "failed", "not checked", "running"
VERDICTS = {"fail": FAILED, "warn": WARNED, "ok": PASSED, "skip": SKIPPED}
"""The verdict on a step by the status of a finding, the most important one first."""


@dataclass
class Outcome:
    """The result of a step."""

    name: str
    title: str
    verdict: str = RUNNING
    """``passed``, ``warned``, ``failed`` or ``not checked``."""
    seconds: float = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """The most important finding, or the last one where all is well."""
        for status in ("fail", "warn"):
            if first := next((row for row in self.findings if row.status == status), None):
                return first.what
        for status in ("ok", "skip"):
            if several := [row for row in self.findings if row.status == status]:
                return several[-1].what
        return ""


@dataclass(frozen=True)
class Picture:
    """A screenshot of a page."""

    title: str
    file: str
    """Its name in the folder of the report."""


@dataclass
class Proof:
    """One run of ``loc validate``, which its steps read and add to."""

    folder: Path
    """Where the report and the pictures go."""
    publish: bool = True
    """Whether to load and publish; if not, what is published is checked as it is."""
    timeout: float = 600
    """Seconds to wait until a stack that is started here is ready."""
    models: list[SemanticModel] = field(default_factory=list)
    """The semantic models of the published version."""
    expected: Expected | None = None
    """The figures of the warehouse; None before they are read, or without data."""
    figures: dict[str, dict[str, object]] = field(default_factory=dict)
    """By metric and tool: the total figure."""
    access: dict[str, dict[str, str]] = field(default_factory=dict)
    """By caller and service: what the service answered."""
    pictures: list[Picture] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    ready: set[str] = field(default_factory=set)
    """The services that are ready."""
    started: bool = False
    """Whether this run has started the stack."""
    before: int | None = None
    """The version of prod before this run started the stack, whose first load may publish one."""
    say: Callable[[str], None] = lambda text: None
    """Called with what a step does at the moment."""

    @property
    def prod(self) -> warehouse.Version:
        return warehouse.current("prod")

    def record(self, tool: str, totals: dict[str, object]) -> None:
        """Note the total figures that a tool shows, for the report."""
        for metric, figure in totals.items():
            self.figures.setdefault(metric, {})[tool] = figure

    @property
    def failed(self) -> bool:
        return any(outcome.verdict == FAILED for outcome in self.outcomes)


Step = Callable[[Proof], Iterator[Finding]]


def skip(what: str, why: str = "", fix: str = "") -> Finding:
    """A finding that says what was not checked, and why."""
    return Finding("skip", what, why, fix)


def fail(what: str, why: str = "", fix: str = "") -> Finding:
    """A finding that fails the step."""
    return Finding("fail", what, why, fix)


def verdict_of(findings: list[Finding]) -> str:
    """The verdict on a step with these findings; without one, nothing was checked."""
    statuses = {finding.status for finding in findings}
    return next((word for status, word in VERDICTS.items() if status in statuses), SKIPPED)
