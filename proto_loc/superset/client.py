"""Client of this platform's Superset: a person who is logged in, as in a browser."""

import html
import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

import httpx

from proto_loc import credentials
from proto_loc.errors import LocError
from proto_loc.settings import settings

ADMIN = "admin"
PAGE = 100
"""Entries of one page of a list."""
FIX = "See: ./loc logs superset"


@dataclass(frozen=True)
class Rows:
    """The rows of a query, and the SQL that Superset ran for them."""

    rows: list[dict]
    sql: str


class Person:
    """Context manager of the session of a person: cookies and the CSRF token.

    Args:
        password: by default that of the admin, from its secret.

    Raises:
        LocError: on entry, if Superset does not answer or refuses the log-in.
    """

    def __init__(self, name: str = ADMIN, password: str = "", timeout: float = 60) -> None:
        self.name, self.password = name, password
        address = f"http://127.0.0.1:{settings().port('superset')}"
        self.http = httpx.Client(base_url=address, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        try:
            self._log_in()
        except BaseException:
            self.http.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def _log_in(self) -> None:
        page = html.unescape(self._send("GET", "/login/").text)
        token = re.search(r'csrf_token"?[^>]*?(?:value=|: )"([^"]+)"', page)
        form = {
            "username": self.name,
            "password": self.password or credentials.secret("superset-admin"),
            "csrf_token": token[1] if token else "",
        }
        answer = self._send("POST", "/login/", data=form)
        if answer.status_code != 302 or "login" in answer.headers["location"]:
            raise LocError(
                f"Superset refuses the log-in of {self.name}.",
                f"It answers {answer.status_code}.",
                "The password of the admin is a secret: ./loc urls shows it; if a person has"
                " changed it in Superset, validate cannot log in.",
            )
        self.http.headers["X-CSRFToken"] = self.call("GET", "security/csrf_token/")["result"]

    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        """Call the API and return its answer; numbers with a point are an exact ``Decimal``.

        Raises:
            LocError: Superset does not answer, or refuses the call.
        """
        answer = self._send(method, f"/api/v1/{path}", json=body)
        if not answer.is_success:
            raise LocError(
                f"Superset refuses {method} {path.partition('?')[0]} of {self.name}.",
                f"{answer.status_code} {answer.text[:300]}",
                FIX,
            )
        return json.loads(answer.content, parse_float=Decimal)

    def items(self, kind: str) -> list[dict]:
        """Every entry of a list, such as ``dataset`` or ``security/roles``."""
        entries: list[dict] = []
        while True:
            query = f"(page:{len(entries) // PAGE},page_size:{PAGE})"
            part = self.call("GET", f"{kind}/?q={query}")["result"]
            entries += part
            if len(part) < PAGE:
                return entries

    def ask(self, dataset: int, **query: object) -> Rows:
        """Ask a dataset, as a chart does: ``metrics``, ``columns``, ``row_limit``, ..."""
        (answer,) = self.chart_data(
            {
                "datasource": {"id": dataset, "type": "table"},
                "queries": [query],
                "result_format": "json",
                "result_type": "full",
            }
        )
        return answer

    def chart_data(self, context: dict) -> list[Rows]:
        """Run the queries of a chart's query context.

        Raises:
            LocError: one fails.
        """
        answers = self.call("POST", "chart/data", context)["result"]
        if failed := next((answer for answer in answers if answer.get("error")), None):
            raise LocError("Superset cannot answer a chart.", str(failed["error"]), FIX)
        return [Rows(answer["data"] or [], answer.get("query", "")) for answer in answers]

    def add_person(self, name: str, password: str, roles: tuple[str, ...]) -> int:
        """Make an account with these roles, and return its id.

        Raises:
            LocError: there is such an account, or no such role.
        """
        known = {role["name"]: role["id"] for role in self.items("security/roles")}
        if missing := [role for role in roles if role not in known]:
            raise LocError(
                f"Superset has no role {missing[0]}.", "", "./loc superset provision makes it."
            )
        account = {
            "username": name,
            "first_name": name,
            "last_name": "proto_loc",
            "email": f"{name}@localhost.invalid",
            "password": password,
            "active": True,
            "roles": [known[role] for role in roles],
        }
        return self.call("POST", "security/users/", account)["id"]

    def remove_person(self, number: int) -> None:
        """Remove an account by its id."""
        self.call("DELETE", f"security/users/{number}")

    def _send(self, method: str, path: str, **options: object) -> httpx.Response:
        try:
            return self.http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise LocError(
                f"Superset on {self.http.base_url} does not answer.",
                f"{type(error).__name__}: {error}.",
                "Start it with ./loc up -d, or see what is wrong: ./loc status",
            ) from error
