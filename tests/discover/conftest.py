"""Fixtures: a platform with two published versions, `loc`, and a stand-in for a model."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from samples import ROWS, copy_sample, publish_sample

from proto_loc.settings import ROOT
from proto_loc.setup import environments


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home folder of a platform with two versions, of 20,000 and 30,000 trips. Do not
    change it.
    """
    home = tmp_path_factory.mktemp("platform")
    environments.sync("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        for name in ("LOC_LLM_MODEL", "LOC_LLM_URL", "LOC_LLM_SEND_ROWS"):
            patch.delenv(name, raising=False)
        copy_sample(home, tmp_path_factory)
        publish_sample(ROWS + 10_000)
        yield home


@pytest.fixture
def loc(platform: Path) -> Callable[..., subprocess.CompletedProcess]:
    def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [ROOT / "loc", *arguments], env=os.environ | variables, capture_output=True, text=True
        )

    return run
