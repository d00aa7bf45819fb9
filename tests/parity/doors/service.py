"""A door that is a service of the platform, as process-compose starts it."""

import subprocess
import time
from typing import Self

import httpx
from questions import Question

from proto_loc.settings import ROOT, settings


class Service:
    """Starts the service ``name`` by ``loc exec``, waits until ``path`` answers with 200, and asks by ``http``."""

    name: str
    path: str

    def __enter__(self) -> Self:
        log = settings().run / f"{self.name}-parity.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [ROOT / "loc", "exec", self.name], stdout=log.open("w"), stderr=subprocess.STDOUT
        )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{settings().port(self.name)}", trust_env=False, timeout=60)
        try:
            end = time.monotonic() + 90
            while not self._is_ready():
                assert self.process.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.2)
            self._served()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _served(self) -> None:
        """What is left to do once it answers."""

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait(30)

    def answers(self, question: Question) -> bool:
        return True

    def _is_ready(self) -> bool:
        try:
            return self.http.get(self.path).status_code == 200
        except httpx.TransportError:
            return False
