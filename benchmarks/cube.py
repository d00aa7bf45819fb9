"""What Cube adds to the SQL that it runs, and what publishes do to those who ask meanwhile."""

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
from statistics import median

import duckdb
import httpx
import psutil

from benchmarks import environment
from proto_loc import services, warehouse
from proto_loc.credentials import secret
from proto_loc.errors import LocError
from proto_loc.settings import ROOT, settings
from proto_loc.setup import node
from proto_loc.warehouse import guard, store

RATIO, EXTRA, CACHED, STALE, START, MEMORY = 2, 0.015, 0.010, 5.0, 6.0, 350e6
"""The targets: twice the floor and 15 ms, 10 ms, 5 s, 6 s, 350 MB."""

Report = Callable[[str], None]
"""Called with what is being measured next."""

VERSION = """\
cubes:
  - name: bench_version
    sql_table: marts.bench_version
    measures: [{ name: id, sql: id, type: max }]
"""
"""Beside the model of the repository: which version an answer is of."""


@dataclass(frozen=True)
class Shape:
    """A query of Cube's and the SQL that a person would write for it; ``{at}`` makes each one
    new.
    """

    name: str
    query: Callable[[date, int], dict]
    sql: str


def _between(first: date, days: int, **more: str) -> dict:
    days = [first.isoformat(), (first + timedelta(days=days)).isoformat()]
    return {"timeDimensions": [{"dimension": "taxi_trips.pickup_at", "dateRange": days, **more}]}


WITHIN = (
    "where pickup_at >= timestamp '{first}' and pickup_at < timestamp '{first}' + interval 21 day"
)
SHAPES = [
    Shape(
        "20 days, whole",
        lambda first, at: {
            "measures": ["taxi_trips.revenue"],
            **_between(first, 20),
            "limit": 1 + at,
        },
        f"select sum(total_amount) from marts.mart_taxi_trips {WITHIN} limit {{at}}",
    ),
    Shape(
        "20 days, by borough",
        lambda first, at: {
            "measures": ["taxi_trips.trips", "taxi_trips.revenue"],
            "dimensions": ["taxi_trips.pickup_borough"],
            **_between(first, 20),
            "limit": 100 + at,
        },
        f"select pickup_borough, count(*), sum(total_amount) from marts.mart_taxi_trips {WITHIN} "
        "group by 1 order by 2 desc limit 100 + {at}",
    ),
    Shape(
        "20 days, by day",
        lambda first, at: {
            "measures": ["taxi_trips.trips"],
            **_between(first, 20, granularity="day"),
            "limit": 1000 + at,
        },
        f"select date_trunc('day', pickup_at), count(*) from marts.mart_taxi_trips {WITHIN} "
        "group by 1 order by 1 limit 1000 + {at}",
    ),
    Shape(
        "all, by month",
        lambda first, at: {
            "measures": ["taxi_trips.revenue"],
            "timeDimensions": [{"dimension": "taxi_trips.pickup_at", "granularity": "month"}],
            "limit": 1000 + at,
        },
        "select date_trunc('month', pickup_at), sum(total_amount) from marts.mart_taxi_trips "
        "group by 1 order by 1 limit 1000 + {at}",
    ),
    Shape(
        "all, by payment",
        lambda first, at: {
            "measures": ["taxi_trips.trips", "taxi_trips.revenue"],
            "dimensions": ["taxi_trips.payment_type"],
            "limit": 100 + at,
        },
        "select payment_type, count(*), sum(total_amount) from marts.mart_taxi_trips "
        "group by 1 order by 2 desc limit 100 + {at}",
    ),
]


@dataclass
class Latency:
    """Seconds of one shape's queries, each of them new."""

    name: str
    cube: list[float]
    floor: list[float]

    @property
    def met(self) -> bool:
        return median(self.cube) <= RATIO * median(self.floor) + EXTRA


@dataclass
class Crowd:
    """What clients met while versions were published."""

    asked: int = 0
    published: int = 0
    staleness: float = 0.0
    """The longest time after a publish at which a request began that was answered from an older
    version, in seconds.
    """
    errors: Counter = field(default_factory=Counter)


@dataclass
class Cube:
    """All figures."""

    start: float
    """Seconds from the process's start to /readyz."""
    memory: dict[str, int]
    """Proportional share in bytes: at the start, after the queries, before and after the
    publishes.
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
        rows: trips for the queries; the publishes are of a small sample.
        repeat: queries of each shape.
        seconds: how long the clients ask.
        publishes: after which memory is looked at again.

    Raises:
        LocError: a step failed, or Cube answers other than the SQL.
    """
    memory: dict[str, int] = {}
    with environment(LOC_DATA=folder / "data", LOC_RUN=folder / "run"):
        if not (store.folder("prod") / "current").exists():
            report(f"build a sample of {rows:,} rows")
            _load(rows)
        model = folder / "model"
        shutil.copytree(ROOT / "cube/model", model, dirs_exist_ok=True)
        with _server(model) as (server, start):
            memory["at the start"] = server.memory()
            report(f"{len(SHAPES)} shapes of query, {repeat} times each")
            latencies = [_latency(server, shape, repeat) for shape in SHAPES]
            query = SHAPES[1].query(date(2025, 1, 2), 0)
            cached = [_timed(server.rows, query)[0] for _ in range(10 * repeat)][1:]
            memory["after the queries"] = server.memory()
    with environment(LOC_DATA=folder / "small/data", LOC_RUN=folder / "small/run"):
        report("build a small sample, for publishes")
        _load(20_000)
        (model / "bench_version.yml").write_text(VERSION)
        _publish()
        with _server(model, LOC_CUBE_GRACE="2") as (server, _):
            report(f"{clients} clients for {seconds:g} s, while versions are published")
            crowd = _crowd(server, seconds, clients)
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


def _load(rows: int) -> None:
    from pipelines.taxi import load as taxi
    from proto_loc.refresh.job import load_and_refresh

    def quiet(*state: object) -> None:
        pass

    load_and_refresh(
        lambda report: taxi.load_sample(rows, who="loc bench", report=report),
        who="loc bench",
        report=quiet,
    )


def _publish() -> int:
    """A new version that says its own id, without dbt: the readers' side is what is measured."""
    with warehouse.write("prod", who="loc bench") as session, session.connect() as con:
        con.execute(f"create or replace table marts.bench_version as select {session.id} as id")
    return session.id


def _latency(server: "Server", shape: Shape, repeat: int) -> Latency:
    """Cube's answer and the SQL's, in turn; each query is new to both, but for the first, which is
    not counted.

    Raises:
        LocError: they differ in their number of rows.
    """
    random, done = Random(1), Latency(shape.name, [], [])
    with guard.connect(warehouse.current("prod").path) as con:
        first, last = con.execute(
            "select min(pickup_at)::date, max(pickup_at)::date from marts.mart_taxi_trips"
        ).fetchone()
        for at in range(repeat + 1):
            day = first + timedelta(days=random.randrange(max(1, (last - first).days - 20)))
            sql, query = shape.sql.format(first=day, at=1 + at), shape.query(day, at)
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


def _fetch(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple]:
    return con.execute(sql).fetchall()


def _timed(work: Callable, *given: object) -> tuple[float, list]:
    """The seconds that it took, and its result."""
    start = time.perf_counter()
    result = work(*given)
    return time.perf_counter() - start, result


def _crowd(server: "Server", seconds: float, clients: int) -> Crowd:
    done, lock, numbers = Crowd(), threading.Lock(), count(1)
    stop = time.monotonic() + seconds
    published: dict[int, float] = {}

    def ask(seed: int) -> None:
        random = Random(seed)
        with server.client() as client:
            while time.monotonic() < stop:
                began = time.monotonic()
                shape = random.choice(SHAPES)
                try:
                    version = int(
                        server.rows({"measures": ["bench_version.id"]}, client)[0][
                            "bench_version.id"
                        ]
                    )
                    server.rows(
                        shape.query(
                            date(2025, 1, 1) + timedelta(days=random.randrange(60)), next(numbers)
                        ),
                        client,
                    )
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
    """Cube's process, and its clients."""

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
        """The data of an answer.

        Raises:
            LocError: there is none.
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
    """Cube's process on the data of the environment, and the seconds until it was ready."""
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
            if process.poll() is not None or time.perf_counter() - began > 60:
                raise LocError(
                    "Cube did not start.",
                    (settings().run / "cube-bench.log").read_text()[-2000:],
                    "",
                )
            time.sleep(0.05)
        yield Server(process, port), time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(30)
