"""Fixtures: a small platform without services, and `loc` with a stand-in for the model."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from samples import copy_sample

from proto_loc.settings import ROOT


@pytest.fixture(scope="session")
def platform(tmp_path_factory, session_port_prefix) -> Iterator[dict[str, str]]:
    """Environment variables of a platform whose prod has a sample of 20,000 trips; no
    service runs.
    """
    home = tmp_path_factory.mktemp("platform")
    variables = {
        "LOC_DATA": str(home / "data"),
        "LOC_RUN": str(home / "run"),
        "LOC_PORT_PREFIX": session_port_prefix,
    }
    copy_sample(home, tmp_path_factory)
    yield variables


@pytest.fixture
def loc(platform, tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs `loc` on that platform, with additional environment variables."""

    def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess:
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LOC_LLM_", "OPENAI_"))
        }
        return subprocess.run(
            [ROOT / "loc", *arguments],
            env=env | platform | variables,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )

    return run
