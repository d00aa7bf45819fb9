"""``docs/versions.md`` has the versions of ``golden.toml``."""

import re
from functools import reduce
from operator import or_

import pytest
import tomlkit

from proto_loc.settings import ROOT
from proto_loc.setup.environments import golden
from proto_loc.setup.upgrade import page, wishes

PAGE = (ROOT / "docs/versions.md").read_text()
ROW = re.compile(r"^\| `([^`]+)` \| (\S+) \|", re.MULTILINE)
ROWS = dict(ROW.findall(PAGE))


def decided() -> dict[str, str]:
    versions = golden()
    tools = {
        name: tool if isinstance(tool, str) else tool["version"]
        for name, tool in versions["tools"].items()
    }
    packages = (environment["packages"] for environment in versions["environments"].values())
    return reduce(or_, packages, tools | versions["npm"] | versions["core"])


@pytest.mark.parametrize("name", ROWS)
def test_row(name):
    assert ROWS[name] == decided()[name]


def test_every_tool_has_a_row():
    assert set(golden()["tools"]) <= set(ROWS)


def test_an_upgrade_leaves_the_page_right():
    """Bug: a weekly upgrade failed, because it did not update the versions in the page."""
    document = tomlkit.parse((ROOT / "golden.toml").read_text())
    moved = {wish.key: "999.9" for wish in wishes(document) if wish.pinned}
    new = dict(ROW.findall(page(PAGE, moved)))
    assert new == {name: moved.get(name, version) for name, version in ROWS.items()}
    assert "999.9" in new.values()


def test_no_version_that_moves_stands_outside_of_the_table():
    text = ROW.sub("", PAGE.partition("## Upgrading")[0])
    text = re.sub(
        r"^\| (Dagster|dbt|Superset|JupyterLab|Cube) .*$", "", text, flags=re.MULTILINE
    )  # the versions that were planned first
    pinned = {version for version in ROWS.values() if version.count(".") == 2}
    assert [version for version in pinned if version in text] == []
