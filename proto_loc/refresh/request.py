"""Describes what a refresh loads, as plain data that another process can read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proto_loc import sources


@dataclass(frozen=True)
class Request:
    """What to load; by default new files of ``data/landing/``, or the first sample."""

    files: tuple[str, ...] = ()
    """Files to load instead, as absolute paths."""
    rows: int | None = None
    """Rows of a source's sample to load instead."""
    seed: int | None = None
    """Seed of that sample."""
    replace: bool = False
    """Whether these files may replace rows of other files that they lack."""
    force: bool = False
    """Build and publish even if nothing has changed."""
    source: str = ""
    """Name of the source; empty for the one that declares the files or has a sample. Alone, it is
    the name of a source that fetches its rows."""

    def loading(self, who: str) -> Callable[[sources.Report], list[sources.Outcome]] | None:
        """Make the argument ``loading`` of :func:`proto_loc.refresh.job.load_and_refresh`."""
        if self.files:
            files = [Path(name) for name in self.files]
            source = (
                sources.find_source(self.source) if self.source else sources.source_of_files(files)
            )
            return lambda report: source.load_files(
                files, replace=self.replace, who=who, report=report
            )
        if self.rows is not None:
            source = sources.source_with_sample(self.source)
            return lambda report: source.load_sample(
                self.rows, seed=self.seed, who=who, report=report
            )
        if self.source:
            source = sources.find_source(self.source)
            if isinstance(source, sources.FetchingSource):
                return lambda report: source.fetch(replace=self.replace, who=who, report=report)
        return None
