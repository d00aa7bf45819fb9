"""A published platform with its services, for the whole suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Kernel, Lab, Running

from pipelines.refresh import load_and_refresh
from pipelines.sources.taxi import load as taxi
from proto_loc import environments, node


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory, session_port_prefix: str) -> Iterator[Path]:
    """The home of a platform with a published sample of 50,000 trips; its data and run folders are in it."""
    home = tmp_path_factory.mktemp("platform")
    environments.sync("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        patch.setenv("LOC_PORT_PREFIX", session_port_prefix)
        for name in ("LOC_LLM_MODEL", "LOC_LLM_URL"):
            patch.delenv(name, raising=False)
        quiet = lambda *_: None  # noqa: E731
        load_and_refresh(lambda report: taxi.load_sample(50_000, who="test", report=report), who="test", report=quiet)
        yield home


@pytest.fixture(scope="session")
def cube(platform: Path) -> Iterator[Running]:
    node.install()
    with Running("cube") as running:
        yield running


@pytest.fixture(scope="session")
def lab(platform: Path) -> Iterator[Lab]:
    """JupyterLab's server, with a home folder of its own, so that what it leaves there can be seen."""
    (platform / "home").mkdir()
    with Lab(HOME=str(platform / "home"), XDG_CACHE_HOME="", XDG_CONFIG_HOME="", XDG_DATA_HOME="") as running:
        yield running


@pytest.fixture
def kernel(lab: Lab) -> Iterator[Kernel]:
    made = lab.kernel()
    yield made
    made.end()
