"""ASGI middleware that authenticates requests and rejects those of foreign pages.

A request passes if :mod:`proto_loc.web.origins` allows it and if it carries the token: as a cookie,
which the link ``/?token=...`` sets, or as ``Authorization: Bearer``. The size of a body is limited
here; :mod:`proto_loc.web.serving` has the other limits.
"""

import asyncio
import hmac
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import parse_qsl, urlencode

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proto_loc.web.origins import LINGERING, MAX_BODY, Origins, too_large

PROBE = "/healthz"
"""Path of the health check, which needs no token."""
WHOSE = "/whose"
"""Path that answers ``?nonce=...`` with :func:`proof`: a client checks it, then sends its token."""
LINK = "Log in by the link that `./loc urls` prints."


def link(port: int, token: str) -> str:
    """The URL that logs a browser in."""
    return f"http://127.0.0.1:{port}/?{urlencode({'token': token})}"


async def _whole(receive: Receive) -> bytes | None:
    """Read the body of a request; None if it is too large or the client has disconnected."""
    body, has_more = bytearray(), True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


async def _refuse(refusal: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, and read the rest of the body before the answer ends.

    If a server closes a connection with unread bytes, the client's kernel may drop the answer.
    """

    async def send_and_read(message: Message) -> None:
        if message["type"] == "http.response.body":
            await send({**message, "more_body": True})
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGERING):
                    while (await receive()).get("more_body", False):
                        pass
            message = {"type": "http.response.body"}
        await send(message)

    await refusal(scope, receive, send_and_read)


def proof(token: str, nonce: str, port: int, owner: str) -> str:
    """Return the HMAC of ``owner`` (for example a data folder) under the token, in hexadecimal.

    The HMAC includes the port, so that a server on another port cannot forward the answer.
    """
    return hmac.new(token.encode(), f"{nonce}\0{port}\0{owner}".encode(), "sha256").hexdigest()


class Guard:
    """An ASGI app that wraps another one and lets only this user in.

    Args:
        app: the app to protect, with HTTP and WebSocket.
        token: the secret.
        port: the port on which it listens; the cookie's name contains it, since all ports of a host
            share cookies.
        owner: the text that :data:`WHOSE` proves, for example a data folder.
        way_in: the text for a request without a token, which says how to log in.
        links: whether a link with the token logs a browser in; else only a header is accepted.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        port: int,
        owner: str = "",
        way_in: str = LINK,
        links: bool = True,
    ) -> None:
        self.app, self.token, self.port, self.owner, self.way_in = app, token, port, owner, way_in
        self.links = links
        self.cookie = f"loc_{port}"
        self.origins = Origins(port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        refusal = self._refusal(connection)
        if refusal is None and scope["type"] == "http":
            await self._bounded(scope, receive, send)
        elif refusal is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            # The server answers the handshake with 403.
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _refuse(refusal, scope, receive, send)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on once its body has arrived and is not too large."""
        length = HTTPConnection(scope).headers.get("content-length", "0")
        body = await _whole(receive) if int(length) <= MAX_BODY else None
        if body is None:
            refusal = _answer(413, too_large(), {"connection": "close"})
            await _refuse(refusal, scope, receive, send)
            return
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self.app(scope, replay, send)

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        """The answer to a request that must not pass; None if it may."""
        headers, query = connection.headers, connection.query_params
        refused = self.origins.refusal(
            headers.getlist("host"),
            sender=headers.get("origin"),
            site=headers.get("sec-fetch-site"),
            mode=headers.get("sec-fetch-mode"),
        )
        if refused:
            return _answer(*refused)
        path = connection.url.path
        if path == PROBE:
            return _answer(200, "ok")
        if path == WHOSE:
            return _answer(200, proof(self.token, query.get("nonce", ""), self.port, self.owner))
        linked = self.links and connection.scope["type"] == "http"
        if linked and self._is_token(query.get("token", "")):
            return self._logged_in(connection)
        bearer = headers.get("authorization", "").partition("Bearer ")[2]
        cookie = connection.cookies.get(self.cookie, "") if self.links else ""
        if self._is_token(cookie) or self._is_token(bearer):
            return None
        return _answer(401, self.way_in, {"www-authenticate": "Bearer"})

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.token.encode())

    def _logged_in(self, connection: HTTPConnection) -> Response:
        """Set the cookie and redirect to the same page without the token in its URL."""
        rest = [(name, value) for name, value in parse_qsl(connection.url.query) if name != "token"]
        # A path that starts with two slashes would lead to another host.
        target = "/" + connection.url.path.lstrip("/") + (f"?{urlencode(rest)}" if rest else "")
        response = RedirectResponse(
            target, 303, {"cache-control": "no-store", "referrer-policy": "no-referrer"}
        )
        # In a codespace, the editor opens the link. It is another site, so a browser would not send
        # a strict cookie.
        response.set_cookie(
            self.cookie,
            self.token,
            max_age=90 * 86400,
            httponly=True,
            secure=self.origins.forwarded,
            samesite="lax" if self.origins.forwarded else "strict",
        )
        return response


def _answer(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(text + "\n", status, {"cache-control": "no-store", **(headers or {})})
