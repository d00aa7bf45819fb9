"""The home page in a real browser: phone and desktop, light and dark, without JavaScript."""

from collections.abc import Iterator

import pytest
from screenshots import shot

SIZES = {"desktop": (1280, 900), "phone": (360, 740)}


@pytest.fixture
def page(browser, request) -> Iterator:
    """A page of this size and scheme, without JavaScript."""
    width, height = SIZES[request.param[0]]
    options = {"width": width, "height": height}
    with browser.new_context(
        viewport=options, color_scheme=request.param[1], java_script_enabled=False
    ) as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        yield page


LOOKS = [(size, scheme) for size in SIZES for scheme in ("light", "dark")]


def fits(page) -> bool:
    """Whether nothing is wider than the window."""
    boxes = [element.bounding_box() for element in page.query_selector_all("body *")]
    width = page.viewport_size["width"]
    return all(box["x"] + box["width"] <= width + 0.5 for box in boxes if box)


@pytest.mark.parametrize(
    ("page", "look"), [(look, "-".join(look)) for look in LOOKS], indirect=["page"]
)
def test_a_version_is_served_again_by_hand(versions, home, page, look):
    """Log in by the link, read the page, go back to an earlier version, see it served."""
    page.goto(f"{home.url}/?token={home.token}")
    assert "token" not in page.url and page.title().startswith("Home")
    assert fits(page)
    shot(page, f"home-{look}")
    page.locator("#versions").get_by_role("link", name="Serve this one").first.click()
    assert fits(page)
    page.get_by_role("button", name=f"Serve version {versions[1]}").click()
    page.get_by_role("status").wait_for()
    assert f"prod serves version {versions[1]} now" in page.get_by_role("status").inner_text()
    page.goto(f"{home.url}/open/Superset")
    assert fits(page)
