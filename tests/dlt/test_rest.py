"""A REST API that misbehaves: each record is loaded once, or nothing is, with the reason."""

import re
from base64 import b64encode
from urllib.parse import parse_qsl, urlsplit

import misbehaving
import pytest

from proto_loc.errors import LocError
from proto_loc.sources.dlt import DltTable, Rest, program
from proto_loc.sources.dlt.program import FetchError
from proto_loc.sources.dlt_inspection import inspect_api

COLUMNS = {"id": "BIGINT", "state": "VARCHAR"}
PAGES = {"type": "page_number", "base_page": 1, "total_path": "meta.total_pages"}
STORED = "select id, state from tracker.issues order by 1"
RECORDS = [{"id": number, "state": "open"} for number in range(1, 6)]


@pytest.fixture
def api():
    with misbehaving.serving() as api:
        api.rows = RECORDS
        yield api


@pytest.fixture
def tracker(platform, api):
    def declare(mode="replace", paginator=PAGES, **options):
        endpoint = {"path": "issues", "data_selector": "items", "paginator": paginator}
        table = DltTable("issues", COLUMNS, key=("id",), mode=mode)
        options = options or {"token": "tracker-token"}
        where = Rest(f"{api.url}/v1/", ({"name": "issues", "endpoint": endpoint},), **options)
        platform.declare("tracker", (table,), where)

    platform.use = declare
    platform.secret("tracker-token", api.token)
    declare()
    return platform


def test_a_limit_errors_and_a_cut_connection_lose_nothing(tracker, api):
    api.faults = [
        misbehaving.fail,
        misbehaving.nothing,
        misbehaving.wait_a_second,
        misbehaving.nothing,
        misbehaving.cut,
    ]
    tracker.fetch()
    assert tracker.rows(STORED) == [(number, "open") for number in range(1, 6)]
    limited, again = api.requests[2:4]
    assert limited[1] == again[1] and again[0] - limited[0] >= 1


def test_an_api_that_ignores_the_page_is_refused_and_an_overlap_is_not_loaded_twice(tracker, api):
    api.page = lambda query: RECORDS[:2]
    with pytest.raises(FetchError, match="one that was sent before") as refusal:
        tracker.fetch()
    assert "paginator" in refusal.value.fix
    assert tracker.rows(STORED) == []
    # Each page repeats one record of the page before, as if one was inserted meanwhile.
    api.page = lambda query: RECORDS[int(query["page"]) - 1 :][:2]
    api.rows = [*RECORDS, *RECORDS]
    (outcome,) = tracker.fetch()
    assert tracker.rows(STORED) == [(number, "open") for number in range(1, 6)]
    assert "have the key of another one" in outcome.note


def test_a_token_that_expires_loads_nothing_and_is_said_nowhere(tracker, api):
    old = api.token

    def expire(handler):
        api.token = "second-token-of-the-test"
        return False

    api.faults = [misbehaving.nothing, expire]
    with pytest.raises(FetchError, match="401") as refusal:
        tracker.fetch()
    assert ".run/secrets/tracker-token" in refusal.value.fix
    assert tracker.rows(STORED) == []
    assert old not in str(refusal.value) + tracker.said()
    tracker.secret("tracker-token", api.token)
    tracker.fetch()
    assert len(tracker.rows(STORED)) == 5


def test_a_token_that_can_be_renewed_is(tracker, api):
    tracker.secret("tracker-client", "of-the-client")
    auth = {
        "type": "oauth2_client_credentials",
        "access_token_url": f"{api.url}/token",
        "client_id": "loc",
        "client_secret": "secret:tracker-client",
    }
    tracker.use(auth=auth)
    tracker.fetch()
    assert len(tracker.rows(STORED)) == 5
    assert sum(path == "/token" for _, path in api.requests) > 1
    assert "of-the-client" not in tracker.said()


def test_a_key_in_a_url_is_said_in_no_form(tracker, api):
    api.answer = lambda handler: misbehaving.send(handler, 401, {})
    tracker.secret("tracker-key", "key of/the+test")
    auth = {"type": "api_key", "name": "pass", "api_key": "secret:tracker-key", "location": "query"}
    tracker.use(auth=auth)
    with pytest.raises(FetchError, match="401") as refusal:
        tracker.fetch()
    said = str(refusal.value) + tracker.said()
    assert "pass=***" in said and not re.search("key.{1,3}of.{1,3}the", said)


def test_a_password_is_hidden_in_a_header_too():
    job = {"secrets": {"shop-key": "pass word"}, "auth": {"username": "ada"}}
    header = b64encode(b"ada:pass word").decode()
    text = f"Basic {header} of pass+word"
    assert program._hidden(text, program._words_of(job)) == "Basic *** of ***"


def test_an_api_is_asked_only_for_what_has_changed(tracker, api):
    api.rows = [{**row, "changed": f"2025-01-0{row['id']}T00:00:00Z"} for row in RECORDS]

    def since(query: dict) -> list[dict]:
        return [row for row in api.rows if row["changed"] >= query["since"][:19]]

    api.page = since
    endpoint = {
        "path": "issues",
        "data_selector": "items",
        "paginator": "single_page",
        "params": {"since": "{incremental.start_value}"},
        "incremental": {"cursor_path": "changed", "initial_value": "2025-01-01T00:00:00Z"},
    }
    columns = {**COLUMNS, "changed": "TIMESTAMPTZ"}
    table = DltTable("issues", columns, key=("id",), mode="upsert", newest="changed")
    where = Rest(
        f"{api.url}/v1/", ({"name": "issues", "endpoint": endpoint},), token="tracker-token"
    )
    tracker.declare("tracker", (table,), where)
    tracker.fetch()
    # 1 has changed; 5 has too, at the time of the newest row that was fetched.
    changed = "2025-01-05T00:00:00Z"
    api.rows = [{"id": number, "state": "closed", "changed": changed} for number in (1, 5)]
    tracker.fetch()
    states = [(1, "closed"), (2, "open"), (3, "open"), (4, "open"), (5, "closed")]
    assert tracker.rows(STORED) == states
    assert "since=2025-01-05" in api.requests[-1][1]


def test_a_server_that_is_down_does_not_stop_the_other_sources(tracker, monkeypatch):
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
    where = Rest("http://127.0.0.1:9/", ({"name": "issues", "endpoint": {"path": "x"}},))
    tracker.declare("tracker", (DltTable("issues", COLUMNS),), where)
    (outcome,) = tracker.source.load_landing(who="test", report=lambda *state: None)
    assert outcome.load is None and "could not be fetched" in outcome.skipped


def test_a_secret_that_is_missing_is_named(tracker):
    tracker.use(token="tracker-other")
    with pytest.raises(LocError, match="tracker-other") as refusal:
        tracker.fetch()
    assert "TRACKER_OTHER is not set" in refusal.value.why


def test_an_inspection_shows_list_pages_and_key_and_its_code_loads(tracker, api):
    api.rows = [{**row, "day": f"2025-01-0{row['id']}"} for row in RECORDS]
    seen = inspect_api("tracker", f"{api.url}/v1/issues?state=open")
    assert seen.tables[0].columns["day"] == "DATE"
    assert [(table.name, table.key, table.mode) for table in seen.tables] == [
        ("issues", ("id",), "replace")
    ]
    assert seen.rows == {"issues": 5} and seen.columns["issues"]["id"].maximum == 5
    assert "`items`" in seen.notes[0] and "`page`" in seen.notes[1]
    names: dict = {}
    exec(seen.code, names)
    assert api.token not in seen.code and "tracker-token" in seen.code
    tracker.adopt(names["SOURCE"])
    tracker.fetch()
    assert tracker.rows("select count(*), max(day)::varchar from tracker.issues") == [
        (5, "2025-01-05")
    ]


def test_an_api_that_refuses_parameters_is_inspected(tracker, api):
    def from_one(query: dict) -> bool:
        return int(query.get("page", 1)) >= 1

    def by_cursor(query: dict) -> bool:
        return not query.keys() - {"after"}

    def answer(handler):
        query = dict(parse_qsl(urlsplit(handler.path).query))
        number = int(query.get("page", query.get("after", 1)))
        body = {"items": RECORDS[2 * number - 2 :][:2]}
        if is_valid is by_cursor and number < 3:
            body["cursors"] = {"next": str(number + 1)}
        misbehaving.send(handler, 200 if is_valid(query) else 422, body)

    api.answer = answer
    is_valid = from_one
    assert "by `page`, from 1." in inspect_api("tracker", f"{api.url}/v1/issues").notes[1]
    is_valid = by_cursor
    assert "parameter `after`" in inspect_api("tracker", f"{api.url}/v1/issues").notes[1]


def test_a_key_in_a_url_becomes_a_secret(tracker, api):
    api.answer = lambda handler: misbehaving.send(handler, 200, RECORDS)
    seen = inspect_api("tracker", f"{api.url}/issues.json?api_key=key-of-the-test")
    assert "key-of-the-test" not in seen.code and "secret:tracker-token" in seen.code
    with pytest.raises(LocError, match="no list of objects"):
        api.answer = lambda handler: misbehaving.send(handler, 200, {"error": "none"})
        inspect_api("tracker", f"{api.url}/issues.json")
