"""An extension of Jupyter's server: how much it reads of a request before it knows who sends it.

Tornado reads a whole body before any handler is asked, so that a page of anyone's could fill the
memory.
"""

import hmac

from jupyter_server.base.handlers import JupyterHandler
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.ioloop import IOLoop

ANONYMOUS = 64 << 10
"""Bytes of a body without the token or its cookie; the log-in's form has some hundred."""
LOGGED_IN = 128 << 20
"""Bytes of a body with it: a notebook with its output. The file browser sends larger files in
pieces.
"""
PATIENCE = 30.0
"""Seconds for all headers of a request, for a body without the token, and for which an idle
connection is kept.
"""


def _load_jupyter_server_extension(server) -> None:
    """Called by Jupyter's server."""
    app, start = server.web_app, server.web_app.start_request
    app.start_request = lambda opened, connection: _Bounded(
        app, start(opened, connection), connection
    )

    def be_impatient() -> None:
        server.http_server.conn_params.header_timeout = PATIENCE

    IOLoop.current().add_callback(be_impatient)  # the server itself is made after its extensions


class _Bounded(HTTPMessageDelegate):
    """A request on its way to the application, whose body is read as far as its sender may go."""

    def __init__(self, app, request: HTTPMessageDelegate, connection) -> None:
        self.app, self.connection = app, connection
        self.data_received, self.finish = request.data_received, request.finish
        self.on_connection_close, self.forward = (
            request.on_connection_close,
            request.headers_received,
        )

    def headers_received(self, start_line, headers):
        body = headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers
        if body and not self._knows(start_line, headers):
            self.connection.set_max_body_size(ANONYMOUS)
            self.connection.set_body_timeout(PATIENCE)
        return self.forward(start_line, headers)

    def _knows(self, start_line, headers) -> bool:
        """Whether the request bears the token or the cookie that the token gives."""
        try:
            request = HTTPServerRequest(
                start_line=start_line, headers=headers, connection=self.connection
            )
            handler = JupyterHandler(self.app, request)
            provider = handler.identity_provider
            token = provider.get_token(handler) or ""
            return hmac.compare_digest(token.encode(), provider.token.encode()) or bool(
                provider.get_user_cookie(handler)
            )
        except Exception:  # of many kinds, for what a request holds is anyone's
            return False
