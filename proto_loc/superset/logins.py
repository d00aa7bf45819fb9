"""Limits log-in attempts across all worker processes.

Superset 6.1 applies its limit to a view that receives no passwords, and each worker counts alone.
"""

import sqlite3
import time
from contextlib import closing
from http import HTTPStatus
from pathlib import Path

from flask import Flask, Response, g, request
from flask_login import user_logged_in
from limits import parse
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from proto_loc.settings import private_folder

PER_ACCOUNT, PER_ADDRESS = parse("10 per minute"), parse("120 per minute")
ENDPOINTS = ("AuthDBView.login", "SupersetAuthView.login", "SecurityApi.login")
"""The endpoints that receive a password."""


class SqliteStorage(Storage):
    """Stores the counts of the library `limits` in a SQLite file, which all processes share."""

    STORAGE_SCHEME = None  # it is created here, not from a URI
    base_exceptions = sqlite3.Error

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def _open(self) -> sqlite3.Connection:
        """Open the file, which the user may have removed."""
        private_folder(self._path.parent)
        con = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        con.execute(
            "CREATE TABLE IF NOT EXISTS hits (key TEXT PRIMARY KEY, count INTEGER, expires REAL)"
        )
        return con

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        time_now = time.time()
        with closing(self._open()) as con:
            con.execute("DELETE FROM hits WHERE expires < ?", [time_now])
            (count,) = con.execute(
                "INSERT INTO hits VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET count = count +"
                " ? RETURNING count",
                [key, amount, time_now + expiry, amount],
            ).fetchone()
        return count

    def _row(self, key: str) -> tuple[int, float]:
        with closing(self._open()) as con:
            row = con.execute(
                "SELECT count, expires FROM hits WHERE key = ? AND expires >= ?", [key, time.time()]
            )
            return row.fetchone() or (0, time.time())

    def get(self, key: str) -> int:
        return self._row(key)[0]

    def get_expiry(self, key: str) -> float:
        return self._row(key)[1]

    def check(self) -> bool:
        return self._path.exists()

    def reset(self) -> int:
        with closing(self._open()) as con:
            return con.execute("DELETE FROM hits").rowcount

    def clear(self, key: str) -> None:
        with closing(self._open()) as con:
            con.execute("DELETE FROM hits WHERE key = ?", [key])


def limit(app: Flask, path: Path) -> None:
    """Limit failed log-ins by account and by address; a success clears the account's count.

    A successful log-in in a browser sends a signal; for a program, the status of the answer tells.
    """
    storage = SqliteStorage(path)
    limiter = FixedWindowRateLimiter(storage)

    @app.before_request
    def count() -> Response | None:
        if request.method != "POST" or request.endpoint not in ENDPOINTS:
            return None
        given = request.get_json(silent=True) if request.is_json else request.form
        account = str(given.get("username", "")) if hasattr(given, "get") else ""
        g.loc_account = account.lower()
        allowed = [
            limiter.hit(PER_ACCOUNT, "account", g.loc_account),
            limiter.hit(PER_ADDRESS, "address", request.remote_addr or ""),
        ]
        if all(allowed):
            return None
        text = "Too many attempts to log in. Wait a minute, then try again.\n"
        return Response(
            text, 429, {"Retry-After": "60", "Cache-Control": "no-store"}, mimetype="text/plain"
        )

    @app.after_request
    def forget_program(answer: Response) -> Response:
        if request.endpoint == "SecurityApi.login" and answer.status_code == HTTPStatus.OK:
            forget()
        return answer

    @user_logged_in.connect_via(app)
    def forget(*_: object, **__: object) -> None:
        if (account := g.pop("loc_account", None)) is not None:
            limiter.clear(PER_ACCOUNT, "account", account)
            storage.incr(
                PER_ADDRESS.key_for("address", request.remote_addr or ""),
                PER_ADDRESS.get_expiry(),
                -1,
            )
