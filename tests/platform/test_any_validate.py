"""``loc validate`` on other content: a platform without any, and a shop."""

import json

import pytest
from clone import Clone, lend_superset
from words import domain_words

from proto_loc.validate import pages

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(900)]

STEPS = """
import json
from proto_loc.validate import report, steps
from proto_loc.validate.proof import Proof

proof = Proof(report.new_folder())
names = ("ingest", "audit", "fresh", "figures")
steps.run(proof, {name: steps.STEPS[name] for name in names}, lambda *_: None)
report.write(proof)
print(json.dumps(report.content(proof)))
"""


def test_without_content_the_steps_on_data_are_not_called_passed(bare: Clone):
    bare.python("-c", "from proto_loc import warehouse; warehouse.ensure('prod')")
    report = json.loads(bare.python("-c", STEPS).stdout)
    assert {step["verdict"] for step in report["steps"]} == {"not checked"}
    first = [finding["fix"] for step in report["steps"] for finding in step["findings"]]
    assert all("./loc source add" in fix for fix in first) and len(first) == 4
    assert domain_words(json.dumps(report["steps"])) == []


def validated(clone: Clone) -> dict[str, dict]:
    """Validate a clone with services that it starts and stops; return the steps by name."""
    done = clone.loc("validate", "--json", check=False, LOC_COMPOSE="runner")
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads(done.stdout)
    assert domain_words(json.dumps([report["steps"], report["figures"]])) == []
    assert "Nothing is up" in clone.loc("status", check=False).stdout
    return {step["name"]: step for step in report["steps"]} | {"figures of": report["figures"]}


@pytest.mark.slow
def test_the_whole_platform_without_content(bare: Clone, tmp_path_factory):
    lend_superset(bare, tmp_path_factory)
    steps = validated(bare)
    left_out = ("ingest", "audit", "fresh", "figures", "dashboards", "datasets", "cube", "notebook")
    assert {steps[name]["verdict"] for name in (*left_out, "ask")} == {"not checked"}
    opened = ("pages",) if pages.program() else ()
    for name in ("processes", "access", "listeners", "secrets", *opened):
        assert steps[name]["verdict"] == "passed", steps[name]


@pytest.mark.slow
def test_the_whole_platform_of_a_shop(shop: Clone, tmp_path_factory):
    lend_superset(shop, tmp_path_factory)
    steps = validated(shop)
    for name in ("ingest", "audit", "figures", "datasets", "cube", "notebook", "ask", "access"):
        assert steps[name]["verdict"] == "passed", steps[name]
    assert steps["figures of"].keys() == {"order_count", "sales"}
    assert steps["figures of"]["order_count"]["Superset"] == "180"
