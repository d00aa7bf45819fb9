"""Fixtures: a platform with two published versions, `loc`, and a stand-in for a model."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from samples import publish_sample

from proto_loc.settings import ROOT
from proto_loc.setup import environments


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home folder of a platform with two versions, of 6,000 and 9,000 trips. Do not
    change it.
    """
    home = tmp_path_factory.mktemp("platform")
    environments.sync("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        for name in ("LOC_LLM_MODEL", "LOC_LLM_URL", "LOC_LLM_SEND_ROWS"):
            patch.delenv(name, raising=False)
        for rows in (6_000, 9_000):
            publish_sample(rows)
        yield home


@pytest.fixture
def loc(platform: Path) -> Callable[..., subprocess.CompletedProcess]:
    def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [ROOT / "loc", *arguments], env=os.environ | variables, capture_output=True, text=True
        )

    return run
