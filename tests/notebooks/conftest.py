"""Fixtures: a published platform with its services, for the whole suite."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Kernel, Lab
from running import Running
from samples import copy_sample, copy_superset

from proto_loc.settings import ROOT
from proto_loc.setup import environments, node


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a platform with a published sample of 20,000 trips.

    Do not change it: modules share it.
    """
    home = tmp_path_factory.mktemp("published")
    environments.sync("notebooks")
    return copy_sample(home, tmp_path_factory)


@pytest.fixture(scope="module")
def platform(
    published: Path, module_port_prefix: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A folder for the files of its services, in ``run`` and ``home``."""
    home = tmp_path_factory.mktemp("platform")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(published))
        patch.setenv("LOC_RUN", str(home / "run"))
        patch.setenv("LOC_PORT_PREFIX", module_port_prefix)
        for name in ("LOC_LLM_MODEL", "LOC_LLM_URL"):
            patch.delenv(name, raising=False)
        yield home


@pytest.fixture(scope="module")
def cube(platform: Path) -> Iterator[Running]:
    node.install()
    with Running("cube") as running:
        yield running


@pytest.fixture(scope="module")
def superset(platform: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    copy_superset(tmp_path_factory)
    subprocess.run([ROOT / "loc", "exec", "superset-provision"], check=True, capture_output=True)
    with Running("superset") as running:
        yield running


@pytest.fixture(scope="module")
def lab(platform: Path) -> Iterator[Lab]:
    """JupyterLab's server, with its own home folder, so that a test can see the files that it
    leaves.
    """
    (platform / "home").mkdir()
    with Lab(
        HOME=str(platform / "home"), XDG_CACHE_HOME="", XDG_CONFIG_HOME="", XDG_DATA_HOME=""
    ) as running:
        yield running


@pytest.fixture
def kernel(lab: Lab) -> Iterator[Kernel]:
    made = lab.kernel()
    yield made
    made.end()
