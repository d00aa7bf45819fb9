"""Published samples for suites that need data; each test run makes them once."""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from proto_loc.dbt import program
from proto_loc.refresh.job import load_and_refresh
from proto_loc.sources import find_sources

ROWS = 20_000


def publish_sample(rows: int) -> None:
    """Publish a sample of each source that has one, in this process.

    It loads ``rows`` rows, builds, audits and publishes in the environment's data folder.
    """
    sampled = [source for source in find_sources().values() if source.sample_rows]
    if not sampled:
        pytest.skip("no source of pipelines/ has a sample to publish")
    load_and_refresh(
        lambda report: [
            outcome
            for source in sampled
            for outcome in source.load_sample(rows, who="test", report=report)
        ],
        who="test",
        report=lambda *_: None,
    )


def copy_sample(home: Path, factory: pytest.TempPathFactory) -> Path:
    """Copy a platform with a published sample of 20,000 rows, as ``home/data`` and ``home/run``.

    The first process that needs the platform publishes it, and the others wait. The copy has
    another path, so its raw catalogue is rebuilt at its first use.

    Returns:
        The data folder.
    """
    base = factory.getbasetemp()
    if published := os.environ.get("PLATFORM_OF_TESTS"):  # with other content: tests/platform
        return copy_platform(Path(published), home)
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    sample = shared / "sample"
    with (shared / "sample.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not sample.exists():
            made = Path(tempfile.mkdtemp(dir=shared))
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("LOC_DATA", str(made / "data"))
                patch.setenv("LOC_RUN", str(made / "run"))
                publish_sample(ROWS)
            made.rename(sample)
    return copy_platform(sample, home)


def copy_platform(source: Path, home: Path) -> Path:
    """Copy the folders ``data`` and ``run`` of a platform, and return the copied data folder.

    dbt's target folders are named after the data folder. They move to the new name, so that the
    copy need not parse the project again.
    """
    shutil.copytree(source, home, dirs_exist_ok=True, symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        for folder in (home / "run/dbt").glob("*-*"):
            folder.rename(program.target_path(folder.name.rpartition("-")[0]))
    return home / "data"
