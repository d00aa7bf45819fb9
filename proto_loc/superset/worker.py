"""gunicorn worker whose threads never wait for a slow client.

The main loop receives whole requests for the threads, and sends the part of an answer that a client
has not read yet. So a slow client holds a connection, but no thread, and a head or body that is too
large is refused early. Connections and buffered bytes are limited; when there are too many, the
connection that has waited longest is closed.
"""

import collections
import os
import selectors
import socket
import time
from contextlib import suppress
from http import HTTPStatus

import h11
from gunicorn.http import get_parser
from gunicorn.workers.gthread import TConn, ThreadWorker

from proto_loc.web.origins import (
    LINGERING,
    MAX_BODY,
    MAX_HEAD,
    PATIENCE_BODY,
    PATIENCE_HEAD,
    too_large,
)

MAX_HELD = 64 << 20
"""Bytes of requests and answers that a process buffers for its clients."""
PATIENCE_READING = 30.0
"""Seconds within which a client must read a part of its answer."""
BLOCK = 1 << 16


class Refused(Exception):
    """A request that the worker itself refuses."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Request:
    """One request while it is received."""

    def __init__(self) -> None:
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self.head: h11.Request | None = None
        self.body = bytearray()
        self.begun = self.whole = False

    def feed(self, data: bytes) -> None:
        """Process received bytes.

        Raises:
            Refused: the request is too large, or is not HTTP.
        """
        self.begun = True
        try:
            self.http.receive_data(data)
            while not self.whole and (event := self.http.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Request):
                    self.head = event
                    self._check(int(dict(event.headers).get(b"content-length", 0)))
                elif isinstance(event, h11.Data):
                    self._check(len(self.body) + len(event.data))
                    self.body += event.data
                else:
                    self.whole = True
        except h11.RemoteProtocolError as error:
            raise Refused(error.error_status_hint, f"{error}.") from None

    def _check(self, size: int) -> None:
        if size > MAX_BODY:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large())

    def source(self) -> "Source":
        """The request for gunicorn's parser, always with a Content-Length."""
        drop = (b"content-length", b"transfer-encoding", b"expect")
        headers = [
            (name, value)
            for name, value in self.head.headers.raw_items()
            if name.lower() not in drop
        ]
        headers.append((b"Content-Length", str(len(self.body)).encode()))
        first = b"%b %b HTTP/%b" % (self.head.method, self.head.target, self.head.http_version)
        lines = [first, *(b"%b: %b" % header for header in headers), b"", b""]
        return Source(b"\r\n".join(lines), self.body)


class Source:
    """The buffered request, in the form of a socket that gunicorn's parser reads."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = [memoryview(part) for part in parts if part]

    def recv(self, size: int) -> bytes:
        if not self._parts:
            return b""
        data, rest = self._parts[0][:size], self._parts[0][size:]
        self._parts[:1] = [rest] if rest else []
        return bytes(data)


class Answer:
    """The client's socket for gunicorn to write to; it never blocks, and buffers the rest."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self.rest: collections.deque[memoryview | tuple[int, int, int]] = collections.deque()
        """Bytes, and parts of files: file descriptor, offset, end."""

    def setblocking(self, _flag: bool) -> None:
        """Do nothing: the socket stays non-blocking."""

    def sendall(self, data: bytes) -> None:
        sent = 0
        if not self.rest:
            with suppress(BlockingIOError):
                sent = self.raw.send(data)
        if sent < len(data):
            self.rest.append(memoryview(data)[sent:])

    send = sendall

    def sendfile(self, file, offset: int, count: int) -> None:
        self.rest.append((os.dup(file.fileno()), offset, offset + count))

    def flush(self) -> None:
        """Send as much as the client reads now.

        Raises:
            OSError: the client has disconnected.
        """
        with suppress(BlockingIOError):
            while self.rest:
                part = self.rest[0]
                if isinstance(part, tuple):
                    number, offset, end = part
                    data = os.pread(number, min(BLOCK, end - offset), offset)
                    offset += self.raw.send(data) if data else end - offset
                    self.rest[0] = (number, offset, end)
                    if offset == end:
                        os.close(number)
                        self.rest.popleft()
                else:
                    sent = self.raw.send(part[:BLOCK])
                    self.rest[0] = part[sent:]
                    if sent == len(part):
                        self.rest.popleft()

    def held(self) -> int:
        return sum(len(part) for part in self.rest if isinstance(part, memoryview))

    def drop(self) -> None:
        for part in self.rest:
            if isinstance(part, tuple):
                os.close(part[0])
        self.rest.clear()


class Connection(TConn):
    """A client's connection."""

    def __init__(self, cfg, raw: socket.socket, client, server) -> None:
        super().__init__(cfg, raw, client, server)
        self.raw, self.sock = raw, Answer(raw)
        self.initialized = True
        self.request = Request()
        self.keep = False
        self.deadline = 0.0

    def held(self) -> int:
        return len(self.request.body) + self.sock.held()


class Worker(ThreadWorker):
    """The worker class of gunicorn's setting ``worker_class``."""

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self.waiting: dict[Connection, None] = {}
        """Connections that wait for their client, the longest waiting first."""
        self.working: set[Connection] = set()
        """Connections whose request is queued for a thread, or runs in one."""

    def accept(self, listener: socket.socket) -> None:
        try:
            raw, client = listener.accept()
        except OSError:
            return  # another process accepted it, or the client has disconnected
        raw.setblocking(False)
        self.nr_conns += 1
        conn = Connection(self.cfg, raw, client, listener.getsockname())
        self._wait(conn, selectors.EVENT_READ, self._readable, PATIENCE_HEAD)
        if self.nr_conns >= self.worker_connections:
            self._drop(next(iter(self.waiting)))

    def _wait(self, conn: Connection, event: int, callback, seconds: float) -> None:
        conn.deadline = time.monotonic() + seconds
        self.waiting.pop(conn, None)
        self.waiting[conn] = None
        self._stop_waiting_for(conn)
        self.poller.register(conn.raw, event, lambda _raw: self._guarded(conn, callback))

    def _guarded(self, conn: Connection, callback) -> None:
        """Call back for a connection; an error closes the connection only."""
        try:
            callback(conn)
        except OSError:
            self._drop(conn)  # the client has disconnected
        except Exception:
            self.log.exception("A connection is closed.")
            self._drop(conn)

    def _stop_waiting_for(self, conn: Connection) -> None:
        with suppress(KeyError, ValueError):
            self.poller.unregister(conn.raw)

    def _drop(self, conn: Connection) -> None:
        if conn.raw.fileno() < 0:
            return
        self.waiting.pop(conn, None)
        self._stop_waiting_for(conn)
        conn.sock.drop()
        conn.raw.close()
        self.nr_conns -= 1

    def _readable(self, conn: Connection, data: bytes | None = None) -> None:
        """Receive a part of a request."""
        try:
            data = data or conn.raw.recv(BLOCK)
        except BlockingIOError:
            return
        if not data:
            self._drop(conn)
            return
        request, had_head, had_begun = conn.request, conn.request.head, conn.request.begun
        try:
            request.feed(data)
        except Refused as refused:
            self._refuse(conn, refused)
            return
        if request.whole:
            self.waiting.pop(conn, None)
            self._stop_waiting_for(conn)
            conn.parser = get_parser(self.cfg, request.source(), conn.client)
            self.working.add(conn)
            self.enqueue_req(conn)
            return
        if request.head and not had_head:
            if request.http.they_are_waiting_for_100_continue:
                conn.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._wait(conn, selectors.EVENT_READ, self._readable, PATIENCE_BODY)
        elif not had_begun:
            self._wait(conn, selectors.EVENT_READ, self._readable, PATIENCE_HEAD)
        self._make_room(conn)

    def _make_room(self, conn: Connection) -> None:
        if conn.held() > BLOCK:
            sizes = {connection: size for connection in self.waiting if (size := connection.held())}
            total = sum(sizes.values()) + sum(
                len(connection.request.body) for connection in self.working
            )
            for connection in sizes:
                if total <= MAX_HELD:
                    break
                total -= sizes[connection]
                self._drop(connection)

    def _refuse(self, conn: Connection, refused: Refused) -> None:
        text = f"{refused}\n".encode()
        status = HTTPStatus(refused.status)
        conn.request.body, conn.request.whole = bytearray(), True
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain;"
            " charset=utf-8\r\nCache-Control: no-store\r\nContent-Length:"
            f" {len(text)}\r\nConnection: close\r\n\r\n"
        )
        conn.keep = False
        conn.sock.sendall(head.encode() + text)
        self._answered(conn)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        return bool(keepalive)  # the request was read completely

    def finish_request(self, conn: Connection, fs) -> None:
        """Take over the connection from a thread."""
        conn.keep = not fs.cancelled() and fs.exception() is None and bool(fs.result())
        self.working.discard(conn)
        conn.parser, conn.request.body = None, bytearray()
        self._guarded(conn, self._answered)

    def _answered(self, conn: Connection) -> None:
        """Send as much of the answer as the client reads, then wait for its next step."""
        conn.sock.flush()
        if conn.sock.rest:
            self._wait(conn, selectors.EVENT_WRITE, self._answered, PATIENCE_READING)
            self._make_room(conn)
        elif conn.keep:
            self._next_request(conn)
        else:
            self._linger(conn)

    def _next_request(self, conn: Connection) -> None:
        ahead, conn.request = conn.request.http.trailing_data[0], Request()
        self._wait(conn, selectors.EVENT_READ, self._readable, self.cfg.keepalive)
        if ahead:
            self._readable(conn, data=ahead)

    def _linger(self, conn: Connection) -> None:
        conn.raw.shutdown(socket.SHUT_WR)
        self._wait(conn, selectors.EVENT_READ, self._discard, LINGERING)

    def _discard(self, conn: Connection) -> None:
        with suppress(BlockingIOError):
            if not conn.raw.recv(BLOCK):
                self._drop(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close the connections of clients that are too slow."""
        time_now = time.monotonic()
        for conn in [
            conn_waiting
            for conn_waiting in self.waiting
            if force or conn_waiting.deadline < time_now
        ]:
            if conn.request.begun and not conn.request.whole and not conn.sock.rest and not force:
                self._guarded(conn, self._refuse_late)
            else:
                self._drop(conn)

    def _refuse_late(self, conn: Connection) -> None:
        self._refuse(
            conn, Refused(HTTPStatus.REQUEST_TIMEOUT, "The request took too long to come.")
        )

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in self.waiting:
            conn.deadline = min(conn.deadline, deadline)
