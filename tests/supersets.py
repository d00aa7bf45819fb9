"""Starts Superset as its services do, in the folders of a test."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from proto_loc.settings import ROOT


@dataclass
class Superset:
    """A data folder with Superset's metadata, and the server that a test starts on it."""

    home: Path
    prefix: str
    more: dict[str, str] = field(default_factory=dict)
    """Additional settings."""
    server: subprocess.Popen | None = None
    before: tuple[httpx.Response, ...] = ()
    """The answers to a chart and to SQL queries before the first publish."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.prefix}8088"

    @property
    def database(self) -> Path:
        return self.home / "data/superset/superset.db"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LOC_")}
        mine = {
            "LOC_DATA": str(self.home / "data"),
            "LOC_RUN": str(self.home / "run"),
            "LOC_PORT_PREFIX": self.prefix,
        }
        return kept | mine | self.more

    def loc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a command of ``loc`` and wait until it ends."""
        done = subprocess.run(
            [ROOT / "loc", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def run(self, module: str, *arguments: str) -> subprocess.CompletedProcess:
        """Run a module of proto_loc in Superset's environment, as `loc superset` does."""
        code = (
            "import os, sys; from proto_loc import services; command, env ="
            " services.start('superset-provision');os.execvpe(command[0], [*command[:2],"
            " *sys.argv[1:]], env)"
        )
        return subprocess.run(
            [ROOT / ".venvs/platform/bin/python", "-c", code, module, *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def provision(self, *arguments: str, folder: Path | None = None, check: bool = True) -> str:
        """Provision Superset from the repository's files or from ``folder``; return the output."""
        if folder:
            done = self.run("proto_loc.superset.provision", "--folder", str(folder), *arguments)
            assert not check or done.returncode == 0, done.stdout + done.stderr
        else:
            done = self.loc("superset", "provision", *arguments, check=check)
        return done.stdout + done.stderr

    def start(self) -> "Superset":
        """Start the server, and wait until it answers."""
        log = (self.home / "superset.log").open("a")
        self.server = subprocess.Popen(
            [ROOT / "loc", "exec", "superset"],
            cwd=ROOT,
            env=self.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        end = time.monotonic() + 90
        while not self._answers():
            assert self.server.poll() is None and time.monotonic() < end, self.log()
            time.sleep(0.1)
        return self

    def stop(self) -> None:
        if self.server:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(30)
            self.server = None

    def log(self) -> str:
        return (self.home / "superset.log").read_text()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", trust_env=False).text == "OK"
        except httpx.HTTPError:
            return False

    def workers(self) -> set[int]:
        """Return the process ids of gunicorn's worker processes."""
        found = set()
        for child in psutil.Process(self.server.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # a process has just ended
                if all(
                    "gunicorn" in " ".join(process.cmdline()) for process in (child, child.parent())
                ):
                    found.add(child.pid)
        return found

    def memory(self) -> int:
        """Return the resident memory of the server's processes, in bytes."""
        held = 0
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.server.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    held += process.memory_info().rss
        return held

    def password(self) -> str:
        return (self.home / "run/secrets/superset-admin").read_text().strip()

    def log_in(self, name: str = "admin", password: str | None = None) -> "Person":
        """Log in as this person; return the browser session.

        Raises:
            AssertionError: Superset refuses the log-in.
        """
        person = Person(self.url)
        answer = person.submit(name, password or self.password())
        assert answer.status_code == 302 and "login" not in answer.headers["location"], answer.text
        person.refresh_token()
        return person

    def add_person(self, name: str, *roles: str) -> "Person":
        """Add a person with these roles and log in; the password is ``password-of-NAME``."""
        admin = self.log_in()
        ids = {role["name"]: role["id"] for role in admin.items("security/roles")}
        admin.call(
            "POST",
            "security/users/",
            {
                "username": name,
                "first_name": name,
                "last_name": "Test",
                "email": f"{name}@localhost.invalid",
                "password": f"password-of-{name}",
                "active": True,
                "roles": [ids[role] for role in roles],
            },
        )
        return self.log_in(name, f"password-of-{name}")


class Person(httpx.Client):
    """A browser session: cookies, and the CSRF token in each request."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, timeout=120, trust_env=False)

    def submit(self, name: str, password: str) -> httpx.Response:
        """Fill in and submit the log-in form."""
        page = self.get("/login/").text.replace("&#34;", '"')
        token = re.search(r'csrf_token"?[^>]*?(?:value=|: )"([^"]+)"', page)
        form = {"username": name, "password": password, "csrf_token": token[1] if token else ""}
        return self.post("/login/", data=form)

    def refresh_token(self) -> None:
        self.headers["X-CSRFToken"] = self.get("/api/v1/security/csrf_token/").json()["result"]

    def call(
        self, method: str, path: str, body: dict | None = None, *, status: int | None = None
    ) -> dict:
        """Call the API; return the answer.

        Args:
            status: the expected status; any 2xx if it is not given.
        """
        answer = self.request(method, f"/api/v1/{path}", json=body)
        assert answer.status_code == status if status else answer.is_success, (
            f"{answer.status_code} {answer.text}"
        )
        return answer.json()

    def items(self, kind: str) -> list[dict]:
        return self.call("GET", f"{kind}/?q=(page_size:100)")["result"]

    def item(self, kind: str, **wanted: str) -> dict:
        """Return the only item with these values."""
        (found,) = [item for item in self.items(kind) if wanted.items() <= item.items()]
        return found

    def sql(self, statement: str, limit: int = 1000) -> httpx.Response:
        """Run a statement in SQL Lab."""
        database = self.item("database", database_name="prod")["id"]
        return self.post("/api/v1/sqllab/execute/", json={
            "database_id": database, "sql": statement, "runAsync": False, "queryLimit": limit,
            "client_id": os.urandom(5).hex(),
        })  # fmt: skip

    def rows(self, statement: str, limit: int = 1000) -> list[dict]:
        answer = self.sql(statement, limit)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def refusal(self, statement: str) -> str:
        """Return the error message that a person reads if the statement is refused or fails."""
        answer = self.sql(statement)
        assert 400 <= answer.status_code < 500, f"{answer.status_code} {answer.text}"
        text = " ".join(error["message"] for error in answer.json()["errors"])
        assert "Traceback" not in answer.text
        return text

    def chart(self, *metrics: str, by: tuple[str, ...] = (), **query) -> httpx.Response:
        """Request data of the dataset mart_taxi_trips, as a chart does."""
        dataset = self.item("dataset", table_name="mart_taxi_trips")["id"]
        return self.post(
            "/api/v1/chart/data",
            json={
                "datasource": {"id": dataset, "type": "table"},
                "result_format": "json",
                "result_type": "full",
                "queries": [{"metrics": list(metrics), "columns": list(by), **query}],
            },
        )

    def figures(self, *metrics: str, by: tuple[str, ...] = (), **query) -> list[dict]:
        answer = self.chart(*metrics, by=by, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"][0]["data"]


def copied(template: Path, home: Path) -> Path:
    """Copy the folders of a Superset that is provisioned and not running."""
    shutil.copytree(template, home, symlinks=True, dirs_exist_ok=True)
    return home


def dashboard(person: Person, title: str, chart: int) -> int:
    """Create a dashboard with one chart, as the editor saves it; return its id."""
    position = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": ["ROW-a"], "parents": ["ROOT_ID"]},
        "ROW-a": {
            "type": "ROW",
            "id": "ROW-a",
            "children": ["CHART-a"],
            "parents": ["ROOT_ID", "GRID_ID"],
            "meta": {"background": "BACKGROUND_TRANSPARENT"},
        },
        "CHART-a": {
            "type": "CHART",
            "id": "CHART-a",
            "children": [],
            "parents": ["ROOT_ID", "GRID_ID", "ROW-a"],
            "meta": {"chartId": chart, "width": 4, "height": 50},
        },
    }
    made = person.call(
        "POST", "dashboard/", {"dashboard_title": title, "position_json": json.dumps(position)}
    )["id"]
    person.call("PUT", f"chart/{chart}", {"dashboards": [made]})
    return made
