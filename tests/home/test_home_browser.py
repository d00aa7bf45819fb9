"""The home page in a real browser: phone and desktop, light and dark, without JavaScript."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from screenshots import shot

SIZES = {"desktop": (1280, 900), "phone": (360, 740)}


@pytest.fixture
def opened(browser) -> Iterator[Callable]:
    """Opens a page of this size and scheme, without JavaScript."""
    with ExitStack() as contexts:

        def new(size: str, scheme: str):
            width, height = SIZES[size]
            viewport = {"width": width, "height": height}
            options = {"color_scheme": scheme, "java_script_enabled": False}
            context = browser.new_context(viewport=viewport, **options)
            page = contexts.enter_context(context).new_page()
            page.set_default_timeout(60_000)
            return page

        yield new


def fits(page) -> bool:
    """Whether nothing is wider than the window."""
    boxes = [element.bounding_box() for element in page.query_selector_all("body *")]
    width = page.viewport_size["width"]
    return all(box["x"] + box["width"] <= width + 0.5 for box in boxes if box)


def test_it_is_read_on_a_desktop_and_a_phone_in_light_and_dark(versions, home, opened):
    papers = set()
    for size in SIZES:
        for scheme in ("light", "dark"):
            page = opened(size, scheme)
            page.goto(f"{home.url}/?token={home.token}")
            assert "token" not in page.url and page.title().startswith("Home")
            assert fits(page), (size, scheme)
            style = "getComputedStyle(document.body).backgroundColor"
            papers.add((scheme, page.evaluate(style)))
            shot(page, f"home-{size}-{scheme}")
            page.goto(f"{home.url}/open/Superset")
            assert fits(page), (size, scheme)
    assert len(papers) == 2 and len(dict(papers)) == 2, "a scheme is a paper of its own"


def test_a_version_is_served_again_by_hand(versions, home, opened):
    """Bug: with the policy no-referrer, a browser sends the origin "null" with the form."""
    page = opened("phone", "light")
    page.goto(f"{home.url}/?token={home.token}")
    page.locator("#versions").get_by_role("link", name="Serve this one").first.click()
    assert fits(page)
    page.get_by_role("button", name=f"Serve version {versions[1]}").click()
    page.get_by_role("status").wait_for()
    assert f"prod serves version {versions[1]} now" in page.get_by_role("status").inner_text()
