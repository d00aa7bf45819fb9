"""The services of the notebooks, started as their supervisor does, and a client of JupyterLab's server."""

import json
import os
import subprocess
import time
import uuid
from pathlib import Path

import httpx
import psutil
from websockets.sync.client import connect

from proto_loc import secrets, services
from proto_loc.settings import ROOT, private_folder, settings

PROBES = {"jupyter": "/api", "cube": "/readyz"}


class Running:
    """One service by ``loc exec``, with the settings of the environment; a context manager, ready inside."""

    def __init__(self, name: str, **variables: str) -> None:
        self.name, self.variables = name, variables
        self.port = settings().port(services.find(name).port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = settings().run / f"{name}.log"

    def __enter__(self) -> "Running":
        private_folder(self.log.parent)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [ROOT / "loc", "exec", self.name], env=os.environ | self.variables, stdout=log, stderr=log
            )
        end = time.monotonic() + 90
        while not self.ready():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)

    def ready(self) -> bool:
        try:
            return httpx.get(self.url + PROBES[self.name], trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def family(self) -> list[psutil.Process]:
        """Every process that runs for it."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


class Lab(Running):
    """JupyterLab's server, and calls to it with its token."""

    def __init__(self, **variables: str) -> None:
        super().__init__("jupyter", **variables)

    @property
    def token(self) -> str:
        return secrets.secret("jupyter")

    def call(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        known = {"authorization": f"token {self.token}"}
        return httpx.request(method, self.url + path, json=body, headers=known | headers, trust_env=False, timeout=60)

    def kernel(self) -> "Kernel":
        answer = self.call("POST", "/api/kernels", {"name": "python3"})
        assert answer.status_code == 201, answer.text
        return Kernel(self, answer.json()["id"])


class Kernel:
    """A kernel of the server; ``kernel(code)`` runs a cell."""

    def __init__(self, lab: Lab, id: str) -> None:
        self.lab, self.id = lab, id

    @property
    def address(self) -> str:
        return f"{self.lab.url.replace('http', 'ws')}/api/kernels/{self.id}/channels"

    def __call__(self, code: str) -> str:
        """What the cell shows: its output, its result as text, or its error as it is shown."""
        head = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "session": "test",
            "username": "",
            "version": "5.3",
        }
        asked = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
        message = {"header": head, "parent_header": {}, "metadata": {}, "content": asked, "channel": "shell"}
        shown = []
        with connect(self.address, additional_headers={"authorization": f"token {self.lab.token}"}) as socket:
            socket.send(json.dumps(message | {"buffers": []}))
            while True:
                got = json.loads(socket.recv(timeout=90))
                kind, content = got["msg_type"], got["content"]
                if got["parent_header"].get("msg_id") != head["msg_id"]:
                    continue
                if kind == "stream":
                    shown.append(content["text"])
                elif kind in ("execute_result", "display_data"):
                    shown.append(content["data"].get("text/plain", ""))
                elif kind == "error":
                    shown.append("\n".join(content["traceback"]))
                elif kind == "status" and content["execution_state"] == "idle":
                    return "".join(shown)

    def end(self) -> None:
        assert self.lab.call("DELETE", f"/api/kernels/{self.id}").status_code == 204


def read_proc(pid: int, what: str) -> str:
    """``/proc/PID/what`` as text."""
    return Path(f"/proc/{pid}/{what}").read_bytes().replace(b"\0", b" ").decode(errors="replace")
