"""No query stops the server or blocks other queries: the server stops or refuses large ones."""

import json
import socket
import threading
import time

import httpx
import psutil
import pytest
from servers import Server, token

from proto_loc.warehouse import store

pytestmark = pytest.mark.xdist_group("cube")

MONSTERS = """\
cubes:
  - name: endless
    sql: select a.range as x from range(100000) a, range(100000) b, range(100000) c
    dimensions: [{ name: x, sql: x, type: number }]
    measures: [{ name: n, sql: "hash(x)", type: max }]
  - name: long
    sql: select range as id from range(10000000)
    dimensions: [{ name: id, sql: id, type: number, primary_key: true, public: true }]
    measures: [{ name: n, type: count }]
  - name: large
    sql: select range::varchar || repeat('x', 2000) as word from range(100000000)
    measures: [{ name: words, sql: word, type: count_distinct }]
  - name: uncut
    sql: select len(range(400000000)) as n
    measures: [{ name: n, sql: n, type: max }]
  - name: files
    sql: select content from read_text('/etc/passwd')
    measures: [{ name: n, type: count }]
  - name: web
    sql: select * from 'http://127.0.0.1:9/x.csv'
    measures: [{ name: n, type: count }]
  - name: writes
    sql: select 1 as one); create table marts.mine as (select 1
    measures: [{ name: n, type: count }]
"""


LITTLE = {"LOC_CUBE_TIMEOUT": 3, "LOC_CUBE_ROWS": 5000, "LOC_QUERY_MEMORY": "200MB"}


@pytest.fixture(scope="module")
def monsters(small):
    """The model's folder, with cubes whose queries take too much time or memory."""
    (small / "monsters.yml").write_text(MONSTERS)
    return small


@pytest.fixture(scope="module")
def hungry(monsters):
    """A server with little memory and time."""
    with Server(monsters, **LITTLE) as made:
        yield made


def refused(answer) -> str:
    assert 400 <= answer.status_code < 500, answer.text
    return answer.json()["error"]


def test_an_endless_join_is_cut_and_the_next_query_is_answered(hungry):
    start = time.monotonic()
    assert "it ran longer than 3 seconds" in refused(hungry.ask({"measures": ["endless.n"]}))
    assert time.monotonic() - start < 30
    assert hungry.trips() == 1000


def test_the_rows_of_one_come_up_to_the_limit_and_no_further(hungry):
    assert len(hungry.rows({"dimensions": ["long.id"], "ungrouped": True})) == 5000
    assert len(hungry.rows({"dimensions": ["long.id"], "ungrouped": True, "limit": 17})) == 17
    assert "5000" in refused(
        hungry.ask({"dimensions": ["long.id"], "ungrouped": True, "limit": 10_000_000})
    )
    assert hungry.rows({"measures": ["long.n"]}) == [{"long.n": "10000000"}]


def test_no_limit_is_not_without_a_limit(hungry):
    for limit in (None, 0, -1, "10000000", 1e9, "all"):
        answer = hungry.ask({"dimensions": ["long.id"], "ungrouped": True, "limit": limit})
        assert (
            answer.status_code == 400 and "from 1 to 5000 (LOC_CUBE_ROWS)" in answer.json()["error"]
        ), limit


def test_one_over_its_memory_fails_and_says_which_setting_it_is(hungry):
    assert "LOC_QUERY_MEMORY (now 200MB)" in refused(hungry.ask({"measures": ["large.words"]}))
    assert hungry.trips() == 1000
    assert [path for path in store.folder("prod").rglob("*") if "tmp" in path.name] == [], (
        "nothing is spilled"
    )


def test_one_that_no_interrupt_reaches_keeps_nobody_waiting(monsters):
    """The test has its own server, because the query takes gigabytes until the server ends."""
    with Server(monsters, **LITTLE) as made:
        start = time.monotonic()
        answer = made.ask({"measures": ["uncut.n"]})
        assert answer.status_code in (200, 400) and time.monotonic() - start < 30
        assert made.trips() == 1000


@pytest.mark.parametrize("cube", ["files", "web"])
def test_not_even_the_model_reads_files_or_the_network(hungry, cube):
    assert "Permission Error" in refused(hungry.ask({"measures": [f"{cube}.n"]}))


def test_not_even_the_model_writes(hungry):
    answer = hungry.ask({"measures": ["writes.n"]})
    assert answer.status_code == 400, answer.text


@pytest.mark.slow
def test_many_heavy_queries_at_once_do_not_keep_the_server_from_the_next(hungry):
    """The test sends twelve different queries, three times as many as run at the same time."""
    found = []

    def ask(at: int) -> None:
        filters = [{"member": "endless.x", "operator": "gt", "values": [str(at)]}]
        found.append(refused(hungry.ask({"measures": ["endless.n"], "filters": filters})))

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(12)]
    for thread in threads:
        thread.start()
    assert hungry.http.get("/livez").status_code == 200, "while they run"
    for thread in threads:
        thread.join()
    assert len(found) == 12 and all("ran longer" in error for error in found)
    assert hungry.trips() == 1000


def test_heavy_queries_whose_askers_have_gone_end_too(monsters):
    """The test has its own server, which runs nothing else."""
    with Server(monsters, **LITTLE) as made:
        for at in range(6):
            with pytest.raises(httpx.TimeoutException):
                filters = [{"member": "endless.x", "operator": "lt", "values": [str(10**6 + at)]}]
                made.http.post(
                    "/cubejs-api/v1/load",
                    json={"query": {"measures": ["endless.n"], "filters": filters}},
                    timeout=0.2,
                    headers={"authorization": f"Bearer {token()}"},
                )
        assert made.trips() == 1000
        process = psutil.Process(made.process.pid)
        end, quiet = time.monotonic() + 60, 0
        while (
            quiet < 4 and time.monotonic() < end
        ):  # four queries run at a time, with short pauses between them
            quiet = quiet + 1 if process.cpu_percent(1) < 50 else 0
        assert quiet == 4, "nothing runs on"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b'{"query": "{"}',
        b'{"query": {"measures": ["nothing.here"]}}',
        b'{"query": {"measures": "trips.trips"}}',
        b'{"query": {"measures": ["trips.trips"], "timezone": "Mars/Olympus"}}',
        b'{"query": {"measures": ["trips.trips"], "order": {"trips.trips; drop table x": "asc"}}}',
        b'{"query": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"query": {"measures": [' + b'"trips.trips",' * 200000 + b'"trips.trips"]}}',
    ],
    ids=["half", "empty", "half query", "unknown", "no list", "zone", "order", "deep", "huge"],
)
def test_what_is_no_query_is_refused_in_json_and_without_a_traceback(hungry, body):
    headers = {"authorization": token(), "content-type": "application/json"}
    answer = hungry.http.post("/cubejs-api/v1/load", content=body, headers=headers)
    assert 400 <= answer.status_code < 500, answer.text[:300]
    assert (
        answer.json()["error"]
        and "    at " not in answer.text
        and "node_modules" not in answer.text
    )
    assert hungry.trips() == 1000


def test_a_request_of_many_queries_is_refused(hungry):
    """Bug: all results are in memory at the same time; twelve of 50,000 rows crashed the server."""
    one = {
        "measures": ["trips.trips"],
        "timeDimensions": [{"dimension": "trips.pickup_at", "granularity": "second"}],
    }
    assert "A request may hold 4 queries" in refused(
        hungry.ask([one | {"offset": i} for i in range(5)])
    )
    assert hungry.ask([one | {"offset": i} for i in range(4)]).status_code == 200
    days = [["2025-01-01", f"2025-01-0{day}"] for day in range(1, 6)]
    compared = {
        "measures": ["trips.trips"],
        "timeDimensions": [{"dimension": "trips.pickup_at", "compareDateRange": days}],
    }
    assert "A request may hold 4 queries" in refused(hungry.ask(compared))


@pytest.mark.parametrize(
    "text",
    [
        "{ " + " ".join(f"a{i}: cube {{ trips {{ trips }} }}" for i in range(5)) + " }",
        "query { ...f } fragment f on Query { "
        + " ".join(f"a{i}: cube {{ trips {{ trips }} }}" for i in range(5))
        + " }",
        "{ ... on Query { "
        + " ".join(f"a{i}: cube {{ trips {{ trips }} }}" for i in range(5))
        + " } }",
    ],
    ids=["fields", "fragment", "inline"],
)
def test_a_graphql_request_of_many_queries_is_refused(hungry, text):
    assert (
        "A request may hold 4 queries" in hungry.post("/cubejs-api/graphql", {"query": text}).text
    )
    assert (
        "A request may hold 4 queries"
        in hungry.http.post(
            "/cubejs-api/graphql",
            params={"query": text},
            json={},
            headers={"authorization": f"Bearer {token()}"},
        ).text
    )


def test_fragments_in_fragments_are_counted_once_each(hungry):
    """Bug: the server counted fragments along each path, so forty levels of two blocked
    it forever.
    """
    levels = " ".join(f"fragment a{i} on Query {{ ...a{i + 1} ...a{i + 1} }}" for i in range(40))
    text = f"{{ ...a0 }} {levels} fragment a40 on Query {{ __typename }}"
    assert (
        "A request may hold 4 queries" in hungry.post("/cubejs-api/graphql", {"query": text}).text
    )
    assert hungry.trips() == 1000


def test_a_query_is_checked_as_cube_reads_it(hungry):
    """Bug: a GET with both a query string and a body hid the query from the checks."""
    deep: dict = {"member": "trips.id", "operator": "gt", "values": ["0"]}
    for _ in range(100):
        deep = {"and": [deep]}
    query = {"query": json.dumps({"measures": ["trips.trips"], "filters": [deep]})}
    answer = hungry.http.request(
        "GET",
        "/cubejs-api/v1/load",
        params=query,
        json={"query": {}},
        headers={"authorization": f"Bearer {token()}"},
    )
    assert answer.status_code == 400 and "nested" in answer.text


def test_filters_and_their_values_are_bounded(hungry):
    many = [{"member": "trips.id", "operator": "set"}] * 1001
    assert (
        "may have 1000 filters" in hungry.ask({"measures": ["trips.trips"], "filters": many}).text
    )
    values = [{"member": "trips.pickup_borough", "operator": "contains", "values": ["x"] * 10_001}]
    assert (
        "may have 10000 values" in hungry.ask({"measures": ["trips.trips"], "filters": values}).text
    )


def test_a_result_of_many_values_is_refused(small):
    """Bug: eight wide results of 50,000 rows crashed the server. The test uses the default
    settings.
    """
    columns = "".join(f"      - {{ name: d{i}, sql: id + {i}, type: number }}\n" for i in range(20))
    cube = (
        "cubes:\n  - name: wide\n    sql: select range as id from range(100000)\n    dimensions:\n"
    )
    (small / "wide.yml").write_text(cube + columns + "    measures: [{ name: n, type: count }]\n")
    query = {"dimensions": [f"wide.d{i}" for i in range(20)], "limit": 50_000}
    with Server(small) as made:
        askers = [
            threading.Thread(target=lambda i=i: made.ask(query | {"offset": i})) for i in range(8)
        ]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        assert "more than 500000 values" in refused(made.ask(query))
        assert made.ask({"dimensions": ["wide.d1"], "limit": 50_000}).status_code == 200
    (small / "wide.yml").unlink()


def connect(server, *lines: str) -> socket.socket:
    """Open a connection, and send only a part of a request."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    sock.sendall(
        "\r\n".join(["POST /cubejs-api/v1/load HTTP/1.1", "Host: 127.0.0.1", *lines, ""]).encode()
    )
    return sock


def answer_of(sock: socket.socket) -> str:
    """Return all data until the server closes the connection."""
    parts = []
    with sock:
        try:
            while part := sock.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass
    return b"".join(parts).decode()


def test_bodies_are_bounded_before_they_are_read(hungry):
    """Bug: any program, and any page in a browser, could fill the server's memory with a large
    body.
    """
    process = psutil.Process(hungry.process.pid)
    before = process.memory_info().rss
    json_body = "Content-Type: application/json"
    for _ in range(3):
        said = answer_of(connect(hungry, json_body, "Content-Length: 250000000", "", "{"))
        assert said.startswith("HTTP/1.1 403") and "token is required" in said, (
            "no byte of the body was waited for"
        )
    said = answer_of(connect(hungry, json_body, "Transfer-Encoding: chunked", "", "5", '{"a":'))
    assert said.startswith("HTTP/1.1 403")
    own = f"Authorization: {token()}"
    said = answer_of(connect(hungry, own, json_body, "Content-Length: 250000000", "", "{"))
    assert said.startswith("HTTP/1.1 413") and "longer than 1 MB" in said
    long = connect(hungry, own, json_body, "Transfer-Encoding: chunked", "")
    for _ in range(1920):
        long.sendall(b"20000\r\n" + b" " * 131072 + b"\r\n")
    long.sendall(b"0\r\n\r\n")
    assert answer_of(long).startswith("HTTP/1.1 413")
    grown = process.memory_info().rss - before
    assert grown < 130e6, (
        "half of one body, for Node frees what it has dropped by the tens of megabytes"
    )
    assert hungry.trips() == 1000


def test_headers_are_bounded(hungry):
    assert answer_of(connect(hungry, f"X: {'x' * 20_000}", "")).startswith("HTTP/1.1 431")


@pytest.mark.slow
def test_slow_connections_are_ended_and_keep_nobody_waiting(hungry):
    """Bug: a slow connection could stay open for five minutes, and a hundred of them
    only waited.
    """
    slow = [connect(hungry, "X: and so on") for _ in range(100)]
    own = (f"Authorization: {token()}", "Content-Type: application/json")
    slow += [connect(hungry, *own, "Content-Length: 9", "", "{") for _ in range(20)]
    start = time.monotonic()
    for path in ("/livez", "/readyz"):
        assert hungry.http.get(path, timeout=5).status_code == 200
    assert hungry.trips() == 1000
    said = [answer_of(sock)[:12] for sock in slow]
    assert set(said) == {"HTTP/1.1 408"} and time.monotonic() - start < 28
