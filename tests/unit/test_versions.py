"""``docs/versions.md`` says what ``golden.toml`` says."""

import re
from functools import reduce
from operator import or_

import pytest

from proto_loc.environments import golden
from proto_loc.settings import ROOT

PAGE = (ROOT / "docs/versions.md").read_text()
ROWS = dict(re.findall(r"^\| `([^`]+)` \| (\S+) \|", PAGE, re.MULTILINE))


def decided() -> dict[str, str]:
    versions = golden()
    tools = {name: tool if isinstance(tool, str) else tool["version"] for name, tool in versions["tools"].items()}
    packages = (environment["packages"] for environment in versions["environments"].values())
    return reduce(or_, packages, tools | versions["npm"] | versions["core"])


@pytest.mark.parametrize("name", ROWS)
def test_row(name):
    assert ROWS[name] == decided()[name]


def test_every_tool_has_a_row():
    assert set(golden()["tools"]) <= set(ROWS)


def test_what_moved_ends_at_the_golden_version():
    ends = re.findall(r"^\| (\w+) [\d.]+ \| ([\d.]+) \|", PAGE, re.MULTILINE)
    names = {"Dagster": "dagster", "dbt": "dbt-core", "Superset": "apache-superset", "JupyterLab": "jupyterlab",
             "Cube": "@cubejs-backend/server-core"}  # fmt: skip
    assert {names[name]: version for name, version in ends} == {name: decided()[name] for name in names.values()}
