"""Tests of the limits of our web servers, over real connections: size, time, number."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.sync.client import connect

from proto_loc.web import gate, serving
from proto_loc.web.origins import MAX_BODY

HALF = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer mine\r\n"
FULL = b"Content-Length: 5\r\n\r\n12345"


async def count(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def echo(client: WebSocket) -> None:
    await client.accept()
    with suppress(WebSocketDisconnect):
        while True:
            await client.send_text(await client.receive_text())


@pytest.fixture
def port(monkeypatch) -> Iterator[int]:
    """The port of a server that counts the bytes of a body.

    It has short timeouts and a low limit of connections.
    """
    monkeypatch.setattr(serving, "PATIENCE_HEAD", 1.0)
    monkeypatch.setattr(serving, "PATIENCE_BODY", 1.0)
    monkeypatch.setattr(serving, "MAX_CONNECTIONS", 20)
    listening = socket.create_server(("127.0.0.1", 0))
    number = listening.getsockname()[1]
    app = gate.Guard(
        Starlette(routes=[Route("/", count, methods=["POST"]), WebSocketRoute("/echo", echo)]),
        token="mine",
        port=number,
    )
    server = uvicorn.Server(uvicorn.Config(app, **serving.OPTIONS))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield number
    server.should_exit = True
    thread.join()


def send(port: int, body, token: str = "mine") -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.post(f"http://127.0.0.1:{port}/", content=body, headers=headers, trust_env=False)


def blocks(size: int) -> Iterator[bytes]:
    for _ in range(size >> 16):
        yield bytes(1 << 16)


def opened(port: int, data: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=10)
    made.sendall(data)
    return made


def test_a_body_has_a_bound_however_it_is_sent(port):
    """Bug: bodies of 250 MB filled the memory of a service."""
    assert send(port, bytes(MAX_BODY)).text == send(port, blocks(MAX_BODY)).text == str(MAX_BODY)
    for body in (bytes(MAX_BODY + 1), blocks(MAX_BODY + (1 << 16))):
        answer = send(port, body)
        assert answer.status_code == 413 and "16,384 KiB" in answer.text
    assert send(port, blocks(MAX_BODY * 2), token="another").status_code == 401


@pytest.mark.parametrize("token", ["mine", "another"])
def test_a_client_that_still_sends_reads_its_refusal(port, token):
    """Bug: the close of a connection with unread bytes reset it, and the answer was lost."""
    size = MAX_BODY + (8 << 20)
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    client = opened(port, f"{head}Content-Length: {size}\r\n\r\n".encode())
    for block in blocks(size):
        client.sendall(block)
    answer = b""
    while data := client.recv(1 << 16):
        answer += data
    assert answer.startswith(b"HTTP/1.1 413" if token == "mine" else b"HTTP/1.1 401")
    assert answer.endswith(b".\n"), "the whole text"


@pytest.mark.parametrize("more", ["", "Expect: 100-continue\r\n"])
def test_a_client_that_waits_for_its_refusal_has_it_at_once(port, more):
    """The time limit of the body, shorter here than that of reading on, would end the wait."""
    client = opened(
        port, f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}Content-Length: 9\r\n\r\n".encode()
    )
    assert client.recv(1 << 16).startswith(b"HTTP/1.1 401")


def test_headers_have_a_bound(port):
    """uvicorn uses httptools if it is installed, and this parser does not limit headers."""
    client = opened(port, HALF)
    with pytest.raises(OSError):
        for _ in range(500):
            client.sendall(b"x: " + bytes(60_000).replace(b"\0", b"y") + b"\r\n")
            time.sleep(0.001)


@pytest.mark.parametrize(
    "begun", [b"", HALF, HALF + b"Content-Length: 9\r\n\r\n1"], ids=["silent", "head", "body"]
)
def test_a_slow_client_is_parted_with_and_a_quick_one_is_not(port, begun):
    slow, quick = opened(port, begun), opened(port, HALF + FULL)
    assert quick.recv(1000).endswith(b"5")
    assert slow.recv(1000) == b""
    quick.sendall(HALF + FULL)
    assert quick.recv(1000).endswith(b"5"), "what stands between two requests is no slow one"


def test_clients_that_wait_make_room(port):
    slow = [opened(port, HALF) for _ in range(60)]
    assert send(port, b"12").text == "2"
    assert slow[0].recv(1000) == b""


def test_a_web_socket_may_be_silent(port):
    """For example, a subscription of Dagster may be silent for hours."""
    token = {"authorization": "Bearer mine"}
    with connect(f"ws://127.0.0.1:{port}/echo", additional_headers=token, proxy=None) as client:
        for _ in range(2):
            client.send("a")
            assert client.recv(10) == "a"
            time.sleep(1.3)
