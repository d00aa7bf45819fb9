"""Makes a new password end all sessions and API tokens of its user.

Superset keeps no list of sessions: a signed cookie or token is valid until it expires. So each
cookie and token contains a mark that is derived from the hash of the password. If the hash changes,
the cookie or token is refused.
"""

import hmac

from flask import Flask, Response, current_app, g, request, session
from flask.sessions import SessionMixin
from flask_jwt_extended import JWTManager
from flask_login import user_logged_in
from superset.security import SupersetSecurityManager
from superset.utils.core import get_user_id

KEY = "loc_password"


def mark(user) -> str:
    """Return a mark that is derived from the hash of the user's password, in hexadecimal."""
    return hmac.new(
        current_app.secret_key.encode(), (user.password or "").encode(), "sha256"
    ).hexdigest()[:32]


@user_logged_in.connect
def _remember(_app, user, **_) -> None:
    session[KEY] = mark(user)


def keep(app: Flask, endpoints: tuple[str, ...]) -> None:
    """Set a session cookie for an anonymous request only at the log-in endpoints, where it is new.

    The log-in page also sends events, and the browser follows the redirect that answers each one,
    to the log-in page. If such an answer arrived after the log-in, its cookie replaced the new one,
    and the user was logged out. So the log-in page sets a cookie only for a first visit and for a
    password. A request with an API token counts as logged in; its cookie contains the CSRF token.
    """

    def sets_one(came: SessionMixin) -> bool:
        return request.method == "POST" or app.config["WTF_CSRF_FIELD_NAME"] not in came

    @app.after_request
    def leave_the_cookie(answer: Response) -> Response:
        if session.modified:
            came = app.session_interface.open_session(app, request) or {}
            user = g.get("user")
            session.modified = (
                "_user_id" in came
                or (user is not None and user.is_authenticated)
                or (request.endpoint in endpoints and sets_one(came))
            )
        return answer


class SecurityManager(SupersetSecurityManager):
    """Superset's security manager: marks sessions, and limits charts of a query to its author."""

    def can_access_schema(self, datasource) -> bool:
        """Check access to a query's database too; Superset 6.1 does this for datasets only."""
        from superset.models.sql_lab import Query

        if isinstance(datasource, Query):
            return datasource.user_id == get_user_id() and self.can_access_database(
                datasource.database
            )
        return super().can_access_schema(datasource)

    def get_rls_cache_key(self, datasource) -> list[str]:
        """Cache the result of a query per user; Superset 6.1 applies the rules to datasets only."""
        from superset.models.sql_lab import Query

        person = [f"person {get_user_id()}"] if isinstance(datasource, Query) else []
        return super().get_rls_cache_key(datasource) + person

    def create_jwt_manager(self, app) -> JWTManager:
        manager = super().create_jwt_manager(app)
        manager.additional_claims_loader(
            lambda identity: {KEY: mark(self.get_user_by_id(int(identity)))}
        )
        return manager

    def load_user(self, pk: int):
        """Return the user of a valid session cookie, or None."""
        return self._if_marked(super().load_user(pk), session.get(KEY))

    def load_user_jwt(self, _jwt_header: dict, jwt_data: dict):
        """Return the user of a valid API token, or None."""
        user = self._if_marked(super().load_user(jwt_data["sub"]), jwt_data.get(KEY))
        if user:
            g.user = user
        return user

    @staticmethod
    def _if_marked(user, mark_given: str | None):
        return user if user and hmac.compare_digest(mark_given or "", mark(user)) else None
