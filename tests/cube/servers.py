"""Starts Cube's server as the service does, on small published versions."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from proto_loc import credentials, services, warehouse
from proto_loc.settings import ROOT, settings
from proto_loc.setup import node

MODEL = """\
cubes:
  - name: trips
    sql_table: marts.trips
    meta: { access: { boroughs: pickup_borough } }
    dimensions:
      - { name: id, sql: id, type: number, primary_key: true, public: true }
      - { name: pickup_at, sql: pickup_at, type: time }
      - { name: pickup_borough, sql: pickup_borough, type: string }
    measures:
      - { name: trips, type: count }
      - { name: revenue, sql: amount, type: sum }
    segments:
      - { name: all, sql: 1 = 1 }
"""
"""A model for the table that :func:`publish` creates."""


def publish(rows: int = 1000) -> warehouse.Version:
    """Publish a version with ``rows`` trips.

    There is one trip per minute from 2025-01-01, in four boroughs, with the amount 0.10.
    """
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute(f"""
            create schema if not exists marts;
            create or replace table marts.trips as select range as id, 0.10::decimal(12, 2) as
                amount,
                timestamp '2025-01-01' + to_minutes(range) as pickup_at,
                ['Queens', 'Bronx', 'Manhattan', 'Brooklyn'][range % 4 + 1] as pickup_borough from
                    range({rows});
        """)
    return session.version


class Server:
    """The process ``cube`` on the data folder of the environment; a context manager.

    Args:
        model: the folder of the model; default is that of the repository.
        variables: settings, such as ``LOC_CUBE_TIMEOUT``.
    """

    def __init__(self, model: Path | None = None, **variables: object) -> None:
        self.variables = {name: str(value) for name, value in variables.items()}
        if model:
            self.variables["LOC_CUBE_MODEL"] = str(model)

    def __enter__(self) -> "Server":
        self.start()
        end = time.monotonic() + 60
        while self.ready() is None:
            assert self.process.poll() is None and time.monotonic() < end, self.log()
            time.sleep(0.1)
        return self

    def start(self) -> None:
        node.install()
        argv, env = services.start("cube")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.file = settings().run / f"cube-{self.port}.log"
        with self.file.open("w") as log:
            self.process = subprocess.Popen(
                argv,
                cwd=ROOT,
                env=env | self.variables | {"CUBE_PORT": str(self.port)},
                stdout=log,
                stderr=log,
            )
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=90
        )

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.process.terminate()
        assert self.process.wait(20) in (
            0,
            -9,
        ), self.log()  # -9: the server kills itself if it cannot interrupt a query

    def log(self) -> str:
        return self.file.read_text()

    def ready(self) -> httpx.Response | None:
        try:
            return self.http.get("/readyz")
        except httpx.TransportError:
            return None

    def ask(
        self, query: object, *, headers: dict[str, str] | None = None, **claims: object
    ) -> httpx.Response:
        """Send a query to ``/load``, and repeat it while the answer is "Continue wait"."""
        while True:
            answer = self.post(
                "/cubejs-api/v1/load",
                {"query": query, "queryType": "multi"},
                headers=headers,
                **claims,
            )
            if answer.json().get("error") != "Continue wait":
                return answer

    def post(
        self, path: str, body: object, *, headers: dict[str, str] | None = None, **claims: object
    ):
        return self.http.post(
            path,
            json=body,
            headers={"authorization": f"Bearer {token(**claims)}", **(headers or {})},
        )

    def rows(self, query: object, **claims: object) -> list[dict[str, Any]]:
        """Return the rows of an answer."""
        answer = self.ask(query, **claims)
        assert answer.status_code == 200, answer.text
        return answer.json()["results"][0]["data"]

    def trips(self, **claims: object) -> int:
        return int(self.rows({"measures": ["trips.trips"]}, **claims)[0]["trips.trips"])

    def open_files(self) -> set[str]:
        """Return the DuckDB files that the process has open (Linux)."""
        folder = f"/proc/{self.process.pid}/fd"
        links = []
        for name in os.listdir(folder):
            try:
                links.append(os.readlink(f"{folder}/{name}"))
            except FileNotFoundError:
                continue
        return {link for link in links if ".duckdb" in link}


def token(secret: str = "", header: dict | None = None, **claims: object) -> str:
    """Make a JWT without our own code, so that the test checks the server against the standard.

    A token without claims that limit rows sees all rows.
    """
    import base64
    import hmac

    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    if not claims.keys() - {"exp", "nbf"}:
        claims["all_rows"] = True
    header = header or {"alg": "HS256", "typ": "JWT"}
    text = ".".join(
        part(json.dumps(each).encode())
        for each in (header, {"exp": int(time.time()) + 300} | claims)
    )
    if header["alg"] == "none":
        return f"{text}."
    key = (secret or credentials.secret("cube")).encode()
    algorithm = header["alg"].replace("HS", "sha").lower()
    return f"{text}.{part(hmac.digest(key, text.encode(), algorithm))}"
