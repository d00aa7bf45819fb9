"""The rules of :mod:`proto_loc.origins` in front of Superset, as WSGI."""

from http import HTTPStatus

from proto_loc.origins import Origins


class Guard:
    """A WSGI app around another one that answers this machine's own names and its own pages only.

    Args:
        app: what is guarded.
        origins: what is this machine's own.
    """

    def __init__(self, app, origins: Origins) -> None:
        self.app, self.origins = app, origins

    def __call__(self, environ: dict, start_response):
        refused = self.origins.refusal(
            [environ.get("HTTP_HOST", "")],
            sender=environ.get("HTTP_ORIGIN"),
            site=environ.get("HTTP_SEC_FETCH_SITE"),
            mode=environ.get("HTTP_SEC_FETCH_MODE"),
        )
        if refused is None:
            return self.app(environ, start_response)
        status, text = refused
        start_response(
            f"{status} {HTTPStatus(status).phrase}",
            [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")],
        )
        return [f"{text}\n".encode()]
