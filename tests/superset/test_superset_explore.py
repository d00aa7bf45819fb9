"""``bundle/explore.json`` lists what Explore adds to a saved chart; exports leave it out.

After an upgrade of Superset, the failure of this test shows what to write there.
"""

import json
from collections.abc import Callable

import pytest
from pages import Pages
from playwright.sync_api import Request

from proto_loc.superset.bundle import forms

pytestmark = pytest.mark.xdist_group("superset")

OF_THE_DATASET = {"adhoc_filters", "metrics", "groupby", "time_grain_sqla", "granularity_sqla"}
"""Keys that Explore sets from the dataset of a chart."""


def asks_for(chart: int) -> Callable[[Request], bool]:
    """Return a test for a request of this chart's data.

    The previous page may still request its own data while the next one opens.
    """
    return lambda asked: (
        "/api/v1/chart/data" in asked.url
        and asked.post_data_json["form_data"].get("slice_id") == chart
    )


def added(pages: Pages) -> dict[str, dict]:
    """Return what Explore adds to each chart, by type of chart."""
    found: dict[str, dict] = {}
    ask = pages.context.request.get
    for each in ask(f"{pages.superset.url}/api/v1/chart/?q=(page_size:100)").json()["result"]:
        with pages.page.expect_request(asks_for(each["id"])) as request:
            pages.page.goto(f"{pages.superset.url}/explore/?slice_id={each['id']}")
        held = ask(f"{pages.superset.url}/api/v1/chart/{each['id']}").json()["result"]["params"]
        known = {*json.loads(held), *forms.OF_THE_PAGE, *OF_THE_DATASET}
        form = request.value.post_data_json["form_data"]
        mine = {key: value for key, value in form.items() if key not in known}
        other = found.setdefault(each["viz_type"], mine)
        for key in list(other):
            if key in mine and mine[key] != other[key]:
                del other[key]
        other |= {key: value for key, value in mine.items() if key not in other}
    return found


@pytest.mark.slow
def test_what_explore_adds_is_what_is_recorded(browser, superset):
    pages = Pages(browser, superset)
    found = added(pages)
    pages.close()
    assert len(found) >= 7
    recorded = {viz_type: forms.explore_defaults(viz_type) for viz_type in found}
    missing = {
        viz_type: {
            key: value
            for key, value in params.items()
            if recorded[viz_type].get(key, "absent") != value
        }
        for viz_type, params in found.items()
    }
    assert {viz_type: params for viz_type, params in missing.items() if params} == {}
