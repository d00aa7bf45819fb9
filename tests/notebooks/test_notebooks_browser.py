"""The notebooks in a real browser: opened by the link, run, and drawn without the internet."""

import subprocess
from collections.abc import Iterator

import pytest
from lab import Lab
from screenshots import shot

from proto_loc.settings import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("notebooks"), pytest.mark.timeout(300)]

NOTEBOOKS = ("start_here", "explore_trips", "ask_your_data", "validate_the_platform")


@pytest.fixture
def page(browser) -> Iterator:
    """A page of a new browser profile; the window is tall enough to show a whole notebook."""
    with browser.new_context(viewport={"width": 1300, "height": 5200}) as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        yield page


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_from_the_top_in_the_browser_and_asks_the_internet_for_nothing(
    page, lab: Lab, cube, name, request
):
    if name == "validate_the_platform":
        request.getfixturevalue("superset")
    before = subprocess.run(
        ["git", "diff", "--stat", "notebooks"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{lab.url}/lab/tree/{name}.ipynb?token={lab.token}&reset")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    # The indicator also shows "Idle" before there is a kernel. A cell that runs then opens a dialog
    # to select a kernel.
    page.wait_for_selector(".jp-StatusBar-Widget >> text=/^Python 3 .* Idle$/")
    page.locator(".lm-MenuBar-item", has_text="Run").click()
    page.locator(".lm-Menu-item", has_text="Run All Cells").first.click()
    page.wait_for_function(
        """() => {
            const selector = '.jp-Notebook .jp-CodeCell .jp-InputPrompt';
            const prompts = [...document.querySelectorAll(selector)];
            const ran = prompt => /\\[\\d+\\]/.test(prompt.textContent);
            return prompts.length >= 6 && prompts.every(ran);
        }""",
        timeout=120_000,
    )
    shot(page, f"notebook-{name}")
    assert (
        page.locator(
            ".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']"
        ).all_inner_texts()
        == []
    )
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    if name == "explore_trips":
        assert (
            page.locator(".js-plotly-plot svg").count() > 0
            and page.locator(".jp-RenderedImage").count() >= 5
        )
    page.keyboard.press("Control+s")
    page.wait_for_timeout(1500)
    changed = subprocess.run(
        ["git", "diff", "--stat", "notebooks"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    assert changed == before, "to run and save a notebook is no change to git"
    foreign = [
        url
        for url in asked
        if not url.startswith((lab.url, lab.url.replace("http", "ws"), "data:", "blob:"))
    ]
    assert asked and foreign == []


def test_nothing_asks_to_fetch_news_and_no_extension_offers_a_cloud(page, lab: Lab):
    page.goto(f"{lab.url}/lab?token={lab.token}&reset")
    page.wait_for_selector("#jp-main-dock-panel")
    page.wait_for_timeout(3000)
    text = page.inner_text("body")
    assert "news" not in text.lower() and "ploomber" not in text.lower() and "Terminal" not in text
