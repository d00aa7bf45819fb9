"""Measures Cube's overhead over its SQL, and how publishes affect clients."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from random import Random

import duckdb
import httpx
import psutil

from benchmarks import content, environment
from benchmarks.content import Mart
from proto_loc import services, warehouse
from proto_loc.credentials import secret
from proto_loc.errors import LocError
from proto_loc.metrics.definitions import Dimension, Metric
from proto_loc.metrics.expressions import written
from proto_loc.settings import ROOT, settings
from proto_loc.setup import node
from proto_loc.warehouse import guard, store

RATIO, EXTRA, CACHED, STALE, START, MEMORY = 2, 0.015, 0.010, 5.0, 6.0, 350e6
"""The targets: twice the lower bound and 15 ms, 10 ms, 5 s, 6 s, 350 MB."""

TIMEOUT = 120
"""Seconds until Cube must answer; a start takes a few."""

Report = Callable[[str], None]
"""Called with the name of the next measurement."""

VERSION = """\
cubes:
  - name: bench_version
    sql_table: marts.bench_version
    measures: [{ name: id, sql: id, type: max }]
"""
"""A cube beside the repository's model: its answer is the id of the version that Cube reads."""


@dataclass(frozen=True)
class Shape:
    """A query for Cube, and the equivalent SQL that a person would write."""

    mart: Mart
    metrics: tuple[Metric, ...]
    dimension: Dimension | None = None
    grain: str = ""
    days: int = 0
    """Number of days from the first one; 0 means all days."""

    @property
    def name(self) -> str:
        by = self.dimension.label.lower() if self.dimension else self.grain
        return f"{f'{self.days} days' if self.days else 'all'}, {f'by {by}' if by else 'whole'}"

    def query(self, first: date, at: int) -> dict:
        """Make Cube's query from the day ``first`` on; a new ``at`` avoids Cube's cache."""
        cube = self.mart.model.name
        query: dict = {
            "measures": [f"{cube}.{metric.name}" for metric in self.metrics],
            "limit": 1000 + at,
        }
        if self.dimension:
            query["dimensions"] = [f"{cube}.{self.dimension.name}"]
        if self.days or self.grain:
            time_dimension = {"dimension": f"{cube}.{self.mart.model.time.name}"}
            if self.grain:
                time_dimension["granularity"] = self.grain
            if self.days:
                last = first + timedelta(days=self.days - 1)
                time_dimension["dateRange"] = [first.isoformat(), last.isoformat()]
            query["timeDimensions"] = [time_dimension]
        return query

    def sql(self, first: date, at: int) -> str:
        time_column = written(self.mart.model.time.of)
        by = f"date_trunc('{self.grain}', {time_column})" if self.grain else ""
        if self.dimension:
            by = written(self.dimension.of)
        start = f"timestamp '{first}'"
        rows = f"{time_column} >= {start} and {time_column} < {start} + interval {self.days} day"
        return " ".join(
            (
                self.mart.select(self.metrics, *filter(None, [by])),
                f"where {rows}" if self.days else "",
                f"group by 1 order by {'1' if self.grain else '2 desc'}" if by else "",
                f"limit {1000 + at}",
            )
        )


def shapes(mart: Mart) -> list[Shape]:
    """Return queries of a mart: totals and groups, over 20 days and over all days."""
    one = mart.metrics[:1]
    return [
        Shape(mart, one, days=20),
        *(Shape(mart, mart.metrics, dimension, days=20) for dimension in mart.dimensions[:1]),
        Shape(mart, one, grain="day", days=20),
        Shape(mart, one, grain="month"),
        *(Shape(mart, mart.metrics, dimension) for dimension in mart.dimensions[-1:]),
    ]


@dataclass
class Latency:
    """Seconds per query of one shape, in Cube and in plain SQL (``floor``). No query is cached."""

    name: str
    cube: list[float]
    floor: list[float]


@dataclass
class Crowd:
    """Results of clients that send queries while versions are published."""

    asked: int = 0
    published: int = 0
    staleness: float = 0.0
    """The longest time in seconds between a publish and the start of a later request whose answer
    came from an older version.
    """
    errors: Counter = field(default_factory=Counter)

    def faults(self) -> list[str]:
        """Return what went wrong, one sentence each."""
        old = [f"an answer was {self.staleness:.1f} s old"] if self.staleness > STALE else []
        return [*(f"{count} x {message}" for message, count in self.errors.most_common(10)), *old]


@dataclass
class Cube:
    """All results of this benchmark."""

    start: float
    """Seconds from the start of the process until /readyz answers."""
    memory: dict[str, int]
    """Proportional set size (PSS) in bytes: after the start, after the queries, before the
    publishes, and after them.
    """
    latencies: list[Latency]
    cached: list[float]
    crowd: Crowd
    publishes: int


def measure(
    rows: int,
    folder: Path,
    *,
    repeat: int,
    seconds: float,
    clients: int,
    publishes: int,
    report: Report,
) -> Cube:
    """Build a sample, serve it, and measure.

    Args:
        rows: number of rows of the sample for the queries; the publishes use a small sample.
        repeat: number of queries of each shape.
        seconds: how long the clients send queries.
        publishes: number of publishes, after which the memory is measured again.

    Raises:
        LocError: no source has a sample, a step failed, or Cube's answer differs from the SQL's.
    """
    memory: dict[str, int] = {}
    with environment(LOC_DATA=folder / "data", LOC_RUN=folder / "run"):
        if not (store.folder("prod") / "current").exists():
            report(f"build a sample of {rows:,} rows")
            content.publish_sample(rows)
        model = folder / "model"
        shutil.copytree(ROOT / "cube/model", model, dirs_exist_ok=True)
        with _server(model) as (server, start):
            memory["at the start"] = server.memory()
            asked = shapes(content.published_mart())
            report(f"{len(asked)} shapes of query, {repeat} times each")
            latencies = [_latency(server, shape, repeat) for shape in asked]
            query = asked[1].query(_days(asked[1].mart)[0], 0)
            cached = [_timed(server.rows, query)[0] for _ in range(10 * repeat)][1:]
            memory["after the queries"] = server.memory()
    with environment(LOC_DATA=folder / "small/data", LOC_RUN=folder / "small/run"):
        report("build a small sample, for publishes")
        content.publish_sample(20_000)
        (model / "bench_version.yml").write_text(VERSION)
        _publish()
        with _server(model, LOC_CUBE_GRACE="2") as (server, _):
            report(f"{clients} clients for {seconds:g} s, while versions are published")
            crowd = _crowd(server, asked, seconds, clients)
            time.sleep(5)
            memory["before the publishes"] = server.memory()
            report(f"{publishes} publishes")
            for _ in range(publishes):
                _publish()
                server.rows({"measures": ["bench_version.id"]})
                server.rows(query)
            time.sleep(5)
            memory[f"after {publishes} publishes"] = server.memory()
    return Cube(start, memory, latencies, cached, crowd, publishes)


def _publish() -> int:
    """Publish a version whose data contains its own id; return the id.

    It does not use dbt, because the benchmark measures only the readers.
    """
    with warehouse.write("prod", who="loc bench") as session, session.connect() as con:
        con.execute(f"create or replace table marts.bench_version as select {session.id} as id")
    return session.id


def _latency(server: "Server", shape: Shape, repeat: int) -> Latency:
    """Measure Cube and the same SQL in turn; each query is new to both.

    The first query of each is not counted.

    Raises:
        LocError: the two results have different numbers of rows.
    """
    random, done = Random(1), Latency(shape.name, [], [])
    first, last = _days(shape.mart)
    with guard.connect(warehouse.current("prod").path) as con:
        for at in range(repeat + 1):
            day = first + timedelta(days=random.randrange(max(1, (last - first).days - 20)))
            sql, query = shape.sql(day, at), shape.query(day, at)
            by_cube, by_sql = _timed(server.rows, query), _timed(_fetch, con, sql)
            if len(by_cube[1]) != len(by_sql[1]):
                found = f"{len(by_cube[1])} and {len(by_sql[1])} rows"
                raise LocError(
                    f"{shape.name}: Cube and the SQL answer differently.", found, f"{query}: {sql}"
                )
            if at:
                done.cube.append(by_cube[0])
                done.floor.append(by_sql[0])
    return done


def _days(mart: Mart) -> tuple[date, date]:
    """Return the first and the last day of the published data."""
    column = written(mart.model.time.of)
    with guard.connect(warehouse.current("prod").path) as con:
        return con.execute(
            f"select min({column})::date, max({column})::date from {mart.table}"
        ).fetchone()


def _fetch(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple]:
    return con.execute(sql).fetchall()


def _timed(work: Callable, *given: object) -> tuple[float, list]:
    """Return the duration of a call in seconds, and its result."""
    start = time.perf_counter()
    result = work(*given)
    return time.perf_counter() - start, result


def _crowd(server: "Server", asked: list[Shape], seconds: float, clients: int) -> Crowd:
    done, lock, numbers = Crowd(), threading.Lock(), count(1)
    stop = time.monotonic() + seconds
    published: dict[int, float] = {}
    first, _ = _days(asked[0].mart)

    def ask(seed: int) -> None:
        random = Random(seed)
        with server.client() as client:
            while time.monotonic() < stop:
                began = time.monotonic()
                shape = random.choice(asked)
                day = first + timedelta(days=random.randrange(60))
                try:
                    version = int(
                        server.rows({"measures": ["bench_version.id"]}, client)[0][
                            "bench_version.id"
                        ]
                    )
                    server.rows(shape.query(day, next(numbers)), client)
                except (LocError, httpx.HTTPError) as error:
                    with lock:
                        done.errors[str(error)[:300]] += 1
                    continue
                missed = [
                    at for later, at in list(published.items()) if later > version and at < began
                ]
                with lock:
                    done.asked += 2
                    done.staleness = max([done.staleness, *(began - at for at in missed)])

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    while time.monotonic() < stop:
        version = _publish()
        published[version] = time.monotonic()
    for thread in threads:
        thread.join()
    done.published = len(published)
    return done


class Server:
    """Cube's process, and the clients that query it."""

    def __init__(self, process: subprocess.Popen, port: int) -> None:
        self.process, self.port = process, port
        self.own = self.client()

    def client(self) -> httpx.Client:
        import base64
        import hmac

        head, body = (
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
            for part in (
                {"alg": "HS256", "typ": "JWT"},
                {"exp": int(time.time()) + 86400, "all_rows": True},
            )
        )
        signed = hmac.digest(secret("cube").encode(), f"{head}.{body}".encode(), "sha256")
        token = f"{head}.{body}.{base64.urlsafe_b64encode(signed).rstrip(b'=').decode()}"
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"authorization": token},
            trust_env=False,
            timeout=120,
        )

    def rows(self, query: dict, client: httpx.Client | None = None) -> list[dict]:
        """Return the rows of Cube's answer.

        Raises:
            LocError: Cube answers with an error.
        """
        while True:
            answer = (client or self.own).post("/cubejs-api/v1/load", json={"query": query}).json()
            if "data" in answer:
                return answer["data"]
            if answer.get("error") != "Continue wait":
                raise LocError("Cube did not answer.", answer.get("error", ""), json.dumps(query))

    def memory(self) -> int:
        info = psutil.Process(self.process.pid).memory_full_info()
        return getattr(info, "pss", 0) or info.rss


@contextmanager
def _server(model: Path, **variables: str) -> Iterator[tuple[Server, float]]:
    """Run Cube on the environment's data; yield it with its start time in seconds."""
    node.install()
    argv, env = services.start("cube")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env |= {"CUBE_PORT": str(port), "LOC_CUBE_MODEL": str(model), **variables}
    began = time.perf_counter()
    with (settings().run / "cube-bench.log").open("w") as log:
        process = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        while True:
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200:
                    break
            if process.poll() is not None or time.perf_counter() - began > TIMEOUT:
                ended = f"It has ended with exit code {process.returncode}"
                waited = f"It did not answer /readyz within {TIMEOUT} s"
                raise LocError(
                    "Cube did not start.",
                    f"{waited if process.returncode is None else ended}. Its log ends with: "
                    + (settings().run / "cube-bench.log").read_text()[-2000:],
                    "",
                )
            time.sleep(0.05)
        yield Server(process, port), time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(30)
