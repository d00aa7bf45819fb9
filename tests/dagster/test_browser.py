"""The UI in a real browser: log in by the link, see the graph, materialize a month by click, see green checks."""

import os
import shutil
from collections.abc import Iterator

import pytest
from processes import Stack, until

pytestmark = [pytest.mark.xdist_group("dagster"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def page(stack: Stack) -> Iterator:
    from playwright.sync_api import sync_playwright

    path = os.environ.get("LOC_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not path:
        pytest.skip("no Chromium here: apt-get install chromium, or set LOC_CHROMIUM to its path")
    with sync_playwright() as playwright:
        # As root, in a container, Chromium's own sandbox cannot be set up.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(90_000)
        yield page
        browser.close()


def shot(page, name: str) -> None:
    """Keep a picture where ``LOC_SCREENSHOTS`` says; for a person to look at."""
    if folder := os.environ.get("LOC_SCREENSHOTS"):
        page.wait_for_timeout(1500)
        page.screenshot(path=f"{folder}/{name}.png")


def test_without_the_link_there_is_no_page(page, stack):
    page.goto(stack.url)
    assert "Log in by the link" in page.inner_text("body")


def test_the_link_logs_in_and_the_address_forgets_the_token(page, filled):
    page.goto(f"{filled.url}/?token={filled.token}")
    page.wait_for_selector("text=Catalog")
    assert "token" not in page.url
    shot(page, "start")


def test_the_asset_graph_leads_from_the_months_to_the_marts(page, filled):
    page.goto(filled.url)
    page.get_by_role("link", name="Lineage").click()
    for group in ("raw", "seeds", "staging", "marts"):
        page.wait_for_selector(f"text={group}", state="attached")
    shot(page, "groups")
    page.goto(f"{filled.url}/assets/marts/mart_taxi_trips?view=lineage&lineageScope=upstream&lineageDepth=10")
    for name in ("yellow_trips", "stg_taxi_trips", "fct_taxi_trips"):
        page.wait_for_selector(f"text={name}", state="attached")
    shot(page, "graph")


def test_a_month_is_materialized_by_click(page, filled):
    before = filled.current("raw")
    page.goto(f"{filled.url}/assets/taxi/green_trips")
    page.get_by_role("button", name="Materialize").first.click()
    box = page.get_by_role("dialog")
    box.wait_for()
    shot(page, "partitions")
    field = box.locator("input[type=text]").first
    field.fill("2023-05")
    field.press("Enter")
    shot(page, "chosen")
    box.get_by_role("button", name="Launch").last.click()
    until("the month is loaded", lambda: filled.current("raw") > before, 60)
    newest = until("it is reported", lambda: [m for m in filled.materializations("taxi", "green_trips", limit=1)], 30)[
        0
    ]
    assert (newest["partition"], newest["origin"]) == ("2023-05", "synthetic")
    page.goto(f"{filled.url}/assets/taxi/green_trips?view=events")
    page.wait_for_selector("text=2023-05")
    shot(page, "month")


def test_the_checks_of_a_mart_are_green(page, filled):
    assert filled.loc("refresh").returncode == 0
    page.goto(f"{filled.url}/assets/marts/fct_taxi_trips?view=checks")
    page.wait_for_selector("text=unique_fct_taxi_trips_trip_id")
    page.wait_for_selector("text=Passed")
    assert page.locator("text=Failed").count() == 0
    shot(page, "checks")


def test_dbts_documentation_opens_with_its_lineage(page, filled):
    page.goto(f"{filled.url}/dbt-docs/#!/model/model.proto_loc.mart_taxi_trips")
    page.wait_for_selector("text=mart_taxi_trips")
    page.wait_for_selector("text=total_amount")
    shot(page, "docs")


def test_the_pages_load_from_this_machine_only(page, filled):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{filled.url}/overview")
    page.wait_for_selector("text=Overview")
    page.goto(f"{filled.url}/dbt-docs/")
    page.wait_for_selector("text=proto_loc", state="attached")
    page.wait_for_timeout(1000)
    foreign = [url for url in asked if not url.startswith((filled.url, "data:", "blob:"))]
    assert asked and foreign == []
