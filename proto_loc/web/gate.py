"""The layer in front of every web page of the platform: this machine's own names, this user's
token, no foreign pages.

A request is answered only if :mod:`proto_loc.web.origins` lets it in, and if it
brings the token: as a cookie, which the link ``/?token=...`` sets, or as ``Authorization: Bearer``.
Bodies are bounded; :mod:`proto_loc.web.serving` bounds the rest.
"""

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proto_loc.web.origins import MAX_BODY, Origins, too_large

PROBE = "/healthz"
"""Answers ``ok`` to anyone on this machine, and does no work."""
WHOSE = "/whose"
"""Answers ``?nonce=...`` with :func:`proof`, so that a client knows whose server this is before it
sends its token.
"""


LINK = "Log in by the link that `./loc urls` prints."


def link(port: int, token: str) -> str:
    """The address that logs a browser in."""
    return f"http://127.0.0.1:{port}/?{urlencode({'token': token})}"


async def _whole(receive: Receive) -> bytes | None:
    """The body of a request; None where it is too large, or the client is gone."""
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


def proof(token: str, nonce: str, port: int, owner: str) -> str:
    """What only who knows the token can say about ``owner``, for example a data folder;
    hexadecimal.

    The port is part of it, so that a server on another one cannot pass on what this one says.
    """
    return hmac.new(token.encode(), f"{nonce}\0{port}\0{owner}".encode(), "sha256").hexdigest()


class Guard:
    """An ASGI app around another one that lets only this user in.

    Args:
        app: what is guarded, HTTP and WebSocket alike.
        token: the secret.
        port: where it listens; browsers share cookies among the ports of a host, so the cookie is
            named after it.
        owner: what :data:`WHOSE` proves.
        way_in: what one who brings no token is told.
    """

    def __init__(
        self, app: ASGIApp, *, token: str, port: int, owner: str = "", way_in: str = LINK
    ) -> None:
        self.app, self.token, self.port, self.owner, self.way_in = app, token, port, owner, way_in
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
            await send(
                {"type": "websocket.close", "code": 1008}
            )  # the server answers the handshake with 403
        else:
            await refusal(scope, receive, send)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on once its body is here, and is not too large."""
        length = HTTPConnection(scope).headers.get("content-length", "0")
        body = await _whole(receive) if int(length) <= MAX_BODY else None
        if body is None:
            await _said(413, too_large(), {"connection": "close"})(scope, receive, send)
            return
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self.app(scope, replay, send)

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        """The answer to a request that is not let in; None for one that is."""
        headers, query = connection.headers, connection.query_params
        refused = self.origins.refusal(
            headers.getlist("host"),
            sender=headers.get("origin"),
            site=headers.get("sec-fetch-site"),
            mode=headers.get("sec-fetch-mode"),
        )
        if refused:
            return _said(*refused)
        path = connection.url.path
        if path == PROBE:
            return _said(200, "ok")
        if path == WHOSE:
            return _said(200, proof(self.token, query.get("nonce", ""), self.port, self.owner))
        presented = query.get("token")
        if (
            presented is not None
            and connection.scope["type"] == "http"
            and self._is_token(presented)
        ):
            return self._logged_in(connection)
        bearer = headers.get("authorization", "").partition("Bearer ")[2]
        if self._is_token(connection.cookies.get(self.cookie, "")) or self._is_token(bearer):
            return None
        return _said(401, self.way_in, {"www-authenticate": "Bearer"})

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.token.encode())

    def _logged_in(self, connection: HTTPConnection) -> Response:
        """Sets the cookie, and leads to the same page without the token in its address."""
        rest = [(name, value) for name, value in parse_qsl(connection.url.query) if name != "token"]
        # A path of two slashes would lead to another host.
        target = "/" + connection.url.path.lstrip("/") + (f"?{urlencode(rest)}" if rest else "")
        response = RedirectResponse(
            target, 303, {"cache-control": "no-store", "referrer-policy": "no-referrer"}
        )
        # A codespace's link is followed from a page of another site, the editor: a strict cookie
        # would not come along.
        response.set_cookie(
            self.cookie,
            self.token,
            max_age=90 * 86400,
            httponly=True,
            secure=self.origins.forwarded,
            samesite="lax" if self.origins.forwarded else "strict",
        )
        return response


def _said(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(text + "\n", status, {"cache-control": "no-store", **(headers or {})})
