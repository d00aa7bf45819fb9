"""Superset's pages in a real browser."""

import re
from contextlib import contextmanager

import yaml
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from screenshots import shot
from supersets import Superset

from proto_loc.settings import ROOT

HOLDER = ".dashboard-component-chart-holder"
TALL = 2600
"""Height of the window in pixels.

It is as high as the dashboards, because Superset draws a chart only when it is visible.
"""


class Pages:
    """One browser window, logged in; it records the errors of its pages."""

    def __init__(
        self, browser, superset: Superset, name: str = "admin", password: str | None = None
    ) -> None:
        self.superset = superset
        self.context = browser.new_context(viewport={"width": 1440, "height": TALL}, locale="en-US")
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.faults: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(f"page: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on(
            "response",
            lambda got: got.status >= 400 and self.faults.append(f"{got.status} {got.url}"),
        )
        self.page.on("request", self._foreign)
        self.page.goto(f"{superset.url}/login/")
        self.page.fill("#username", name)
        self.page.fill("#password", password or superset.password())
        self.page.click("button[type=submit]")
        try:
            self.page.wait_for_url("**/welcome/**")
        except PlaywrightTimeout as error:
            error.add_note(f"{self.page.url}: {self.faults}\n{self.page.inner_text('body')}")
            raise

    def _said(self, said) -> None:
        # Superset 6.1 lacks the module of AG Grid for an option that SQL Lab's result table sets.
        # The option has no effect.
        if said.type == "error" and "AG Grid" not in said.text and "ag-grid" not in said.text:
            self.faults.append(f"console: {said.text}")

    def _failed(self, request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page cancelled it
            self.faults.append(f"{request.failure} {request.url}")

    def _foreign(self, request) -> None:
        if not request.url.startswith((self.superset.url, "data:", "blob:")):
            self.faults.append(f"asked elsewhere: {request.url}")

    def open(self, slug: str) -> None:
        """Open a dashboard, and wait until all its charts are drawn."""
        self.page.goto(f"{self.superset.url}/superset/dashboard/{slug}/")
        self.page.wait_for_selector(HOLDER)
        self.settle()

    def settle(self) -> None:
        """Wait until all charts have their data and are drawn."""
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_function(
            f"""() => [...document.querySelectorAll('{HOLDER}')].every(holder =>
                !holder.querySelector('[data-test=loading-indicator], .loading')
                && holder.querySelector('canvas, svg.trend-line, table, .header-line, '
                    + '[role=alert], .ant-empty'))"""
        )

    def chart(self, title: str):
        """Return the box of the chart with this title."""
        return self.page.locator(HOLDER).filter(
            has=self.page.locator(".header-title", has_text=re.compile(f"^{title}"))
        )

    def figure(self, title: str) -> str:
        """Return the text of a big number chart."""
        return self.chart(title).locator(".header-line").inner_text()

    def count(self, title: str) -> int:
        return int(re.sub(r"[^\d]", "", self.figure(title)))

    @contextmanager
    def answered(self):
        """Wait until the charts show the new data that the block requests."""
        with self.page.expect_response("**/api/v1/chart/data**"):
            yield
        self.settle()

    def shot(self, name: str) -> None:
        """Save a screenshot, for a person to check."""
        shot(self.page, f"superset-{name}")

    def close(self) -> None:
        self.context.close()


def titles(name: str) -> set[str]:
    """Return the titles of the charts in a dashboard's file."""
    bundle = ROOT / "superset/bundle"
    charts = {}
    for path in (bundle / "charts").glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        charts[content["uuid"]] = content["slice_name"]
    position = yaml.safe_load((bundle / f"dashboards/{name}.yaml").read_text())["position"]
    return {
        charts[node["meta"]["uuid"]] for key, node in position.items() if key.startswith("CHART-")
    }
