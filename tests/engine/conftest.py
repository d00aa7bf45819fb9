"""The servers of Trino and Nessie, started once for the suite: it runs in one process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from published import ROWS, loc
from trino_servers import NAMES, Servers

from proto_loc.settings import ROOT, environment_folder
from proto_loc.trino import client, identities


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the suite in one process, and out of the short run: three servers of Java would slow
    down the tests beside them that have a limit of time.
    """
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "running" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("engine"))
            if not item.get_closest_marker("timeout"):  # the first one starts three servers
                item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session")
def of_trino() -> None:
    """The packages that only the environment ``trino`` has, behind those of this process."""
    subprocess.run([ROOT / "loc", "--sync", "trino"], check=True)
    site = environment_folder("trino") / f"lib/python3.{sys.version_info[1]}/site-packages"
    if str(site) not in sys.path:
        sys.path.append(str(site))


@pytest.fixture(scope="package")
def running(
    of_trino: None, tmp_path_factory: pytest.TempPathFactory, session_port_prefix: str
) -> Iterator[Servers]:
    """The running servers; meanwhile the variables of this process are theirs."""
    folder = tmp_path_factory.mktemp("engine")
    own = {
        "LOC_ENGINE": "trino",
        "LOC_TRINO_MEMORY": "1G",
        "LOC_PORT_PREFIX": session_port_prefix,
        "LOC_DATA": str(folder / "data"),
        "LOC_RUN": str(folder / "run"),
    }
    subprocess.run([ROOT / "loc", "setup", "trino"], env=os.environ | own, check=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        started = Servers()
        try:
            started.start(*NAMES)
            started.wait(*NAMES)
            yield started
        finally:
            started.end(*started.processes)


@pytest.fixture
def trino(running: Servers) -> Callable[..., list]:
    """Runs a statement on Trino, by default as the writer, and returns its rows."""

    def run(statement: str, identity: str = identities.WRITER, **options) -> list:
        with client.connect(identity, **options) as connection:
            return connection.cursor().execute(statement).fetchall()

    return run


@pytest.fixture(scope="package")
def sample(running: Servers) -> Servers:
    """The servers with a published sample, as ``loc load sample`` makes it; it is version 1."""
    loc("load", "sample", "--rows", str(ROWS))
    return running


@pytest.fixture(scope="package")
def on_files(sample: Servers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of a second platform with the same sample in DuckDB's files."""
    folder = tmp_path_factory.mktemp("on-files")
    own = {
        "LOC_ENGINE": "duckdb",
        "LOC_DATA": str(folder / "data"),
        "LOC_RUN": str(folder / "run"),
    }
    loc("load", "sample", "--rows", str(ROWS), **own)
    return own
