"""Client of this platform's JupyterLab: starts a kernel and runs cells in it."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from proto_loc import credentials
from proto_loc.errors import LocError
from proto_loc.settings import settings

FIX = "See: ./loc logs jupyter"


def _server(timeout: float) -> httpx.Client:
    """A client of the server, with its token."""
    address = f"http://127.0.0.1:{settings().port('jupyter')}"
    token = {"authorization": f"token {credentials.secret('jupyter')}"}
    return httpx.Client(base_url=address, headers=token, timeout=timeout, trust_env=False)


def _call(http: httpx.Client, method: str, path: str, body: dict | None = None) -> httpx.Response:
    try:
        return http.request(method, path, json=body).raise_for_status()
    except httpx.HTTPError as error:
        raise LocError(
            f"JupyterLab on {http.base_url} does not do {method} {path}.", f"{error}.", FIX
        ) from error


@contextmanager
def session_of(notebook: str, patience: float = 5, timeout: float = 30) -> Iterator[None]:
    """Context that ends the session of a notebook, with its kernel, if it begins in it.

    A session that somebody has open after that stays.

    Args:
        notebook: its path below ``notebooks/``.
        patience: seconds until the page in this context must have let go of its kernel.

    Raises:
        LocError: the server does not answer.
    """

    before: dict[str, int] = {}

    def begun_sessions() -> dict[str, int]:
        """The notebook's sessions that began in the context, and how many pages each has."""
        return {
            session["id"]: session["kernel"]["connections"]
            for session in _call(http, "GET", "/api/sessions").json()
            if session["path"] == notebook and session["id"] not in before
        }

    with _server(timeout) as http:
        before = begun_sessions()
        try:
            yield
        finally:
            end = time.monotonic() + patience
            while (begun := begun_sessions()) and time.monotonic() < end:
                for name, pages in begun.items():
                    if not pages:
                        _call(http, "DELETE", f"/api/sessions/{name}")
                time.sleep(0.1)


class Kernel:
    """Context manager of a kernel of JupyterLab's server; ``run`` runs a cell.

    Args:
        timeout: seconds that a message of the kernel may take.
    """

    def __init__(self, timeout: float = 90) -> None:
        self.timeout = timeout
        self.id = ""
        self.http = _server(timeout)

    def __enter__(self) -> Self:
        try:
            self.id = _call(self.http, "POST", "/api/kernels", {"name": "python3"}).json()["id"]
        except BaseException:
            self.http.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            _call(self.http, "DELETE", f"/api/kernels/{self.id}")
        finally:
            self.http.close()

    def run(self, code: str) -> str:
        """Run a cell, and return what it prints.

        Raises:
            LocError: the cell raised an exception, or the kernel does not answer.
        """
        message = _message(code)
        number, printed, failure = message["header"]["msg_id"], [], ""
        server = str(self.http.base_url).replace("http", "ws", 1).rstrip("/")
        address = f"{server}/api/kernels/{self.id}/channels"
        headers = {"authorization": self.http.headers["authorization"]}
        try:
            with connect(address, additional_headers=headers, max_size=None, proxy=None) as socket:
                socket.send(json.dumps(message))
                while True:
                    answer = json.loads(socket.recv(timeout=self.timeout))
                    kind, content = answer["msg_type"], answer["content"]
                    if answer["parent_header"].get("msg_id") != number:
                        continue
                    if kind == "stream" and content["name"] == "stdout":
                        printed.append(content["text"])
                    elif kind == "error":
                        failure = f"{content['ename']}: {content['evalue']}"
                    elif kind == "status" and content["execution_state"] == "idle":
                        break
        except (OSError, WebSocketException) as error:  # a timeout is an OSError
            raise LocError(
                "A notebook's kernel does not answer.", f"{type(error).__name__}: {error}.", FIX
            ) from error
        if failure:
            raise LocError("A cell of a notebook failed.", failure, FIX)
        return "".join(printed)


def _message(code: str) -> dict:
    """A request to run a cell, in the messaging protocol of Jupyter 5.3."""
    return {
        "header": {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "session": uuid.uuid4().hex,
            "username": "",
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "channel": "shell",
        "content": {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
        },
        "buffers": [],
    }
