"""One stretch of a soak: readers query while a writer publishes, and everything is measured."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial

from proto_loc import warehouse
from proto_loc.dagster import client
from proto_loc.errors import LocError
from proto_loc.refresh.request import Request
from proto_loc.soak import readers
from proto_loc.soak.resources import LOCKED, Logs, Sample, Sampler
from proto_loc.soak.timeline import Timeline
from proto_loc.validate import figures
from proto_loc.validate.pipeline import SOAK, request_of_all
from proto_loc.warehouse import lake

SAMPLE_EVERY = 10.0
"""Seconds between two samples of the processes."""
BETWEEN = 2.0
"""Seconds between two publishes."""
SMALLER = 0.9
"""Share of the sample's rows that every second publish has, so that figures change."""
KEPT = 50
"""Messages of errors that are kept; all are counted."""


@dataclass
class Stretch:
    """The results of a stretch."""

    seconds: float = 0
    reads: Counter[str] = field(default_factory=Counter)
    """By kind of reader: answers."""
    latencies: dict[str, list[float]] = field(default_factory=dict)
    """By kind: seconds of each answer."""
    stale: dict[str, list[float]] = field(default_factory=dict)
    """By kind: age in seconds of each answer whose version had been replaced when it was asked."""
    publishes: int = 0
    publish_seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    half_built: list[str] = field(default_factory=list)
    """Answers whose figures no published version has."""
    locks: list[str] = field(default_factory=list)
    """Messages about locks, in answers and in the services' logs."""
    restarted: list[str] = field(default_factory=list)
    samples: list[dict] = field(default_factory=list)
    """Each with ``at`` in seconds and ``processes``."""

    @property
    def passed(self) -> bool:
        return not (self.errors or self.half_built or self.locks or self.restarted)


class Load:
    """Readers, a writer and a sampler, until the time is over or ``stopped`` is set.

    Args:
        kinds: the kind of each reader, see :func:`proto_loc.soak.readers.kinds`.
        publish: whether versions are published meanwhile.
        stopped: ends the stretch early; what a reader stumbles over from then on is no error.
        note: called after each sample with the results so far.
    """

    def __init__(
        self,
        kinds: list[str],
        *,
        publish: bool,
        stopped: threading.Event,
        note: Callable[[Stretch], None] = lambda _: None,
    ) -> None:
        self.kinds, self.publish, self.note = kinds, publish, note
        self.stopped = stopped
        self.stretch = Stretch()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._recent: dict[str, list[float]] = {}

    def run(self, seconds: float) -> Stretch:
        """Run for so many seconds, and return the results.

        Once ``stopped`` is set, KeyboardInterrupt ends it without waiting for what is in flight.

        Raises:
            LocError: there is no metric, or a reader cannot be made.
        """
        version = warehouse.current("prod")
        models = figures.models(version)
        with version.open() as con:
            expected = figures.compute(con, version.id, models)
        if not expected.figures:
            raise LocError(
                "There is no figure to watch.",
                "The project has no metric, or no data is published.",
                "`loc metric add` and `loc refresh`; docs/metrics.md.",
            )
        logs, sampler = Logs(), Sampler()
        with Timeline(models, expected.inexact) as timeline, readers.made(self.kinds) as made:
            works = [partial(self._read, one, timeline) for one in made]
            if self.publish:
                works.append(self._write)
            threads = [threading.Thread(target=work, daemon=True) for work in works]
            for thread in threads:
                thread.start()
            start = time.monotonic()
            try:
                while not self.stopped.is_set() and time.monotonic() < start + seconds:
                    self._sample(sampler, start, logs)
                    self.stopped.wait(min(SAMPLE_EVERY, start + seconds - time.monotonic()))
                self.stretch.seconds = time.monotonic() - start
            except KeyboardInterrupt:
                if not self.stopped.is_set():
                    raise
                threads = []  # in haste
            finally:
                self._ended.set()
                self._join(threads)
        self.stretch.restarted = sampler.restarted
        self.stretch.locks += logs.lock_messages()  # also those after the last sample
        return self.stretch

    def _join(self, threads: list[threading.Thread]) -> None:
        """Wait for what is in flight, unless the stop is to be a hasty one."""
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            if not self.stopped.is_set():
                raise

    def _sample(self, sampler: Sampler, start: float, logs: Logs) -> None:
        try:
            processes: Sample = sampler.take()
        except LocError as error:  # the supervisor does not answer
            self._fail("status", error)
            return
        locks = logs.lock_messages()
        with self._lock:
            self.stretch.locks += locks
            recent, self._recent = self._recent, {}
        for kind, values in recent.items():
            typical = sorted(values)[len(values) // 2]
            processes.setdefault(f"reader {kind}", {})["latency"] = typical
        at = time.monotonic() - start
        self.stretch.seconds = at
        self.stretch.samples.append({"at": at, "processes": processes})
        self.note(self.stretch)

    def _read(self, reader: readers.Reader, timeline: Timeline) -> None:
        kind = reader.kind
        with ExitStack() as session:
            try:
                session.enter_context(reader)
            except Exception as error:  # a reader's failure is a result, whatever it is
                self._fail_of_reader(kind, error)
                return
            self._ended.wait(random.uniform(0, readers.PAUSES[kind]))
            while not self._ended.is_set():
                model = random.choice(timeline.models)
                start = time.monotonic()
                try:
                    shown = reader.totals(model)
                    seconds = time.monotonic() - start
                    judged = timeline.judge(model.name, shown, start)
                    reader.browse()
                except Exception as error:
                    self._fail_of_reader(kind, error)
                else:
                    with self._lock:
                        self.stretch.reads[kind] += 1
                        self.stretch.latencies.setdefault(kind, []).append(seconds)
                        self._recent.setdefault(kind, []).append(seconds)
                        if judged.version is None:
                            self.stretch.half_built.append(f"{kind}: {judged.why}")
                        elif judged.stale:
                            self.stretch.stale.setdefault(kind, []).append(judged.stale)
                self._ended.wait(readers.PAUSES[kind])

    def _write(self) -> None:
        """Publish through Dagster until the end; a sample has its full size again afterwards."""
        try:
            dagster, whole = client.find(), request_of_all()
            if dagster is None:
                raise LocError("Dagster is not up, so that nothing is published.", "", "loc status")
            smaller = replace(whole, rows=int(whole.rows * SMALLER)) if whole.rows else whole
            try:
                while not self._ended.is_set():
                    self._publish(dagster, whole if self.stretch.publishes % 2 else smaller)
                    self._ended.wait(BETWEEN)
            finally:
                if smaller != whole and sum(load.rows for load in lake.loads()) != whole.rows:
                    self._publish(dagster, whole)
        except Exception as error:
            self._fail("refresh", error)

    def _publish(self, dagster: client.Dagster, request: Request) -> None:
        start = time.monotonic()
        dagster.refresh(request, who=SOAK, report=lambda *_: None)
        self.stretch.publishes += 1
        self.stretch.publish_seconds.append(time.monotonic() - start)

    def _fail_of_reader(self, kind: str, error: Exception) -> None:
        if not self.stopped.is_set():
            self._fail(kind, error)

    def _fail(self, kind: str, error: Exception) -> None:
        text = str(error) if isinstance(error, LocError) else f"{type(error).__name__}: {error}"
        with self._lock:
            message = f"{kind}: {text}"[:500]
            self.stretch.errors.append(message)
            if LOCKED.search(text):
                self.stretch.locks.append(message)
