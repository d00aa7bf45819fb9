"""Jupyter server extension: limits the body of a request that has no token or cookie.

Tornado reads the whole body before it calls a handler, so any web page could fill the memory.
"""

import hmac

from jupyter_server.base.handlers import JupyterHandler
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.ioloop import IOLoop

ANONYMOUS = 64 << 10
"""Bytes of a body without the token or its cookie; the log-in form needs a few hundred."""
LOGGED_IN = 128 << 20
"""Bytes of a body with the token, such as a notebook; large files are sent in chunks."""
PATIENCE = 30.0
"""Seconds for the headers of a request, for an anonymous body, and of an idle connection."""


def _load_jupyter_server_extension(server) -> None:
    """Set the limits; Jupyter's server calls this."""
    app, start = server.web_app, server.web_app.start_request
    app.start_request = lambda opened, connection: _Bounded(
        app, start(opened, connection), connection
    )

    def be_impatient() -> None:
        server.http_server.conn_params.header_timeout = PATIENCE

    IOLoop.current().add_callback(be_impatient)  # the HTTP server is made after its extensions


class _Bounded(HTTPMessageDelegate):
    """Passes a request to the application, and limits the body of an anonymous one."""

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
        """Whether the request has the token, or the cookie that the token sets."""
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
        except Exception:  # of any kind, because the content of a request is not trusted
            return False
