"""Listens on loopback, and limits headers, connections and the time of a request by uvicorn."""

import asyncio
import socket

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from proto_loc import logs
from proto_loc.errors import LocError
from proto_loc.web.origins import MAX_BODY, MAX_HEAD, PATIENCE_BODY, PATIENCE_HEAD

MAX_CONNECTIONS = 400
"""Maximum number of connections; above it, the one that has waited longest is closed."""


class Protocol(H11Protocol):
    """A connection of uvicorn that closes if a request does not arrive in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._awaited: type | None = None
        self._end: asyncio.TimerHandle | None = None
        self._watch()
        if len(self.connections) > MAX_CONNECTIONS:
            awaited = [connection for connection in self.connections if connection._end]
            min(awaited, key=lambda connection: connection._end.when()).transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Start the time limit for the next part of the request."""
        upgraded = self.transport.get_protocol() is not self  # a WebSocket may be silent
        state = None if upgraded else self.conn.their_state
        if state is self._awaited:
            return
        self._stop()
        self._awaited = state
        if seconds := {h11.IDLE: PATIENCE_HEAD, h11.SEND_BODY: PATIENCE_BODY}.get(state):
            self._end = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._end:
            self._end.cancel()
            self._end = None


OPTIONS = {
    "http": Protocol,
    "h11_max_incomplete_event_size": MAX_HEAD,
    "ws_max_size": MAX_BODY,
    "log_level": "warning",
    "access_log": False,
    "server_header": False,
    **({"log_config": None} if logs.wants_json() else {}),
}
"""Options of every server here. The access log is off, since a login URL has the token."""


def listen(port: int, what: str, fix: str) -> socket.socket:
    """A socket that is bound to a port of 127.0.0.1; 0 means a free one.

    Raises:
        LocError: the port cannot be used; ``what`` and ``fix`` are its first and last sentence.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise LocError(what, f"{error.strerror}.", fix) from error
    return listener
