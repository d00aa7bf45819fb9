"""Cube on Trino gives the answers that it gives on DuckDB, and has the same bounds."""

import json
import math
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import certifi
import cube_model
import pytest
from cube_queries import more, plain, queries
from cube_servers import Server

from proto_loc import warehouse
from proto_loc.settings import settings
from proto_loc.trino import places

pytestmark = pytest.mark.slow  # three servers of Java: see conftest

EVENTS = {"measures": ["events.number"]}
SECONDS = 8
"""The time-out of some servers; on a busy machine, Trino needs some of them for any query."""
MONSTERS = """\
cubes:
  - name: endless
    sql: >-
      select a.x from unnest(sequence(1, 10000)) a(x), unnest(sequence(1, 10000)) b(y),
      unnest(sequence(1, 10000)) c(z) where (a.x * 31 + b.y * 17 + c.z) % 7 = 1
    dimensions: [{ name: x, sql: x, type: number }]
    measures: [{ name: n, sql: "{CUBE}.x % 1000", type: max }]
  - name: long
    sql: select a.x * 10000 + b.y as id from unnest(sequence(1, 9)) a(x), unnest(sequence(1, 9999)) b(y)
    dimensions: [{ name: id, sql: id, type: number, primary_key: true, public: true }]
    measures: [{ name: n, type: count }]
  - name: nodes
    sql_table: system.runtime.nodes
    measures: [{ name: n, type: count }]
  - name: others
    sql_table: system.runtime.queries
    measures: [{ name: n, type: count }]
  - name: writes
    sql: select 1 as one); create table marts.mine as (select 1
    measures: [{ name: n, type: count }]
"""  # noqa: E501


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "events.yml").write_text(cube_model.MODEL)
    return folder


@pytest.fixture(scope="module")
def published(sample) -> Iterator[warehouse.Version]:
    """The version on Trino; afterwards, the version of other modules is current again."""
    before = None
    with suppress(warehouse.NoData):
        before = warehouse.current("prod")
    yield cube_model.publish()
    if before:
        warehouse.rollback("prod", before.id)


@pytest.fixture(scope="module")
def on_trino(published, models) -> Iterator[Server]:
    with Server(models, LOC_CUBE_TIMEOUT=60, LOC_CUBE_GRACE=1) as made:
        yield made


@pytest.fixture(scope="module")
def on_duckdb(models, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("duckdb")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LOC_ENGINE", raising=False)
        patch.setenv("LOC_DATA", str(folder / "data"))
        patch.setenv("LOC_RUN", str(folder / "run"))
        cube_model.publish()
        made = Server(models, LOC_CUBE_TIMEOUT=60)
        made.start()
    with made:
        yield made


@pytest.fixture(scope="module")
def answers(on_trino, on_duckdb) -> list[tuple[dict, object, object]]:
    """Each query with what both answer."""
    meta = [server.get("/cubejs-api/v1/meta").json() for server in (on_duckdb, on_trino)]
    assert meta[0] == meta[1]
    cubes = [cube for cube in meta[0]["cubes"] if cube["name"] != "closed"]
    asked = [*queries({"cubes": cubes}), *more()]
    with ThreadPoolExecutor(4) as pool:
        return list(
            pool.map(lambda query: (query, on_duckdb.ask(query), on_trino.ask(query)), asked)
        )


def differences(one: object, other: object, path: str = "") -> list[str]:
    """Where two answers differ; sums of doubles and averages may in their last digits."""
    if type(one) is type(other) is dict and list(one) == list(other):
        return [line for key in one for line in differences(one[key], other[key], f"{path}.{key}")]
    if type(one) is type(other) is list and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for at, pair in pairs for line in differences(*pair, f"{path}.{at}")]
    is_equal = one == other or (_is_average(path) and _is_close(one, other))
    return [] if is_equal else [f"{path}: {one!r} is {other!r}"]


def _is_average(path: str) -> bool:
    return path.rpartition(".")[2].startswith("mean")


def _is_close(one: object, other: object) -> bool:
    texts = isinstance(one, str) and isinstance(other, str)
    return texts and math.isclose(float(one), float(other), rel_tol=1e-13)


def test_every_answer_is_the_same(answers):
    wrong = []
    for query, one, other in answers:
        found = differences(plain(one), plain(other))
        if found:
            wrong.append((json.dumps(query), found[:3], one.text[:200], other.text[:200]))
    assert wrong == [], f"{len(wrong)} of {len(answers)}: {wrong[:5]}"
    assert len(answers) > 200


def test_most_queries_have_rows(answers):
    """Equal refusals and equal empty answers would prove little."""
    full = [one for _, one, _ in answers if '"data":[{' in one.text]
    assert len(full) > 0.7 * len(answers)


def test_graphql_gives_the_same(on_trino, on_duckdb):
    where = 'where: {place: {contains: "\\\\"}, at: {afterDate: "2025-01-05"}}'
    text = f"{{ cube {{ events({where}) {{ at {{ month }} flag number revenue }} }} }}"
    for query in (text, "{ cube { events { first { value } most } } }"):
        answers = [
            server.post("/cubejs-api/graphql", {"query": query}).json()["data"]["cube"]
            for server in (on_duckdb, on_trino)
        ]
        one, other = (sorted(map(json.dumps, rows)) for rows in answers)
        assert one == other != []


def test_the_column_is_compared_without_a_cast_so_that_trino_can_skip_files(on_trino):
    span = {"dimension": "events.at", "dateRange": ["2025-02-01", "2025-02-28"]}
    answer = on_trino.post("/cubejs-api/v1/sql", {"query": EVENTS | {"timeDimensions": [span]}})
    sql, values = answer.json()["sql"]["sql"]
    stamp = "CAST(from_iso8601_timestamp_nanos(?) AS TIMESTAMP(6))"
    assert f'"events".moment >= {stamp} AND "events".moment <= {stamp}' in " ".join(sql.split())
    assert values[:2] == ["2025-02-01T00:00:00.000000Z", "2025-02-28T23:59:59.999999Z"]


CLAIMS = [
    {},
    {"places": ["Queens"]},
    {"places": ["O'Hara", "x?y", "a\\b"]},
    {"places": ["' or '1' = '1"]},
    {"places": [7]},
    {"areas": ["far"]},
    {"places": ["Queens"], "areas": ["far"]},
]
LIMITED = [
    EVENTS | {"dimensions": ["events.place"], "order": [["events.place", "asc"]]},
    {"measures": ["places.places", "events.revenue"], "dimensions": ["events.place"]},
    {"measures": ["closed.n"]},
    {"measures": ["places.size"], "dimensions": ["places.name"]},
]


@pytest.mark.parametrize("claims", CLAIMS, ids=str)
def test_a_limited_token_sees_the_same_rows(on_trino, on_duckdb, claims):
    for query in LIMITED:
        one, other = (server.ask(query, claims) for server in (on_duckdb, on_trino))
        assert differences(plain(one), plain(other)) == []
        assert one.status_code == 200 or one.json() == other.json()
    rows = [row["events.place"] for row in on_trino.rows(LIMITED[0], {"places": ["Queens", "a_b"]})]
    assert rows == ["Queens", "a_b"]


def test_the_first_request_after_a_publish_or_rollback_reads_the_new_version(on_trino, published):
    assert on_trino.number() == cube_model.ROWS
    newer = cube_model.publish(100)
    assert on_trino.number() == 100
    assert on_trino.get("/readyz").json()["version"] == newer.id
    warehouse.rollback("prod", published.id)
    assert on_trino.number() == cube_model.ROWS


def test_a_version_of_another_engine_is_not_served(models, tmp_path, monkeypatch, running):
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("LOC_ENGINE")
    cube_model.publish(1)
    monkeypatch.setenv("LOC_ENGINE", "trino")
    with Server(models) as made:
        answer = made.ask(EVENTS)
        assert answer.status_code == 503 and "LOC_ENGINE is trino" in answer.json()["error"]


class Proxy:
    """Passes connections on to Trino's port, unless it is closed or holds them."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.is_open, self.is_held = True, False
        self.sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            if not self.is_open:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", settings().port("trino")))
            self.sockets += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while content := source.recv(65536):
                while self.is_held:
                    time.sleep(0.05)
                target.sendall(content)
        except OSError:
            pass
        for end in (source, target):
            end.close()


@pytest.fixture
def proxied(published, models, monkeypatch) -> Iterator[tuple[Server, Proxy]]:
    """A server that reaches Trino through a proxy."""
    proxy = Proxy()
    with Server(
        models, LOC_PORT_PREFIX="", LOC_TRINO_PORT=proxy.port, LOC_CUBE_TIMEOUT=SECONDS
    ) as made:
        yield made, proxy
        proxy.is_held = False
    proxy.listening.close()


def test_while_trino_is_away_the_answer_says_so_and_afterwards_all_is_well(proxied):
    server, proxy = proxied
    proxy.is_open = False
    for _ in range(2):
        answer = server.ask(EVENTS)
        assert answer.status_code == 503, answer.text
        error = answer.json()["error"]
        assert error.startswith("Trino does not answer on port") and "./loc up -d" in error
        assert "node_modules" not in answer.text
    assert "Trino does not answer" in server.post(
        "/cubejs-api/graphql", {"query": "{ cube { events { number } } }"}
    ).text  # fmt: skip
    assert server.get("/livez").status_code == server.get("/cubejs-api/v1/meta").status_code == 200
    ready = server.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "the engine does not answer")
    assert ready.json()["error"].startswith("Trino does not answer on port")
    proxy.is_open = True
    assert server.get("/readyz").json()["status"] == "ready"
    assert server.number() == cube_model.ROWS
    proxy.is_open = False
    assert server.number() == cube_model.ROWS, "the answer is kept"
    assert server.ask({"measures": ["events.most"]}).status_code == 503
    proxy.is_open, proxy.is_held = True, True
    answer = server.ask({"measures": ["events.least"]})
    assert (
        answer.status_code == 400 and f"ran longer than {SECONDS} seconds" in answer.json()["error"]
    )
    proxy.is_held = False
    assert server.rows({"measures": ["events.least"]})


def test_a_refused_password_or_certificate_is_a_503(models, published, tmp_path, monkeypatch):
    theirs, own = settings().run, tmp_path / "run"
    for name in ("secrets", "trino-tls"):
        shutil.copytree(theirs / name, own / name)
    monkeypatch.setenv("LOC_RUN", str(own))
    secret, certificate = own / "secrets/trino-cube", places.certificate()
    secret.write_text("x" * 43)
    with Server(models) as made:
        answer = made.ask(EVENTS)
        assert answer.status_code == 503 and "refuses the identity cube" in answer.json()["error"]
        shutil.copy(theirs / "secrets/trino-cube", secret)
        assert made.number() == cube_model.ROWS, "it is read anew"
        kept = certificate.read_bytes()
        shutil.copy(certifi.where(), certificate)
        answer = made.ask({"measures": ["events.most"]})
        assert answer.status_code == 503 and "certificate" in answer.json()["error"]
        certificate.write_bytes(kept)
        assert made.rows({"measures": ["events.most"]})


@pytest.fixture(scope="module")
def hungry(published, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("monsters")
    (folder / "events.yml").write_text(cube_model.MODEL)
    (folder / "monsters.yml").write_text(MONSTERS)
    with Server(folder, LOC_CUBE_TIMEOUT=SECONDS, LOC_CUBE_ROWS=5000) as made:
        yield made


def refused(answer) -> str:
    assert answer.status_code == 400, answer.text
    assert "    at " not in answer.text and "node_modules" not in answer.text
    return answer.json()["error"]


def test_an_endless_query_is_stopped_on_trino_too(hungry, trino: Callable[..., list]):
    assert f"it ran longer than {SECONDS} seconds" in refused(
        hungry.ask({"measures": ["endless.n"]})
    )
    running = (
        "select count(*) from system.runtime.queries where \"user\" = 'cube'"
        " and state not in ('FINISHED', 'FAILED')"
    )
    end = time.monotonic() + 10
    while trino(running) != [[0]] and time.monotonic() < end:
        time.sleep(0.2)
    assert trino(running) == [[0]]
    assert hungry.number() == cube_model.ROWS


def test_the_rows_of_one_come_up_to_the_limit_and_no_further(hungry):
    whole = {"dimensions": ["long.id"], "ungrouped": True, "order": [["long.id", "asc"]]}
    ids = [int(row["long.id"]) for row in hungry.rows(whole)]
    assert ids == sorted(ids) and len(set(ids)) == 5000, "in order, over all of Trino's pages"
    assert "5000" in refused(hungry.ask(whole | {"limit": 10_000_000}))
    assert hungry.rows({"measures": ["long.n"]}) == [{"long.n": "89991"}]


@pytest.mark.parametrize("cube", ["nodes", "others", "writes"])
def test_not_even_the_model_reads_or_writes_more_than_what_is_published(hungry, cube):
    error = refused(hungry.ask({"measures": [f"{cube}.n"]}))
    assert "Access Denied" in error or "mismatched input" in error


def test_no_secret_is_in_the_command_line_the_environment_or_the_log(on_trino):
    import psutil

    secret = (settings().run / "secrets/trino-cube").read_text().strip()
    process = psutil.Process(on_trino.process.pid)
    assert secret not in " ".join(process.cmdline()) + str(process.environ()) + on_trino.log()
    assert os.environ["LOC_ENGINE"] == "trino"
