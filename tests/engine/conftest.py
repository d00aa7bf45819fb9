"""The servers of Trino and Nessie, started once for the suite: it runs in one process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from published import ROWS, loc

from proto_loc.settings import ROOT, environment_folder, private_folder, settings
from proto_loc.trino import client, identities, places, readiness

NAMES = ("nessie", *places.NODES)


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
def cryptography() -> None:
    """The package that makes certificates, which only the environment ``trino`` has."""
    subprocess.run([ROOT / "loc", "--sync", "trino"], check=True)
    site = environment_folder("trino") / f"lib/python3.{sys.version_info[1]}/site-packages"
    if str(site) not in sys.path:
        sys.path.append(str(site))


class Servers:
    """Nessie and the nodes of Trino, each started by ``loc exec`` as its supervisor does."""

    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen] = {}

    def start(self, *names: str) -> None:
        for name in names:
            path = private_folder(places.log(name).parent) / f"{name}.log"
            with path.open("a") as log:
                self.processes[name] = subprocess.Popen(
                    [ROOT / "loc", "exec", name], stdout=log, stderr=log
                )

    def wait(self, *names: str, timeout: float = 240) -> None:
        """Wait until these answer, and all running nodes take work.

        Raises:
            AssertionError: one ended, or is not ready in time.
        """
        end = time.monotonic() + timeout
        for name in names:
            ready = settings().run / f"{name}.ready"
            while not (ready.exists() and readiness.is_ready(name)):
                assert self.processes[name].poll() is None, places.log(name).read_text()[-3000:]
                assert time.monotonic() < end, places.log(name).read_text()[-3000:]
                time.sleep(0.2)
        readiness.wait_ready(end - time.monotonic())
        nodes = [name for name in places.NODES if name in self.processes]
        while len(self.nodes()) < len(nodes):
            assert time.monotonic() < end, places.log(nodes[-1]).read_text()[-3000:]
            time.sleep(0.2)

    def nodes(self) -> list[str]:
        """The nodes that take work."""
        query = "select node_id from system.runtime.nodes where state = 'active' order by 1"
        with client.connect(identities.WRITER) as connection:
            return [name for (name,) in connection.cursor().execute(query).fetchall()]

    def kill(self, name: str) -> None:
        """End a server at once (``kill -9``)."""
        process = self.processes.pop(name)
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait(60)

    def restart(self, name: str) -> None:
        """Start a server that was killed, and wait until it takes work."""
        (settings().run / f"{name}.ready").unlink(missing_ok=True)
        self.start(name)
        self.wait(name)

    def end(self, *names: str, number: int = signal.SIGTERM) -> None:
        """Send a signal to what supervises these, and wait for their end."""
        for name in names:
            self.processes[name].send_signal(number)
        for name in names:
            self.processes.pop(name).wait(60)


@pytest.fixture(scope="package")
def running(
    tmp_path_factory: pytest.TempPathFactory, session_port_prefix: str
) -> Iterator[Servers]:
    """The running servers; meanwhile the variables of this process are theirs."""
    folder = tmp_path_factory.mktemp("engine")
    own = {
        "LOC_ENGINE": "trino",
        "LOC_TRINO_MEMORY": "768M",
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
