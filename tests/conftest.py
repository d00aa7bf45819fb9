"""Fixtures that every suite may use."""

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def tlc() -> Path:
    """A folder of TLC's real files (``LOC_TLC``). They are not part of the repository."""
    folder = Path(os.environ.get("LOC_TLC") or REPO.parent / "shared/data/tlc")
    if not folder.is_dir():
        pytest.skip(f"real TLC files are not at {folder}; set LOC_TLC to their folder")
    return folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh data folder (``LOC_DATA``), with a run folder (``LOC_RUN``) beside it."""
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    return tmp_path / "data"
