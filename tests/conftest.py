"""Fixtures that every suite may use."""

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent


NO_TLC = "real TLC files are not at"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips", action="store_true", help="A test that is skipped has failed, but for absent TLC files."
    )


def _judged(report, config: pytest.Config):
    allowed = not config.getoption("no_skips") or hasattr(report, "wasxfail") or NO_TLC in str(report.longrepr)
    if report.skipped and not allowed:
        report.outcome, report.longrepr = "failed", f"skipped, and --no-skips is set: {report.longrepr[-1]}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    return _judged((yield), item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    return _judged((yield), collector.config)


@pytest.fixture(scope="session")
def tlc() -> Path:
    """A folder of TLC's real files (``LOC_TLC``). They are not part of the repository."""
    folder = Path(os.environ.get("LOC_TLC") or REPO.parent / "shared/data/tlc")
    if not folder.is_dir():
        pytest.skip(f"{NO_TLC} {folder}; set LOC_TLC to their folder")
    return folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh data folder (``LOC_DATA``), with a run folder (``LOC_RUN``) beside it."""
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    return tmp_path / "data"
