"""Notes when each version was published, and judges the figures of an answer by it."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from proto_loc import warehouse
from proto_loc.errors import LocError
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.validate import figures

POLL = 0.02
"""Seconds between two looks at the current version, so that ages are measured to this."""
PATIENCE = 0.5
"""Seconds that an answer waits for the version that it shows to be noted."""
KEPT = 200

Totals = Mapping[str, Mapping[str, object]]
"""By semantic model: the total figure of each metric."""


@dataclass(frozen=True)
class Published:
    """A version of prod, and when it was seen to be the current one."""

    id: int
    at: float
    """Seconds of the monotonic clock."""
    totals: Totals


@dataclass(frozen=True)
class Judgement:
    """What an answer shows."""

    version: int | None
    """The version that has these figures; None if no published version has them."""
    stale: float = 0
    """Seconds for which that version was no longer the current one when the answer was asked."""
    why: str = ""


class Timeline:
    """Context manager that watches the current version of prod in a thread.

    Args:
        models: the semantic models of prod, which stay the same meanwhile.
        inexact: the (model, metric) whose figures are floating-point numbers.
    """

    def __init__(self, models: list[SemanticModel], inexact: set[tuple[str, str]]) -> None:
        self.models = [model for model in models if model.metrics]
        self.inexact = inexact
        self.versions: list[Published] = []
        self._ended = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Timeline":
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def judge(self, model: str, shown: Mapping[str, object], start: float) -> Judgement:
        """Find the newest version that has exactly these figures.

        Args:
            shown: the total of each metric of the model, from one query.
            start: when the query was sent, in seconds of the monotonic clock.
        """
        # The answer may be of a version that was published a moment ago, with the figures of an
        # earlier one.
        self._look()
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                for at in range(len(self.versions) - 1, -1, -1):
                    if self._same(model, shown, self.versions[at]):
                        later = self.versions[at + 1].at if at + 1 < len(self.versions) else start
                        return Judgement(self.versions[at].id, max(0.0, start - later))
                if not self._changed.wait(deadline - time.monotonic()):
                    break
        wrong = self._wrong(model, shown)
        return Judgement(None, why=f"no published version has these figures: {wrong}")

    def _same(self, model: str, shown: Mapping[str, object], version: Published) -> bool:
        return bool(shown) and not self._different(model, shown, version)

    def _different(
        self, model: str, shown: Mapping[str, object], version: Published
    ) -> list[tuple[str, object, object]]:
        """The metrics whose figures are not those of a version, each with both figures."""
        totals = version.totals.get(model, {})
        own = {name: figure for name, figure in shown.items() if figure is not None}
        return [
            (name, own.get(name), totals.get(name))
            for name in sorted(totals.keys() | own.keys())
            if not figures.same(
                totals.get(name), own.get(name), exact=(model, name) not in self.inexact
            )
        ]

    def _wrong(self, model: str, shown: Mapping[str, object]) -> str:
        newest = self.versions[-1]
        return ", ".join(
            f"{name} is {figure}, and version {newest.id} has {recorded}"
            for name, figure, recorded in self._different(model, shown, newest)
        )

    def _watch(self) -> None:
        while not self._ended.wait(POLL):
            self._look()

    def _look(self) -> None:
        with self._changed:  # readers look too
            number = warehouse.store.current_id("prod")
            if number is None or (self.versions and number == self.versions[-1].id):
                return
            seen = time.monotonic()
            try:
                recorded = warehouse.find("prod", number).facts.get("metrics", {})
            except LocError:  # it was replaced and removed meanwhile
                return
            totals = {
                model.name: {
                    name: figure
                    for name, figure in recorded.get(f"{model.schema}.{model.table}", {}).items()
                    if figure is not None
                }
                for model in self.models
            }
            self.versions = [*self.versions[-KEPT:], Published(number, seen, totals)]
            self._changed.notify_all()
