"""Logins that end when the password changes: browser sessions, and tokens of the API with their refresh tokens.

Superset keeps no list of sessions: a cookie or token that is signed is good until it expires. So each bears a mark that
is made from the stored hash of the password, and is refused once that is another one.
"""

import hmac

from flask import current_app, session
from flask_jwt_extended import JWTManager
from flask_login import user_logged_in
from superset.security import SupersetSecurityManager

KEY = "loc_password"


def mark(user) -> str:
    """Of the user's password hash; hexadecimal."""
    return hmac.new(current_app.secret_key.encode(), (user.password or "").encode(), "sha256").hexdigest()[:32]


@user_logged_in.connect
def _remember(_app, user, **_) -> None:
    session[KEY] = mark(user)


class SecurityManager(SupersetSecurityManager):
    """Superset's own, with logins that a new password ends."""

    def create_jwt_manager(self, app) -> JWTManager:
        manager = super().create_jwt_manager(app)
        manager.additional_claims_loader(lambda identity: {KEY: mark(self.get_user_by_id(int(identity)))})
        return manager

    def load_user(self, pk: int):
        """The user of a session's cookie, or None."""
        return self._if_marked(super().load_user(pk), session.get(KEY))

    def load_user_jwt(self, _jwt_header: dict, jwt_data: dict):
        """The user of a token, or None."""
        from flask import g

        user = self._if_marked(super().load_user(jwt_data["sub"]), jwt_data.get(KEY))
        if user:
            g.user = user
        return user

    @staticmethod
    def _if_marked(user, given: str | None):
        return user if user and hmac.compare_digest(given or "", mark(user)) else None
