"""Starts one service as its supervisor does, for tests that need no whole stack."""

import os
import subprocess
import time
from typing import Self

import httpx
import psutil
import yaml

from proto_loc import services
from proto_loc.settings import ROOT, private_folder, settings

PROBES = {
    name: process["readiness_probe"]
    for name, process in yaml.safe_load((ROOT / "process-compose.yaml").read_text())[
        "processes"
    ].items()
    if "readiness_probe" in process
}
"""By service that stays up, how process-compose sees that it is ready."""


class Running:
    """One service by ``loc exec``, with the settings of the environment; a context manager, ready
    inside.

    Args:
        name: of :data:`proto_loc.services.SERVICES`.
        variables: further ones for it alone.
    """

    def __init__(self, name: str, **variables: str) -> None:
        self.name, self.variables = name, variables

    def __enter__(self) -> Self:
        self.port = settings().port(services.find(self.name).port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = private_folder(settings().run) / f"{self.name}.log"
        self.probe = self.url + PROBES[self.name]["http_get"]["path"]
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
        """What is left to do once it answers."""

    def ready(self) -> bool:
        try:
            return httpx.get(self.probe, trust_env=False, timeout=30).status_code == 200
        except httpx.TransportError:
            return False

    def family(self) -> list[psutil.Process]:
        """Every process that runs for it."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]
