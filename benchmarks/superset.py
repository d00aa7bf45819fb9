"""Measures Superset's chart-data API against DuckDB, and its dashboards during refreshes."""

import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

import duckdb
import httpx
import psutil
import yaml

from benchmarks import content, environment, timed
from benchmarks.stack import _memory
from proto_loc import credentials, warehouse
from proto_loc.errors import LocError
from proto_loc.settings import ROOT, settings

VIEWERS = 10
PERSONS = "bench-viewer-{}"
PAUSE = 10
"""Seconds between two views of one viewer: the shortest refresh interval of a dashboard."""
TARGET = 2.0
"""Target in seconds for the 95th percentile of a warm dashboard."""

Report = Callable[[str], None]
"""Called with the name of the next measurement."""


@dataclass
class Figures:
    """The results, in seconds unless stated otherwise."""

    provisions: list[float] = field(default_factory=list)
    """The duration of a first provisioning, and of one without changes."""
    boot: float = 0
    """From the start of the server to its first answer."""
    memory: int = 0
    """Memory (PSS) of all processes of the server at the end, in bytes."""
    api: dict[str, list[float]] = field(default_factory=dict)
    """By chart: the time of the chart-data API without its cache."""
    bare: dict[str, list[float]] = field(default_factory=dict)
    """By chart: the time of the same SQL on DuckDB, with the guard's threads and memory."""
    warm: list[float] = field(default_factory=list)
    """Time of all charts together, for a viewer who has seen the version before."""
    first: list[float] = field(default_factory=list)
    """The same for the first view of a version by any viewer."""
    others: list[float] = field(default_factory=list)
    """The same for a viewer's first view of a version that somebody else has seen."""
    publishes: int = 0
    errors: list[str] = field(default_factory=list)
    stale: int = 0
    """Number of charts that showed an older version than the one published before."""

    def faults(self) -> list[str]:
        """Return what went wrong, one sentence each."""
        old = [f"{self.stale} charts of an old version"] if self.stale else []
        return [*self.errors[:10], *old]


def share(values: list[float], percent: int) -> float:
    """Return a percentile of the values."""
    return (
        quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
    )


def measure(
    rows: int, folder: Path, *, prefix: str, seconds: float, repeat: int, report: Report
) -> Figures:
    """Provision and start Superset on a separate data folder, measure, and stop it.

    Args:
        rows: number of rows of the sample.
        folder: an empty folder.
        prefix: its ``LOC_PORT_PREFIX``.
        seconds: duration of the test with viewers and refreshes.
        repeat: number of requests of each chart without the cache.

    Raises:
        NothingToMeasure: no source has a sample, or there is no chart.
        LocError: a command failed.
    """
    configs = _configs()
    done = Figures()
    with environment(LOC_DATA=folder / "data", LOC_RUN=folder / "run", LOC_PORT_PREFIX=prefix):
        report(f"a sample of {rows:,} rows")
        content.publish_sample(rows)
        report("provisioning, twice")
        done.provisions = [timed(ROOT / "loc", "superset", "provision") for _ in range(2)]
        with _served(done, folder) as server:
            admin = Person("admin", credentials.secret("superset-admin"))
            charts = _charts(admin, configs)
            report(
                f"each of {len(charts)} charts without the cache, {repeat} times, and its SQL bare"
            )
            _one_by_one(done, admin, charts, repeat)
            report(f"{VIEWERS} viewers for {seconds:g} s, beside refreshes")
            people = [_add(admin, number) for number in range(VIEWERS)]
            _crowd(done, people, charts, seconds)
            family = (server, *server.children(recursive=True))
            done.memory = sum(_memory(process) for process in family)
    return done


class Person(httpx.Client):
    """A browser session with cookies and a CSRF token."""

    def __init__(self, name: str, password: str) -> None:
        super().__init__(
            base_url=f"http://127.0.0.1:{settings().port('superset')}", timeout=120, trust_env=False
        )
        page = self.get("/login/").text.replace("&#34;", '"')
        token = re.search(r'csrf_token"?[^>]*?(?:value=|: )"([^"]+)"', page)
        self.post(
            "/login/",
            data={"username": name, "password": password, "csrf_token": token[1] if token else ""},
        )
        self.headers["X-CSRFToken"] = self.get("/api/v1/security/csrf_token/").json()["result"]


@contextmanager
def _served(done: Figures, folder: Path):
    """Run the service during the block, and record the time until it answers."""
    health = f"http://127.0.0.1:{settings().port('superset')}/health"
    start = time.perf_counter()
    log = (folder / "superset.log").open("w")
    process = subprocess.Popen([ROOT / "loc", "exec", "superset"], cwd=ROOT, stdout=log, stderr=log)
    try:
        while True:
            try:
                if httpx.get(health, trust_env=False).text == "OK":
                    break
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.perf_counter() - start > 120:
                raise LocError(
                    "Superset does not answer.",
                    (folder / "superset.log").read_text()[-1000:],
                    "Mend that.",
                )
            time.sleep(0.02)
        done.boot = time.perf_counter() - start
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _charts(admin: Person, configs: list[dict]) -> dict[str, dict]:
    """Return the request body of each chart by its title, made from the chart's parameters."""
    number = {chart["uuid"]: chart for chart in _all(admin, "chart")}
    bodies = {}
    times = {dataset["uuid"]: dataset.get("main_dttm_col") for dataset in _read("datasets")}
    for config in configs:
        params, dataset = config["params"], number[config["uuid"]]["datasource_id"]
        columns = _listed(params, "groupby", "groupbyRows", "groupbyColumns", "entity", "series")
        query = {
            "metrics": _listed(params, "metrics", "metric", "size", "x", "y"),
            "row_limit": params.get("row_limit", 10_000),
            "filters": [
                {"col": each["subject"], "op": each["operator"], "val": each.get("comparator")}
                for each in params.get("adhoc_filters", [])
                if each["operator"] != "TEMPORAL_RANGE"
            ],
        }
        if isinstance(axis := params.get("x_axis"), str):
            is_time = axis == times[config["dataset_uuid"]]
            grain = params.get("time_grain_sqla") if is_time else None
            base = {
                "columnType": "BASE_AXIS",
                "sqlExpression": axis,
                "label": axis,
                "expressionType": "SQL",
            }
            columns = [base | ({"timeGrain": grain} if grain else {}), *columns]
        if params.get("timeseries_limit_metric"):
            query["orderby"] = [
                [params["timeseries_limit_metric"], not params.get("order_desc", True)]
            ]
        bodies[config["slice_name"]] = {
            "datasource": {"id": dataset, "type": "table"},
            "queries": [{**query, "columns": columns}],
            "result_format": "json",
            "result_type": "full",
        }
    return bodies


def _configs() -> list[dict]:
    """Return the charts of the dashboard with the most charts.

    Raises:
        NothingToMeasure: no dashboard of the project has a chart.
    """
    uuids: set[str] = set()
    for dashboard in _read("dashboards"):
        nodes = dashboard["position"].items()
        placed = {node["meta"]["uuid"] for key, node in nodes if key.startswith("CHART-")}
        uuids = max(uuids, placed, key=len)
    if not uuids:
        raise content.NothingToMeasure(
            "There is no chart to measure.",
            "No dashboard in superset/bundle/dashboards has one.",
            "Make one and export it: docs/dashboards.md shows how.",
        )
    return [config for config in _read("charts") if config["uuid"] in uuids]


def _read(folder: str) -> list[dict]:
    """Read the files of a folder of the bundle."""
    paths = sorted((ROOT / "superset/bundle" / folder).glob("*.yaml"))
    return [yaml.safe_load(path.read_text()) for path in paths]


def _listed(params: dict, *keys: str) -> list:
    values = []
    for key in keys:
        value = params.get(key) or []
        values += value if isinstance(value, list) else [value]
    return values


def _all(admin: Person, kind: str) -> list[dict]:
    listed = admin.get(
        f"/api/v1/{kind}/?q=(page_size:100,columns:!(id,uuid,datasource_id,table_name,slice_name,name))"
    )
    return listed.json()["result"]


def _add(admin: Person, number: int) -> Person:
    """Create an account for a viewer, and log in."""
    name, password = PERSONS.format(number), os.urandom(16).hex()
    roles = {
        each["name"]: each["id"]
        for each in admin.get("/api/v1/security/roles/?q=(page_size:100)").json()["result"]
    }
    made = admin.post(
        "/api/v1/security/users/",
        json={
            "username": name,
            "first_name": name,
            "last_name": "Bench",
            "email": f"{name}@localhost.invalid",
            "password": password,
            "active": True,
            "roles": [roles["Viewer"], roles["All rows"]],
        },
    )
    if not made.is_success:
        raise LocError("A viewer's account cannot be made.", made.text, "Mend that.")
    return Person(name, password)


def _one_by_one(done: Figures, admin: Person, charts: dict[str, dict], repeat: int) -> None:
    limits, statements = settings(), {}
    for title, body in charts.items():
        for run in range(repeat + 1):
            start = time.perf_counter()
            answer = admin.post("/api/v1/chart/data", json={**body, "force": True})
            taken = time.perf_counter() - start
            if answer.status_code != 200:
                raise LocError(
                    f"The chart {title!r} is not answered.", answer.text[:500], "Mend that."
                )
            statements[title] = answer.json()["result"][0]["query"]
            if run:  # the first run reads from the disk
                done.api.setdefault(title, []).append(taken)
    options = {"threads": limits.query_threads, "memory_limit": limits.query_memory}
    with duckdb.connect(str(warehouse.current("prod").path), read_only=True, config=options) as con:
        for title, statement in statements.items():
            for run in range(repeat + 1):
                start = time.perf_counter()
                con.execute(statement).fetchall()
                if run:
                    done.bare.setdefault(title, []).append(time.perf_counter() - start)


def _crowd(done: Figures, people: list[Person], charts: dict[str, dict], seconds: float) -> None:
    """Let viewers open the dashboard repeatedly, with six requests at a time as in a browser."""
    ended, lock, seen = threading.Event(), threading.Lock(), set()
    versions = [warehouse.current("prod").id]

    def look(person: Person) -> None:
        last = None
        with ThreadPoolExecutor(6) as pool:
            ended.wait(random.uniform(0, PAUSE))  # viewers do not start at the same moment
            while not ended.is_set():
                published = versions[-1]
                with lock:
                    is_first = published not in seen
                    seen.add(published)
                start = time.perf_counter()
                answers = list(pool.map(lambda body: _ask(person, body), charts.values()))
                taken = time.perf_counter() - start
                with lock:
                    kind = (
                        done.first if is_first else done.warm if last == published else done.others
                    )
                    kind.append(taken)
                    for error, version in answers:
                        done.errors += [error] if error else []
                        done.stale += version is not None and version < published
                last = published if versions[-1] == published else None
                ended.wait(PAUSE)

    threads = [threading.Thread(target=look, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended.wait(seconds / 4)
        timed(ROOT / "loc", "refresh", "--force", "--direct")
        versions.append(warehouse.current("prod").id)
        done.publishes += 1
    ended.set()
    for thread in threads:
        thread.join()


def _ask(person: Person, body: dict) -> tuple[str, int | None]:
    """Request a chart: return an error or an empty text, and the version that the chart shows."""
    try:
        answer = person.post("/api/v1/chart/data", json=body)
    except httpx.HTTPError as error:
        return repr(error), None
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.text[:200]}", None
    rows = answer.json()["result"][0]["data"]
    return "", next((row["version_id"] for row in rows if "version_id" in row), None)
