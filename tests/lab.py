"""Starts JupyterLab's server as its supervisor does, and connects to the server and its kernels."""

import json
import uuid
from pathlib import Path

import httpx
from running import Running
from websockets.sync.client import connect

from proto_loc import credentials


class Lab(Running):
    """JupyterLab's server; the methods call it with its token."""

    def __init__(self, **variables: str) -> None:
        super().__init__("jupyter", **variables)

    @property
    def token(self) -> str:
        return credentials.secret("jupyter")

    def call(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        known = {"authorization": f"token {self.token}"}
        return httpx.request(
            method, self.url + path, json=body, headers=known | headers, trust_env=False, timeout=60
        )

    def kernel(self) -> "Kernel":
        answer = self.call("POST", "/api/kernels", {"name": "python3"})
        assert answer.status_code == 201, answer.text
        return Kernel(self, answer.json()["id"])


class Kernel:
    """A kernel of the server; ``kernel(code)`` runs a cell."""

    def __init__(self, lab: Lab, kernel_id: str) -> None:
        self.lab, self.id = lab, kernel_id

    @property
    def address(self) -> str:
        return f"{self.lab.url.replace('http', 'ws')}/api/kernels/{self.id}/channels"

    def __call__(self, code: str) -> str:
        """Run a cell; return what it shows: its output, its result as text, or its error."""
        head = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "session": "test",
            "username": "",
            "version": "5.3",
        }
        asked = {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
        }
        message = {
            "header": head,
            "parent_header": {},
            "metadata": {},
            "content": asked,
            "channel": "shell",
        }
        shown = []
        with connect(
            self.address, additional_headers={"authorization": f"token {self.lab.token}"}
        ) as socket:
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

    def interrupt(self) -> None:
        """Interrupt the cell, as the button Stop does."""
        assert self.lab.call("POST", f"/api/kernels/{self.id}/interrupt").status_code == 204

    def end(self) -> None:
        assert self.lab.call("DELETE", f"/api/kernels/{self.id}").status_code == 204


def read_proc(pid: int, what: str) -> str:
    """Return ``/proc/PID/what`` as text."""
    return Path(f"/proc/{pid}/{what}").read_bytes().replace(b"\0", b" ").decode(errors="replace")
