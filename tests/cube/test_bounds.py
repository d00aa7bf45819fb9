"""No query takes the server down or keeps others from their answers: it is cut or refused, and says so."""

import threading
import time

import psutil
import pytest
from servers import Server

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
    sql: select range::varchar || repeat('x', 200) as word from range(100000000)
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


@pytest.fixture(scope="module")
def hungry(small):
    """A server with little memory and time."""
    (small / "monsters.yml").write_text(MONSTERS)
    with Server(small, LOC_CUBE_TIMEOUT=2, LOC_CUBE_ROWS=5000, LOC_QUERY_MEMORY="200MB") as made:
        yield made


def refused(answer) -> str:
    assert 400 <= answer.status_code < 500, answer.text
    return answer.json()["error"]


def test_an_endless_join_is_cut_and_the_next_query_is_answered(hungry):
    start = time.monotonic()
    assert "it ran longer than 2 seconds" in refused(hungry.ask({"measures": ["endless.n"]}))
    assert time.monotonic() - start < 30
    assert hungry.trips() == 1000


def test_the_rows_of_one_come_up_to_the_limit_and_no_further(hungry):
    assert len(hungry.rows({"dimensions": ["long.id"], "ungrouped": True})) == 5000
    assert len(hungry.rows({"dimensions": ["long.id"], "ungrouped": True, "limit": 17})) == 17
    assert "5000" in refused(hungry.ask({"dimensions": ["long.id"], "ungrouped": True, "limit": 10_000_000}))
    assert hungry.rows({"measures": ["long.n"]}) == [{"long.n": "10000000"}]


def test_no_limit_is_not_without_a_limit(hungry):
    for limit in (None, 0, -1, "10000000", 1e9, "all"):
        answer = hungry.ask({"dimensions": ["long.id"], "ungrouped": True, "limit": limit})
        assert answer.status_code == 400 and "from 1 to 5000 (LOC_CUBE_ROWS)" in answer.json()["error"], limit


def test_one_over_its_memory_fails_and_says_which_setting_it_is(hungry):
    assert "LOC_QUERY_MEMORY (now 200MB)" in refused(hungry.ask({"measures": ["large.words"]}))
    assert hungry.trips() == 1000
    assert [path for path in store.folder("prod").rglob("*") if "tmp" in path.name] == [], "nothing is spilled"


def test_one_that_no_interrupt_reaches_keeps_nobody_waiting(hungry):
    start = time.monotonic()
    answer = hungry.ask({"measures": ["uncut.n"]})
    assert answer.status_code in (200, 400) and time.monotonic() - start < 30
    assert hungry.trips() == 1000


@pytest.mark.parametrize("cube", ["files", "web"])
def test_not_even_the_model_reads_files_or_the_network(hungry, cube):
    assert "Permission Error" in refused(hungry.ask({"measures": [f"{cube}.n"]}))


def test_not_even_the_model_writes(hungry):
    answer = hungry.ask({"measures": ["writes.n"]})
    assert answer.status_code == 400, answer.text


def test_many_heavy_queries_at_once_do_not_keep_the_server_from_the_next(hungry):
    """Twelve of them, each different, three times as many as run at once."""
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


def test_heavy_queries_whose_askers_have_gone_end_too(hungry):
    import httpx

    for at in range(6):
        with pytest.raises(httpx.TimeoutException):
            filters = [{"member": "endless.x", "operator": "lt", "values": [str(10**6 + at)]}]
            hungry.http.post(
                "/cubejs-api/v1/load", json={"query": {"measures": ["endless.n"], "filters": filters}}, timeout=0.2,
                headers={"authorization": _token()},
            )  # fmt: skip
    assert hungry.trips() == 1000
    process = psutil.Process(hungry.process.pid)
    end = time.monotonic() + 30
    while process.cpu_percent(1) > 50 and time.monotonic() < end:
        pass
    assert process.cpu_percent(1) < 50, "nothing runs on"


def _token() -> str:
    from servers import token

    return token()


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
    headers = {"authorization": _token(), "content-type": "application/json"}
    answer = hungry.http.post("/cubejs-api/v1/load", content=body, headers=headers)
    assert 400 <= answer.status_code < 500, answer.text[:300]
    assert answer.json()["error"] and "    at " not in answer.text and "node_modules" not in answer.text
    assert hungry.trips() == 1000
