"""Starts one service as its supervisor does, for tests that do not need the whole stack."""

import os
import subprocess
import time
from typing import Self

import httpx
import psutil

from proto_loc import services
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.standins.process_compose import model

PROBES = {
    name: process.readiness_probe
    for name, process in model.load(ROOT / "process-compose.yaml").processes.items()
    if process.readiness_probe
}
"""By long-running service: the readiness probe of process-compose."""


class Running:
    """One service, started by ``loc exec`` with the settings of the environment.

    It is a context manager; inside, the service is ready.

    Args:
        name: a name of :data:`proto_loc.services.SERVICES`.
        variables: additional environment variables of this service.
    """

    def __init__(self, name: str, **variables: str) -> None:
        self.name, self.variables = name, variables

    def __enter__(self) -> Self:
        self.port = settings().port(services.find(self.name).port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = private_folder(settings().run) / f"{self.name}.log"
        self.probe = self.url + PROBES[self.name].http_get.path
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [ROOT / "loc", "exec", self.name],
                env=os.environ | self.variables,
                stdout=log,
                stderr=log,
            )
        try:
            end = time.monotonic() + 90
            while not self.ready():
                assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
                time.sleep(0.1)
            self.opened()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)

    def opened(self) -> None:
        """Do the remaining set-up once the service answers; subclasses override it."""

    def ready(self) -> bool:
        try:
            return httpx.get(self.probe, trust_env=False, timeout=30).status_code == 200
        except httpx.TransportError:
            return False

    def family(self) -> list[psutil.Process]:
        """Return every process of the service."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]
