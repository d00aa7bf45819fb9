"""The UI in a real browser: log in, see the graph, materialize a month, see its checks."""

from collections.abc import Iterator

import pytest
from processes import Stack, until
from screenshots import shot

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dagster"), pytest.mark.timeout(300)]


@pytest.fixture
def page(browser) -> Iterator:
    """A page in a new browser session."""
    with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
        page = context.new_page()
        page.set_default_timeout(90_000)
        yield page


@pytest.fixture
def inside(page, filled: Stack):
    """A page that the link has logged in."""
    page.goto(f"{filled.url}/?token={filled.token}")
    page.wait_for_selector("text=Catalog")
    return page


def test_without_the_link_there_is_no_page(page, stack):
    page.goto(stack.url)
    assert "Log in by the link" in page.inner_text("body")


def test_the_link_logs_in_and_the_address_forgets_the_token(page, filled):
    page.goto(f"{filled.url}/?token={filled.token}")
    page.wait_for_selector("text=Catalog")
    assert "token" not in page.url
    shot(page, "start")


def test_the_asset_graph_leads_from_the_months_to_the_marts(inside, filled):
    inside.goto(filled.url)
    inside.get_by_role("link", name="Lineage").click()
    for group in ("raw", "seeds", "staging", "marts"):
        inside.wait_for_selector(f"text={group}", state="attached")
    shot(inside, "groups")
    inside.goto(
        f"{filled.url}/assets/marts/mart_taxi_trips?view=lineage&lineageScope=upstream&lineageDepth=10"
    )
    for name in ("yellow_trips", "stg_taxi_trips", "fct_taxi_trips"):
        inside.wait_for_selector(f"text={name}", state="attached")
    shot(inside, "graph")


def test_a_month_is_materialized_by_click(inside, filled):
    before = filled.current("raw")
    inside.goto(f"{filled.url}/assets/taxi/green_trips")
    inside.get_by_role("button", name="Materialize").first.click()
    box = inside.get_by_role("dialog")
    box.wait_for()
    shot(inside, "partitions")
    field = box.locator("input[type=text]").first
    field.fill("2023-05")
    field.press("Enter")
    shot(inside, "chosen")
    box.get_by_role("button", name="Launch").last.click()
    until("the month is loaded", lambda: filled.current("raw") > before, 60)
    # The load is published before Dagster reports it, so the newest report may be an older one.
    newest = until(
        "it is reported",
        lambda: [
            report
            for report in filled.materializations("taxi", "green_trips", limit=1)
            if report["partition"] == "2023-05"
        ],
        30,
    )[0]
    assert newest["origin"] == "synthetic"
    inside.goto(f"{filled.url}/assets/taxi/green_trips?view=events")
    inside.wait_for_selector("text=2023-05")
    shot(inside, "month")


def test_the_checks_of_a_mart_are_green(inside, filled):
    assert filled.loc("refresh").returncode == 0
    inside.goto(f"{filled.url}/assets/marts/fct_taxi_trips?view=checks")
    names = filled.checks("marts", "fct_taxi_trips")
    for name in names:
        inside.wait_for_selector(f"text={name}", state="attached")
    until(
        "all are green",
        lambda: inside.get_by_text("Succeeded", exact=True).count() >= len(names),
        60,
    )
    shot(inside, "checks")
    assert inside.get_by_text("Failed").count() == 0


def test_dbts_documentation_opens_on_the_lineage_of_the_marts(inside, filled):
    """Bug: it opened on dbt's own words of welcome."""
    inside.goto(f"{filled.url}/dbt-docs/")
    box = inside.locator('[ng-model="selectorService.selection.dirty.include"]').first
    box.wait_for()  # visible once the graph is
    until("the marts are selected", lambda: "+mart_taxi_trips" in box.input_value(), 30)
    shot(inside, "lineage")


def test_dbts_documentation_shows_a_model(inside, filled):
    inside.goto(f"{filled.url}/dbt-docs/#!/model/model.proto_loc.mart_taxi_trips")
    inside.wait_for_selector("text=mart_taxi_trips")
    inside.wait_for_selector("text=total_amount")
    shot(inside, "docs")


def test_the_pages_load_from_this_machine_only(inside, filled):
    asked = []
    inside.on("request", lambda request: asked.append(request.url))
    inside.goto(f"{filled.url}/overview")
    inside.wait_for_selector("text=Overview")
    inside.goto(f"{filled.url}/dbt-docs/")
    inside.wait_for_selector("text=proto_loc", state="attached")
    inside.wait_for_timeout(1000)
    foreign = [url for url in asked if not url.startswith((filled.url, "data:", "blob:"))]
    assert asked and foreign == []
