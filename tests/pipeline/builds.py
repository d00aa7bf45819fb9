"""Functions that load and build without a progress report."""

from pathlib import Path

from pipelines.taxi import load as taxi
from proto_loc.refresh.job import Refreshed, load_and_refresh


def quiet(*_: object) -> None:
    """Ignore a progress report."""


def load_sample(rows: int, seed: int = taxi.SEED) -> Refreshed:
    return load_and_refresh(
        lambda report: taxi.load_sample(rows, seed=seed, who="test", report=report),
        who="test",
        report=quiet,
    )


def load_files(*paths: Path) -> Refreshed:
    return load_and_refresh(
        lambda report: taxi.load_files(paths, who="test", report=report), who="test", report=quiet
    )


def refresh(**options) -> Refreshed:
    return load_and_refresh(None, who="test", report=quiet, **options)
