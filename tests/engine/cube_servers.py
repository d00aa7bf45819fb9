"""Starts Cube's server on the engine and the data of the environment."""

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from proto_loc import services
from proto_loc.cube.client import ALL_ROWS
from proto_loc.settings import ROOT, settings


class Server:
    """The process ``cube``; a context manager, for which ``start`` may be called before.

    Args:
        model: the folder of the model.
        variables: of its environment.
    """

    def __init__(self, model: Path, **variables: object) -> None:
        self.variables = {name: str(value) for name, value in variables.items()}
        self.variables["LOC_CUBE_MODEL"] = str(model)
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        from proto_loc import credentials
        from proto_loc.setup import node

        node.install()
        argv, env = services.start("cube")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.secret = credentials.secret("cube")
        self.file = settings().run / f"cube-{port}.log"
        env |= self.variables | {"CUBE_PORT": str(port)}
        with self.file.open("w") as log:
            self.process = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=90)

    def __enter__(self) -> "Server":
        if self.process is None:
            self.start()
        end = time.monotonic() + 60
        while not self._is_ready():
            assert self.process.poll() is None and time.monotonic() < end, self.log()
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.process.terminate()
        assert self.process.wait(20) in (0, -9), self.log()

    def _is_ready(self) -> bool:
        try:
            return bool(self.http.get("/livez"))
        except httpx.TransportError:
            return False

    def log(self) -> str:
        return self.file.read_text()

    def get(self, path: str) -> httpx.Response:
        return self.http.get(path, headers=self._headers(ALL_ROWS))

    def post(self, path: str, body: object, claims: dict | None = None) -> httpx.Response:
        headers = self._headers(ALL_ROWS if claims is None else claims)
        return self.http.post(path, json=body, headers=headers)

    def ask(self, query: object, claims: dict | None = None) -> httpx.Response:
        """Send a query to ``/load``, and repeat it while the answer is "Continue wait"."""
        body = {"query": query, "queryType": "multi"}
        while True:
            answer = self.post("/cubejs-api/v1/load", body, claims)
            if answer.json().get("error") != "Continue wait":
                return answer

    def rows(self, query: object, claims: dict | None = None) -> list[dict[str, Any]]:
        answer = self.ask(query, claims)
        assert answer.status_code == 200, answer.text
        return answer.json()["results"][0]["data"]

    def events(self) -> int:
        return int(self.rows({"measures": ["events.events"]})[0]["events.events"])

    def _headers(self, claims: dict) -> dict[str, str]:
        import jwt

        ends = int(time.time()) + 300
        token = jwt.encode(claims | {"exp": ends}, self.secret, algorithm="HS256")
        return {"authorization": f"Bearer {token}"}


assert "LOC_CUBE_MODEL" not in os.environ, "it would change which model is served"
