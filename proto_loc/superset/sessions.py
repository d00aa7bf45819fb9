"""Makes a new password end all sessions and API tokens of its user.

Superset keeps no list of sessions: a signed cookie or token is valid until it expires. So each
contains a mark that is derived from the hash of the password, and is refused when that changes.
"""

import hmac

from flask import Flask, Response, current_app, g, request, session
from flask_jwt_extended import JWTManager
from flask_login import user_logged_in
from superset.security import SupersetSecurityManager
from superset.utils.core import get_user_id

KEY = "loc_password"


def mark(user) -> str:
    """The mark of the user's password hash, in hexadecimal."""
    return hmac.new(
        current_app.secret_key.encode(), (user.password or "").encode(), "sha256"
    ).hexdigest()[:32]


@user_logged_in.connect
def _remember(_app, user, **_) -> None:
    session[KEY] = mark(user)


def keep(app: Flask, endpoints: tuple[str, ...]) -> None:
    """Let an anonymous request set a session cookie only at the log-in endpoints.

    The log-in page also reports events. If such an answer came after the log-in, its cookie
    replaced the new one, and the user was logged out. A request with an API token counts as logged
    in; its cookie contains the CSRF token.
    """

    @app.after_request
    def leave_the_cookie(answer: Response) -> Response:
        if session.modified and request.endpoint not in endpoints:
            came = app.session_interface.open_session(app, request)
            user = g.get("user")
            session.modified = "_user_id" in (came or {}) or (
                user is not None and user.is_authenticated
            )
        return answer


class SecurityManager(SupersetSecurityManager):
    """Superset's security manager, with marked sessions and charts of a user's own queries."""

    def can_access_schema(self, datasource) -> bool:
        """Check the database too if it is a query: Superset 6.1 does that for datasets only."""
        from superset.models.sql_lab import Query

        if isinstance(datasource, Query):
            return datasource.user_id == get_user_id() and self.can_access_database(
                datasource.database
            )
        return super().can_access_schema(datasource)

    def get_rls_cache_key(self, datasource) -> list[str]:
        """Cache a query's result per user: Superset 6.1 finds the rules of datasets only."""
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
        """The user of a session cookie, or None."""
        return self._if_marked(super().load_user(pk), session.get(KEY))

    def load_user_jwt(self, _jwt_header: dict, jwt_data: dict):
        """The user of a token, or None."""
        user = self._if_marked(super().load_user(jwt_data["sub"]), jwt_data.get(KEY))
        if user:
            g.user = user
        return user

    @staticmethod
    def _if_marked(user, mark_given: str | None):
        return user if user and hmac.compare_digest(mark_given or "", mark(user)) else None
