"""What a refresh is asked to load, as plain data that can be sent to another process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.sources.taxi import load as taxi


@dataclass(frozen=True)
class Request:
    """By default what is new in ``data/landing/``, and the sample if there is nothing at all."""

    files: tuple[str, ...] = ()
    """Files of trip records to load instead, as absolute paths."""
    rows: int | None = None
    """Trips of the synthetic sample to load instead."""
    seed: int = taxi.SEED
    """Seed of that sample."""
    force: bool = False
    """Build and publish even if nothing has changed."""

    def loading(self, who: str) -> Callable[[taxi.Report], list[taxi.Outcome]] | None:
        """The ``loading`` argument of :func:`pipelines.refresh.load_and_refresh`."""
        if self.files:
            return lambda report: taxi.load_files([Path(name) for name in self.files], who=who, report=report)
        if self.rows is not None:
            return lambda report: taxi.load_sample(self.rows, seed=self.seed, who=who, report=report)
        return None
