"""Superset's chart-data API against bare DuckDB, and its dashboards under viewers while the data is
refreshed.
"""

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
"""Seconds between two looks of a viewer: the shortest interval at which Superset's pages refresh
themselves.
"""
TARGET = 2.0
"""Seconds: the 95th percentile of what a viewer waits for a warm dashboard."""

Report = Callable[[str], None]
"""Called with what is being measured next."""


@dataclass
class Figures:
    """Seconds, unless said otherwise."""

    provisions: list[float] = field(default_factory=list)
    """The first one, and one that finds nothing to do."""
    boot: float = 0
    """From the start of the server to its first answer."""
    memory: int = 0
    """PSS of the two workers, their parent and the readers of both, in bytes, after the
    measurements.
    """
    api: dict[str, list[float]] = field(default_factory=dict)
    """Per chart of the dashboard: the chart-data API without its cache."""
    bare: dict[str, list[float]] = field(default_factory=dict)
    """Per chart: the same SQL on a bare DuckDB connection with the guard's threads and memory."""
    warm: list[float] = field(default_factory=list)
    """Until all charts of the dashboard are answered, where the viewer saw the version before."""
    first: list[float] = field(default_factory=list)
    """The same for the first view of a version by anybody."""
    others: list[float] = field(default_factory=list)
    """The same for views that began while the first one of the version was being answered."""
    publishes: int = 0
    errors: list[str] = field(default_factory=list)
    stale: int = 0
    """Charts that showed less than what was published before their request."""


def share(values: list[float], percent: int) -> float:
    """That percentile; the value itself if there is only one."""
    return (
        quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
    )


def measure(
    rows: int, folder: Path, *, prefix: str, seconds: float, repeat: int, report: Report
) -> Figures:
    """Provision and start a Superset on a data folder of its own, and end it.

    Args:
        rows: of the sample.
        folder: an empty one.
        prefix: its ``LOC_PORT_PREFIX``.
        seconds: how long the viewers look, beside refreshes.
        repeat: how often each chart is asked for without the cache.

    Raises:
        LocError: no source has a sample, there is no chart, or a command failed.
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
            done.memory = sum(_memory(each) for each in (server, *server.children(recursive=True)))
    return done


class Person(httpx.Client):
    """A browser's session: cookies, and the CSRF token in each request."""

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
    """The service inside of the block; how long it took to answer."""
    start = time.perf_counter()
    log = (folder / "superset.log").open("w")
    process = subprocess.Popen([ROOT / "loc", "exec", "superset"], cwd=ROOT, stdout=log, stderr=log)
    try:
        while True:
            try:
                if (
                    httpx.get(
                        f"http://127.0.0.1:{settings().port('superset')}/health", trust_env=False
                    ).text
                    == "OK"
                ):
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
    """What the dashboard's page asks the chart-data API for, by title: made from the parameters
    as the page does.
    """
    number = {each["uuid"]: each for each in _all(admin, "chart")}
    found = {}
    datasets = _read("datasets")
    times = {dataset["uuid"]: dataset.get("main_dttm_col") for dataset in datasets}
    for config in configs:
        params, dataset = config["params"], number[config["uuid"]]["datasource_id"]
        columns = _listed(params, "groupby", "groupbyRows", "groupbyColumns", "entity", "series")
        query = {
            "metrics": _listed(params, "metrics", "metric", "size", "x", "y"),
            "row_limit": params.get("row_limit", 10_000),
            "filters": [
                {
                    "col": condition["subject"],
                    "op": condition["operator"],
                    "val": condition.get("comparator"),
                }
                for condition in params.get("adhoc_filters", [])
                if condition["operator"] != "TEMPORAL_RANGE"
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
        found[config["slice_name"]] = {
            "datasource": {"id": dataset, "type": "table"},
            "queries": [{**query, "columns": columns}],
            "result_format": "json",
            "result_type": "full",
        }
    return found


def _configs() -> list[dict]:
    """The charts of the dashboard that has most of them.

    Raises:
        LocError: no dashboard of the project has a chart.
    """
    uuids: set[str] = set()
    for dashboard in _read("dashboards"):
        nodes = dashboard["position"].items()
        placed = {node["meta"]["uuid"] for key, node in nodes if key.startswith("CHART-")}
        uuids = max(uuids, placed, key=len)
    if not uuids:
        raise LocError(
            "There is no chart to measure.",
            "No dashboard in superset/bundle/dashboards has one.",
            "Make one and export it: docs/dashboards.md shows how.",
        )
    return [config for config in _read("charts") if config["uuid"] in uuids]


def _read(folder: str) -> list[dict]:
    """The files of a folder of the bundle."""
    paths = sorted((ROOT / "superset/bundle" / folder).glob("*.yaml"))
    return [yaml.safe_load(path.read_text()) for path in paths]


def _listed(params: dict, *keys: str) -> list:
    found = []
    for key in keys:
        value = params.get(key) or []
        found += value if isinstance(value, list) else [value]
    return found


def _all(admin: Person, kind: str) -> list[dict]:
    listed = admin.get(
        f"/api/v1/{kind}/?q=(page_size:100,columns:!(id,uuid,datasource_id,table_name,slice_name,name))"
    )
    return listed.json()["result"]


def _add(admin: Person, number: int) -> Person:
    """A viewer with an account of their own, logged in."""
    name, password = PERSONS.format(number), os.urandom(16).hex()
    roles = {
        role["name"]: role["id"]
        for role in admin.get("/api/v1/security/roles/?q=(page_size:100)").json()["result"]
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
    now, statements = settings(), {}
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
            if run:  # the first one reads from the disk
                done.api.setdefault(title, []).append(taken)
    options = {"threads": now.query_threads, "memory_limit": now.query_memory}
    with duckdb.connect(str(warehouse.current("prod").path), read_only=True, config=options) as con:
        for title, statement in statements.items():
            for run in range(repeat + 1):
                start = time.perf_counter()
                con.execute(statement).fetchall()
                if run:
                    done.bare.setdefault(title, []).append(time.perf_counter() - start)


def _crowd(done: Figures, people: list[Person], charts: dict[str, dict], seconds: float) -> None:
    """Viewers who open the dashboard again and again; each asks for six charts at a time, as a
    browser does.
    """
    ended, lock, seen = threading.Event(), threading.Lock(), set()
    versions = [warehouse.current("prod").id]

    def look(person: Person) -> None:
        last = None
        with ThreadPoolExecutor(6) as pool:
            ended.wait(random.uniform(0, PAUSE))  # people do not come at the same moment
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
    """An error, and the version that a chart of it shows."""
    try:
        answer = person.post("/api/v1/chart/data", json=body)
    except httpx.HTTPError as error:
        return repr(error), None
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.text[:200]}", None
    rows = answer.json()["result"][0]["data"]
    return "", next((row["version_id"] for row in rows if "version_id" in row), None)
