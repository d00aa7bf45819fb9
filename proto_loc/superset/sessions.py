"""Logins that no late answer undoes, and that end when the password changes: browser sessions, and
the API's tokens.

Superset keeps no list of sessions: a cookie or token that is signed is good until it expires. So
each bears a mark that is made from the stored hash of the password, and is refused once that is
another one.
"""

import hmac

from flask import Flask, Response, current_app, g, request, session
from flask_jwt_extended import JWTManager
from flask_login import user_logged_in
from superset.security import SupersetSecurityManager
from superset.utils.core import get_user_id

KEY = "loc_password"


def mark(user) -> str:
    """Of the user's password hash; hexadecimal."""
    return hmac.new(
        current_app.secret_key.encode(), (user.password or "").encode(), "sha256"
    ).hexdigest()[:32]


@user_logged_in.connect
def _remember(_app, user, **_) -> None:
    session[KEY] = mark(user)


def keep(app: Flask, endpoints: tuple[str, ...]) -> None:
    """Let answers to who has not logged in set a cookie for a log-in only, which is done at the
    endpoints.

    The log-in page reports what it does. Where that is answered after the log-in, its cookie took
    the place of the new one, and the person was out again. Who brings a token has logged in; the
    cookie then holds their CSRF token.
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
    """Superset's own, with logins that a new password ends, and charts of a person's own
    queries.
    """

    def can_access_schema(self, datasource) -> bool:
        """Superset 6.1 asks for the right to the database where it is a dataset's, and not
        where it is a query's.
        """
        from superset.models.sql_lab import Query

        if isinstance(datasource, Query):
            return datasource.user_id == get_user_id() and self.can_access_database(
                datasource.database
            )
        return super().can_access_schema(datasource)

    def get_rls_cache_key(self, datasource) -> list[str]:
        """What is cached of a query is for one person: Superset 6.1 looks for its tables'
        rules in datasets only.
        """
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
        """The user of a session's cookie, or None."""
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
