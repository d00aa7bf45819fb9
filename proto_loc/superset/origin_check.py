"""Puts the rules of :mod:`proto_loc.web.origins` in front of Superset."""

from http import HTTPStatus

from flask import Flask, Response, request
from flask_jwt_extended import verify_jwt_in_request
from flask_login import current_user

from proto_loc.web.origins import MAX_STRANGERS_BODY, Origins, too_large


class Guard:
    """WSGI middleware that accepts requests for this machine's names and from its own pages only.

    Args:
        app: the application behind it.
        origins: the names and origins that are allowed.
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


def bound_strangers(app: Flask) -> None:
    """Refuse a large body without a log-in, before anything reads it."""

    def refuse() -> Response | None:
        if (request.content_length or 0) <= MAX_STRANGERS_BODY or _is_known():
            return None
        text = f"{too_large(MAX_STRANGERS_BODY)} Log in to send more.\n"
        return Response(
            text, 413, {"Cache-Control": "no-store", "Connection": "close"}, mimetype="text/plain"
        )

    # It must come first, because the check of the CSRF token reads forms.
    app.before_request_funcs.setdefault(None, []).insert(0, refuse)


def _is_known() -> bool:
    """Whether the request has a valid session or token."""
    if current_user.is_authenticated:
        return True
    try:
        return verify_jwt_in_request(optional=True, locations=["headers"]) is not None
    except Exception:  # of any kind: the token is not valid
        return False
