"""Publishes small versions of prod, and starts the home page on them."""

import httpx
from running import Running

from proto_loc import credentials, warehouse

CHECKS = {"pass": 3}
LONG = "mart_" + "with_a_name_that_is_longer_than_a_phone_is_wide_" * 2


class Home(Running):
    """The service ``home``, with a client that is logged in."""

    def __init__(self) -> None:
        super().__init__("home")

    def opened(self) -> None:
        self.token = credentials.secret("home")
        self.client = self.browser(authorization=f"Bearer {self.token}")

    def browser(self, **headers: str) -> httpx.Client:
        """A client with these headers that follows no redirects."""
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60)

    def text(self, path: str = "/") -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text


def publish(rows: int, who: str = "test", **facts) -> warehouse.Version:
    """Publish a version of prod whose mart has this many rows."""
    with warehouse.write("prod", who=who) as session:
        with session.connect() as con:
            con.execute("create schema if not exists marts")
            con.execute(f"create or replace table marts.sales as from range({rows})")
            con.execute(f"create or replace table marts.{LONG} as select 1 as one")
        session.checks, session.facts = CHECKS, facts
    return session.version
