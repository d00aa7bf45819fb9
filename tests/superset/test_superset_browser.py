"""The dashboards and SQL Lab in a real browser, as a person sees them."""

import calendar
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pages import HOLDER, TALL, Pages, titles
from supersets import Superset

pytestmark = pytest.mark.xdist_group("superset")

DASHBOARDS = {
    "taxi-overview": "taxi_overview",
    "data-quality-and-freshness": "data_quality_and_freshness",
}


@pytest.fixture
def pages(browser, superset: Superset) -> Iterator[Pages]:
    """The admin's browser window; the test fails if its pages had an error."""
    made = Pages(browser, superset)
    yield made
    made.close()
    assert made.faults == []


def test_a_person_logs_in_and_finds_the_dashboards(pages, superset):
    pages.page.goto(f"{superset.url}/dashboard/list/")
    for title in ("Taxi overview", "Data quality and freshness"):
        pages.page.get_by_role("link", name=title).first.wait_for()
    pages.shot("list")


@pytest.mark.parametrize("slug", DASHBOARDS)
def test_every_chart_of_a_dashboard_is_drawn(pages, slug):
    pages.open(slug)
    pages.shot(slug)
    holders = pages.page.locator(HOLDER)
    shown = {holders.nth(n).locator(".header-title").inner_text() for n in range(holders.count())}
    assert shown == titles(DASHBOARDS[slug])
    assert pages.page.locator(f"{HOLDER} [role=alert]").count() == 0
    assert pages.page.locator(f"{HOLDER} .ant-empty").count() == 0
    assert pages.page.get_by_text("No results were returned").count() == 0
    assert "Synthetic sample" in pages.chart("Published data").inner_text()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 1600])
def test_no_text_of_a_chart_is_cut_off(pages, width):
    """This covers titles and column headings.

    Bug: in a narrow window, the last columns of two tables were not visible.
    """
    pages.page.set_viewport_size({"width": width, "height": TALL})
    for slug in DASHBOARDS:
        pages.open(slug)
        pages.shot(f"{slug}-{width}")
        cut = pages.page.evaluate(
            f"""() => [...document.querySelectorAll('{HOLDER} .header-title, {HOLDER} th')]
                .filter(each => each.scrollWidth > each.clientWidth + 1
                    || each.getBoundingClientRect().right >
                        each.closest('{HOLDER}').getBoundingClientRect().right)
                .map(each => each.innerText)"""
        )
        assert cut == [], slug


def test_a_filter_changes_the_figures(pages, admin):
    pages.open("taxi-overview")
    everything = pages.count("Trips")
    (wanted,) = [row["trips"] for row in admin.figures("trips", by=("pickup_borough",))
                 if row["pickup_borough"] == "Queens"]  # fmt: skip
    pages.page.locator("#NATIVE_FILTER-borough").click()
    pages.page.keyboard.type("Queens")
    pages.page.locator(".ant-select-item-option-active", has_text="Queens").wait_for()
    pages.page.keyboard.press("Enter")
    pages.page.keyboard.press("Escape")
    with pages.answered():
        pages.page.get_by_role("button", name="Apply").click()
    pages.shot("filtered")
    assert pages.count("Trips") == wanted < everything
    assert "Synthetic sample" in pages.chart("Published data").inner_text()


@pytest.mark.slow
def test_a_click_in_a_chart_filters_the_others(pages, admin):
    pages.open("taxi-overview")
    everything = pages.count("Trips")
    zone = pages.chart("Top pick-up zones").locator("tbody tr td").first
    name = zone.inner_text()
    (wanted,) = [
        row["trips"]
        for row in admin.figures("trips", by=("pickup_zone",))
        if row["pickup_zone"] == name
    ]
    with pages.answered():
        zone.click()
    pages.shot("cross-filtered")
    assert pages.count("Trips") == wanted < everything


@pytest.mark.slow
def test_the_heat_map_begins_with_monday(pages):
    """The y axis starts at the bottom.

    Its dates are sorted in descending order, so the first date, a Monday, is at the top.
    """
    weekdays = lambda got: "chart/data" in got.url and "Weekday" in (got.request.post_data or "")  # noqa: E731
    with pages.page.expect_response(weekdays) as got:
        pages.open("taxi-overview")
    asked = got.value.request.post_data_json["form_data"]
    rows = got.value.json()["result"][0]["data"]
    days = {datetime.fromtimestamp(row["Weekday"] / 1000, UTC).strftime("%A %d") for row in rows}
    assert days == {f"{name} {day:02}" for day, name in enumerate(calendar.day_name, 1)}
    assert (asked["sort_y_axis"], asked["x_axis_time_format"]) == ("alpha_desc", "%A")


def test_an_analyst_runs_a_query_and_makes_a_chart_of_it(browser, superset):
    """Bugs: the content security policy hid the row numbers, and "Create chart" answered 403."""
    superset.add_person("anna", "Analyst")
    pages = Pages(browser, superset, "anna", "password-of-anna")
    pages.page.goto(f"{superset.url}/sqllab/")
    pages.page.set_viewport_size({"width": 1440, "height": 900})
    pages.page.get_by_text("Add a new tab").first.click()
    editor = pages.page.locator(".ace_text-input").first
    editor.wait_for(state="attached")
    editor.press("ControlOrMeta+a")
    pages.page.keyboard.insert_text(
        "select pickup_borough, 9007199254740995 as big from marts.mart_taxi_trips group by all"
        " order by 2 desc"
    )
    with pages.page.expect_response("**/api/v1/sqllab/execute/"):
        pages.page.get_by_role("button", name=re.compile(r"\bRun$")).first.click()
    pages.page.get_by_text("Manhattan").first.wait_for()
    assert (
        pages.page.locator(".ag-row [col-id*=index], .ag-row .ag-cell").first.inner_text().strip()
        == "1"
    )
    pages.shot("sqllab")
    pages.page.locator("[data-test=explore-results-button]").click()
    pages.page.wait_for_url("**/explore/**datasource_type=query")
    pages.page.get_by_text("9007199254740995").first.wait_for()
    pages.shot("sqllab-chart")
    pages.close()
    assert pages.faults == []


@pytest.mark.slow
def test_a_publish_shows_after_a_reload_and_the_note_goes_with_the_sample(browser, own, tmp_path):
    """Rows from files replace the sample, and then no page contains "synthetic"."""
    own.loc("load", "sample", "--rows", "3000", "--direct")
    own.start()
    pages = Pages(browser, own)
    pages.open("taxi-overview")
    before = pages.count("Trips")
    files = []
    for path in sorted((own.home / "data/lake").rglob("*.parquet")):
        colour, month = re.match(r"(\w+)_trips-(\d{4}-\d{2})-", path.name).groups()
        files.append(shutil.copy(path, tmp_path / f"{colour}_tripdata_{month}.parquet"))
    own.loc("load", "sample", "--rows", "9000", "--direct")
    pages.page.reload()
    pages.settle()
    assert pages.count("Trips") > before * 2
    own.loc("load", *files, "--direct")
    for slug in DASHBOARDS:
        pages.open(slug)
        assert "Records from files" in pages.chart("Published data").inner_text()
        assert pages.page.get_by_text("ynthetic").count() == 0
    pages.open("taxi-overview")
    assert pages.count("Trips") == before
    pages.close()
    assert pages.faults == []


@pytest.mark.slow
def test_a_viewer_sees_the_dashboards(browser, superset):
    superset.add_person("vera", "Viewer", "All rows")
    pages = Pages(browser, superset, "vera", "password-of-vera")
    for slug in DASHBOARDS:
        pages.open(slug)
        assert pages.page.locator(f"{HOLDER} [role=alert]").count() == 0
    pages.close()
    assert pages.faults == []
