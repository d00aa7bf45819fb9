"""The steps of ``loc validate``, in their order, and the run of them."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from proto_loc.doctor import look
from proto_loc.doctor.finding import Finding
from proto_loc.errors import LocError, UsageError, of_source
from proto_loc.validate import access, ai, doors, pages, pipeline, stack
from proto_loc.validate.proof import Outcome, Proof, Step, fail, verdict_of

Watch = Callable[[Outcome, str], None]
"""Called with a step at its start, with what it does, and at its end."""


def _doctor(name: str) -> Step:
    def step(_: Proof) -> Iterator[Finding]:
        yield from (finding for _, finding in look([name]))

    return step


STEPS: dict[str, tuple[str, Step]] = {
    "machine": ("The machine and the clone are in order", stack.machine),
    "up": ("The services start", stack.up),
    "processes": ("Every process is ready, and its own", stack.processes),
    "ingest": ("Data is loaded through Dagster", pipeline.ingest),
    "audit": ("It is built, audited and published", pipeline.audit),
    "fresh": ("It is fresh", pipeline.fresh),
    "figures": ("The recorded figures are those of the marts", pipeline.computed),
    "dashboards": ("Superset's dashboards show them", doors.dashboards),
    "datasets": ("Superset's metrics agree", doors.datasets),
    "cube": ("Cube agrees", doors.cube),
    "notebook": ("A notebook agrees", doors.notebook),
    "ask": ("The AI agrees", ai.asked),
    "pages": ("The pages open in a browser", pages.pictures),
    "access": ("Nobody gets in without the right secret", access.matrix),
    "listeners": ("Nothing listens off this machine", _doctor("listeners")),
    "secrets": ("The secrets are private", _doctor("secrets")),
    "versions": ("What runs has the golden versions", stack.versions_running),
}
"""By name: what is proved, and the step."""
NEEDED = ("up", "processes")
"""Steps without which the later ones cannot be run: if one fails, they are left out."""
ALWAYS = (*NEEDED, "figures")
"""Steps that find out what the others need."""


def chosen(names: Iterable[str]) -> dict[str, tuple[str, Step]]:
    """The steps with these names and those that they need, in order; all without a name.

    Raises:
        UsageError: there is no such step.
    """
    names = set(names)
    if unknown := names - STEPS.keys():
        raise UsageError(
            f"There is no step {min(unknown)!r}.", "", f"Choose from: {', '.join(STEPS)}."
        )
    return {name: step for name, step in STEPS.items() if not names or name in {*names, *ALWAYS}}


def run(
    proof: Proof,
    steps: Mapping[str, tuple[str, Step]],
    watch: Watch,
    stopped: threading.Event | None = None,
) -> None:
    """Run steps and note their outcomes; the failure of one does not stop the others.

    Args:
        stopped: no further step begins once it is set.
    """
    for name, (title, step) in steps.items():
        if stopped and stopped.is_set():
            return
        outcome = Outcome(name, title)
        proof.outcomes.append(outcome)
        proof.say = lambda text, outcome=outcome: watch(outcome, text)
        watch(outcome, "")
        start = time.perf_counter()
        outcome.findings = _findings(proof, step)
        outcome.seconds = time.perf_counter() - start
        outcome.verdict = verdict_of(outcome.findings)
        watch(outcome, "")
        if name in NEEDED and outcome.verdict == "failed" and not proof.ready:
            return


def _findings(proof: Proof, step: Step) -> list[Finding]:
    """The findings of a step; an error is one of them."""
    findings: list[Finding] = []
    try:
        for finding in step(proof):
            findings.append(finding)
    except LocError as error:
        findings.append(fail(error.what, error.why, error.fix))
    except Exception as error:  # whatever a damaged file or a fork's own code raises
        known = of_source(error) or LocError(
            f"{type(error).__name__}: {error}",
            "A service answered as no release of it does, or this is a defect of proto_loc.",
            "./loc status; `./loc --debug validate` shows the traceback.",
        )
        findings.append(fail(known.what, known.why, known.fix))
    return findings
