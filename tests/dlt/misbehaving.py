"""A REST API that misbehaves on demand."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


class Api:
    """Records in pages of two, at ``/v1/issues?page=``, for the holder of the token."""

    def __init__(self) -> None:
        self.rows: list[dict] = []
        self.token = "first-token-of-the-test"
        self.faults: list[Callable[[BaseHTTPRequestHandler], bool]] = []
        """Each answers one request in place of the API; False lets the API answer."""
        self.requests: list[tuple[float, str]] = []
        self.page: Callable[[dict], list[dict]] = self.numbered
        self.url = ""

    def numbered(self, query: dict) -> list[dict]:
        first = (int(query.get("page", 1)) - 1) * 2
        return self.rows[first : first + 2]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append((time.monotonic(), handler.path))
        if self.faults and self.faults.pop(0)(handler):
            return
        url = urlsplit(handler.path)
        query = dict(parse_qsl(url.query))
        if url.path == "/token":
            self.token = f"oauth-token-{len(self.requests)}"
            send(handler, 200, {"access_token": self.token, "expires_in": 0})
        elif handler.headers.get("Authorization") != f"Bearer {self.token}":
            send(handler, 401, {"error": "bad token"})
        else:
            pages = -(-len(self.rows) // 2)
            send(handler, 200, {"items": self.page(query), "meta": {"total_pages": pages}})


def send(handler: BaseHTTPRequestHandler, status: int, body: object, **headers: str) -> bool:
    content = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)
    return True


def cut(handler: BaseHTTPRequestHandler) -> bool:
    """Promise more than is sent, and close the connection."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"items": [{"id": 1')
    handler.close_connection = True
    return True


def wait_a_second(handler: BaseHTTPRequestHandler) -> bool:
    return send(handler, 429, {}, Retry_After="1")


def fail(handler: BaseHTTPRequestHandler) -> bool:
    return send(handler, 500, {})


def nothing(handler: BaseHTTPRequestHandler) -> bool:
    return False


@contextmanager
def serving() -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api.answer(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            api.answer(self)

        def log_message(self, *arguments: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
