"""Fixtures: a published platform to read, and copies of the dbt project that a test may change."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import copy_platform, copy_sample

from proto_loc.dbt import program
from proto_loc.settings import ROOT


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a platform with a published sample of 20,000 trips.

    Do not change it: tests share it.
    """
    home = tmp_path_factory.mktemp("platform")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        yield copy_sample(home, tmp_path_factory)


@pytest.fixture
def own(platform: Path, data: Path) -> Path:
    """A copy of the platform that a test may change.

    Its path is new, so its raw catalogue is rebuilt at its first use.
    """
    return copy_platform(platform.parent, data.parent)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the dbt project that a test may change."""
    copy = tmp_path / "dbt"
    shutil.copytree(program.PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs"))
    (tmp_path / "proto_loc").symlink_to(ROOT / "proto_loc")  # the macros of the platform
    monkeypatch.setattr(program, "PROJECT", copy)
    return copy


@pytest.fixture
def plain_dbt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment of a person who runs dbt by hand.

    It keeps dbt's own files out of the repository.
    """
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
    return dict(os.environ)
