"""The page as HTML, from states that are hard to bring about."""

import re
from dataclasses import asdict

import pytest

from proto_loc.home import page
from proto_loc.home.commands import Failure, _failure
from proto_loc.home.schema import Service, Status

SERVICE = Service(
    name="superset",
    verdict="ready",
    status="Running",
    health="Ready",
    probed=True,
    once=False,
    restarts=0,
    exit_code=0,
    pid=7,
    age=90.0,
    why="",
    problem="",
    description="Superset",
    port=8088,
    pages=["Superset"],
    memory=200_000_000,
)
STATUS = Status(
    schema=1,
    at="2026-11-29T12:00:00+00:00",
    name="shop",
    clone="/clone",
    data="/data",
    run="/run",
    git_revision="abc",
    services=[],
    databases=[],
    tables=[],
    runs=None,
    metrics=[],
    marts=[],
    machine=None,
)
TABLE = {
    "source": "shop",
    "table": "orders",
    "declared": True,
    "loads": 2,
    "rows": 100,
    "synthetic": 0,
    "newest": "2026-11-28T12:00:00+00:00",
    "fresh_within": 3600.0,
    "stale": "",
    "small": "",
    "unpublished": 0,
    "audited": True,
    "accepted": 95,
    "rejected": 5,
    "reasons": {"no price": 5},
}
RUN = {
    "id": "1",
    "job": "refresh",
    "status": "SUCCESS",
    "who": "loc load",
    "started_at": "2026-11-29T11:00:00+00:00",
    "ended_at": "2026-11-29T11:02:30+00:00",
    "version": 3,
}


def rendered(failure: Failure | None = None, **changes) -> str:
    """The text of the page, without its markup."""
    state = None if failure else asdict(STATUS) | changes
    html = page.render(
        "home", state=state, failure=failure, served="", docs=False, titles=["Superset"]
    )
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def service(**changes) -> dict:
    return asdict(SERVICE) | changes


@pytest.mark.parametrize(
    ("services", "text"),
    [
        (
            [service(), service(name="cube"), service(name="setup", once=True, verdict="done")],
            "All 2 services are ready",
        ),
        (
            [service(), service(name="cube", verdict="off")],
            "1 of 2 services are ready, the others are off",
        ),
        ([service(verdict="failed")], "superset failed"),
        ([service(verdict="waiting"), service(name="cube", verdict="waiting")], "are starting"),
        ([], "Nothing is up"),
        (None, "The state of the services is not known"),
    ],
)
def test_the_headline_says_how_the_services_are(services, text):
    assert text in rendered(services=services)


def test_a_service_that_is_down_has_no_link():
    html = page.render(
        "home",
        state=asdict(STATUS) | {"services": [service(verdict="failed")]},
        failure=None,
        served="",
        docs=False,
        titles=["Superset"],
    )
    assert "/open/Superset" not in html and "mark bad" in html


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "5 5.00% no price 5"),
        ({"audited": False, "accepted": None, "rejected": None, "reasons": {}}, "not audited"),
        ({"synthetic": 100}, "shop.orders sample"),
        ({"unpublished": 40}, "40 not in prod"),
        ({"loads": 0, "newest": None, "rows": 0, "audited": False}, "never"),
        ({"declared": False}, "no longer declared"),
        ({"reasons": {"a": 4, "b": 3, "c": 2, "d": 1}}, "a 4, b 3, c 2 and 1 more"),
    ],
)
def test_a_table_of_a_source(changes, text):
    assert text in rendered(tables=[TABLE | changes])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "refresh done loc load 1 hour ago 2 minutes 3"),
        ({"status": "FAILURE", "version": None}, "failed"),
        ({"status": "STARTED", "ended_at": None}, "started"),
        ({"started_at": None, "ended_at": None, "status": "QUEUED"}, "queued loc load not yet"),
    ],
)
def test_a_run(changes, text):
    assert text in rendered(runs=[RUN | changes])


def test_it_reloads_by_itself_only_while_something_is_on_its_way():
    def reloads(**changes) -> bool:
        html = page.render(
            "home", state=asdict(STATUS) | changes, failure=None, served="", docs=False, titles=[]
        )
        return 'http-equiv="refresh"' in html

    assert reloads(services=[service(verdict="waiting")]) and reloads(
        runs=[RUN | {"status": "STARTED"}]
    )
    assert not reloads(services=[service()], runs=[RUN])


def test_text_of_data_and_errors_is_not_markup():
    problem = {"part": "sources", "severity": "fail", "what": "<b>x</b>", "why": "&", "fix": ""}
    html = page.render(
        "home",
        state=asdict(STATUS) | {"problems": [problem], "tables": [TABLE | {"table": "<i>"}]},
        failure=None,
        served="<script>",
        docs=False,
        titles=[],
    )
    assert "<b>x" not in html and "<i>" not in html and "<script>" not in html


def test_a_failed_command_is_shown_in_its_sentences():
    text = (
        "warning\nerror: prod cannot be read.\nwhy: The first\nand second line.\nfix: loc doctor\n"
    )
    failure = _failure(text)
    assert failure == Failure("prod cannot be read.", "The first\nand second line.", "loc doctor")
    assert "prod cannot be read. The first and second line. loc doctor" in rendered(failure)
    assert _failure("Traceback\nImportError: x").why == "ImportError: x"
    assert _failure("").why == "It printed nothing."
