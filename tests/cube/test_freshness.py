"""Each request reads one version, the newest; superseded versions are closed."""

import threading
import time

import pytest
from servers import MODEL, Server, publish

from proto_loc import warehouse
from proto_loc.warehouse import store

pytestmark = pytest.mark.xdist_group("cube")
TRIPS = {"measures": ["trips.trips"]}


def eventually(holds, seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < end:
        time.sleep(0.1)
    return held


def refreshed_at(server: Server) -> str:
    """Return the time at which Cube made the answer."""
    return server.ask(TRIPS).json()["results"][0]["lastRefreshTime"]


def test_the_first_request_after_a_publish_sees_it(server):
    for rows in (1001, 1500, 1200):
        publish(rows)
        assert server.trips() == rows


def test_a_rollback_to_an_older_version_is_seen_at_once_and_so_is_the_way_back(server):
    first, second = publish(1100), publish(1300)
    assert server.trips() == 1300
    warehouse.rollback("prod", first.id)
    assert server.trips() == 1100
    assert server.http.get("/readyz").json()["version"] == first.id
    warehouse.rollback("prod", second.id)
    assert server.trips() == 1300


def test_an_answer_is_kept_for_its_version_alone(server):
    publish(1000)
    refreshed = [refreshed_at(server) for _ in range(2)]
    assert refreshed[0] == refreshed[1], "the second is the first one's"
    publish(1000)
    assert refreshed_at(server) > refreshed[0]


def test_both_queries_of_one_request_see_one_version_while_others_are_published(server):
    """One request has two queries whose figures must agree, while a writer changes the figures."""
    stop, seen, failures = threading.Event(), set(), []
    query = [
        {
            "measures": ["trips.trips"],
            "timeDimensions": [{"dimension": "trips.pickup_at", "granularity": "year"}],
        },
        {
            "measures": ["trips.revenue"],
            "timeDimensions": [{"dimension": "trips.pickup_at", "granularity": "year"}],
        },
    ]

    def write() -> None:
        rows = 1000
        while not stop.is_set():
            rows = 1000 + (rows + 10) % 500 // 10 * 10
            publish(rows)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        end = time.monotonic() + 60
        while len(seen) < 5 and not failures and time.monotonic() < end:
            answer = server.ask(query)
            if answer.status_code != 200:
                failures.append(answer.text)
                break
            trips, revenue = (result["data"][0] for result in answer.json()["results"])
            seen.add(trips["trips.trips"])
            assert float(revenue["trips.revenue"]) == pytest.approx(
                float(trips["trips.trips"]) / 10
            )
    finally:
        stop.set()
        writer.join()
    assert failures == [] and len(seen) == 5


def test_a_superseded_version_is_closed_after_its_grace_time_though_nobody_asks(server):
    publish(1000)
    server.trips()
    for _ in range(3):
        publish(1000)
        server.trips()
    current = str(store.current("prod").path)
    assert eventually(lambda: server.open_files() == {current}), server.open_files()


@pytest.mark.slow
def test_a_version_that_is_current_again_within_its_grace_time_keeps_its_answers(small):
    with Server(small, LOC_CUBE_GRACE=3) as own:
        first = publish(1000)
        refreshed = refreshed_at(own)
        publish(1200)
        assert own.trips() == 1200
        time.sleep(1.5)  # after at most a second, the first version's grace time begins
        warehouse.rollback("prod", first.id)
        assert refreshed_at(own) == refreshed
        time.sleep(4)
        assert refreshed_at(own) == refreshed


def test_a_query_that_is_under_way_ends_on_its_version(server, small):
    """The query takes longer than the grace time of one second, and still finishes."""
    (small / "slow.yml").write_text("""\
cubes:
  - name: slow
    sql: select count(*) as n from range(40000) a, range(40000) b where hash(a.range, b.range) % 7 =
        1
    measures: [{ name: n, sql: n, type: max }]
""")
    publish(1000)
    found = []
    thread = threading.Thread(target=lambda: found.append(server.ask({"measures": ["slow.n"]})))
    thread.start()
    time.sleep(0.3)
    publish(1000)
    assert server.trips() == 1000
    thread.join()
    (small / "slow.yml").unlink()
    answer = found[0].json()
    assert answer.get("results") or "ran longer than 3 seconds" in answer["error"], answer


def test_before_the_first_load_it_is_ready_and_says_what_to_do(tmp_path, data):
    model = tmp_path / "model"
    model.mkdir()
    (model / "trips.yml").write_text(MODEL)
    warehouse.ensure("prod")
    with Server(model) as made:
        ready = made.http.get("/readyz")
        assert ready.status_code == 200
        assert (ready.json()["status"], ready.json()["version"]) == ("no data yet", None)
        answer = made.ask(TRIPS)
        assert (answer.status_code, answer.json()["error"]) == (503, "no data yet; run loc refresh")
        graphql = made.post("/cubejs-api/graphql", {"query": "{ cube { trips { trips } } }"})
        assert "no data yet; run loc refresh" in graphql.text
        publish(7)
        assert made.trips() == 7
        assert made.http.get("/readyz").json()["status"] == "ready"


def test_without_any_version_at_all_it_is_ready_too(tmp_path, data):
    model = tmp_path / "model"
    model.mkdir()
    (model / "trips.yml").write_text(MODEL)
    with Server(model) as made:
        assert made.http.get("/readyz").json()["status"] == "no data yet"
        publish(7)
        assert made.trips() == 7


def test_data_that_were_removed_and_loaded_anew_are_not_taken_for_the_old_ones(tmp_path, data):
    """The new data's version has the id of the first version again."""
    import shutil

    model = tmp_path / "model"
    model.mkdir()
    (model / "trips.yml").write_text(MODEL)
    publish(7)
    with Server(model) as made:
        assert made.trips() == 7
        shutil.rmtree(data)
        assert publish(8).id == 1
        assert made.trips() == 8
