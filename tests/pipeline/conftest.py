"""A published platform to look at, and copies of the dbt project to break."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from builds import load_sample

from pipelines import dbt


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a platform with a published sample of 20,000 trips. Only look at it: tests share it."""
    home = tmp_path_factory.mktemp("platform")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        load_sample(20_000)
        yield home / "data"


@pytest.fixture
def own(platform: Path, data: Path) -> Path:
    """A copy of the platform to change; the copy has moved, so its raw catalogue is rebuilt on first use."""
    shutil.copytree(platform.parent, data.parent, dirs_exist_ok=True, symlinks=True)
    return data


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the dbt project to change."""
    copy = tmp_path / "dbt"
    shutil.copytree(dbt.PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs"))
    monkeypatch.setattr(dbt, "PROJECT", copy)
    return copy


@pytest.fixture
def plain_dbt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment of a person who runs dbt by hand; keeps dbt's own files out of the repository."""
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
    return dict(os.environ)
