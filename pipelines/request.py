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
    replace: bool = False
    """Whether these files may take away rows of others."""
    force: bool = False
    """Build and publish even if nothing has changed."""

    def loading(self, who: str) -> Callable[[taxi.Report], list[taxi.Outcome]] | None:
        """The ``loading`` argument of :func:`pipelines.refresh.load_and_refresh`."""
        if self.files:
            files = [Path(name) for name in self.files]
            return lambda report: taxi.load_files(files, replace=self.replace, who=who, report=report)
        if self.rows is not None:
            return lambda report: taxi.load_sample(self.rows, seed=self.seed, who=who, report=report)
        return None
