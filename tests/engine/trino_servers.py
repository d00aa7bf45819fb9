"""Starts Nessie and the nodes of Trino for tests."""

import signal
import subprocess
import time

import psutil

from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.trino import client, identities, places, readiness

NAMES = ("nessie", *places.NODES)


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
        nodes = [name for name in places.NODES if name in self.processes]
        if nodes:
            readiness.wait_ready(end - time.monotonic())
        while nodes and len(self.nodes()) < len(nodes):
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
