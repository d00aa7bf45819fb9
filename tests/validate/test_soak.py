"""Twenty readers of four kinds query while versions are published: ``loc soak``.

It takes two to three minutes, as each stretch of load is between two validations.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

from proto_loc import warehouse
from proto_loc.soak import readers
from proto_loc.superset.client import Person
from proto_loc.warehouse import lake

pytestmark = [pytest.mark.xdist_group("validate"), pytest.mark.timeout(1200)]


@pytest.mark.parametrize("minutes", ["0.7", pytest.param("5", marks=pytest.mark.slow)])
def test_readers_see_whole_and_new_figures_while_versions_are_published(
    validated, monkeypatch, minutes: str
):
    for name, value in validated.variables.items():
        monkeypatch.setenv(name, value)
    before = warehouse.current("prod").id
    done = validated.loc("soak", "--minutes", minutes, "--new", "--json")
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    (run,) = report["runs"]
    assert (run["errors"], run["locks"], run["half_built"], run["restarted"]) == (0, 0, 0, 0), run
    assert (run["validations"], run["failed_validations"]) == (2, 0), run["messages"]
    assert report["passed"] and done.returncode == 0
    assert run["readers"] == 20 and run["reads"].keys() == readers.SHARES.keys()
    assert all(run["reads"][kind] >= number for kind, number in readers.SHARES.items())
    assert run["publishes"] >= 2, "the sample was made smaller, and whole again"
    assert warehouse.current("prod").id == before + run["publishes"] + 2, "each validation, too"
    assert max(run["stale_max"].values(), default=0) < 30
    measured = {(slope["process"], slope["measure"]) for slope in report["slopes"]}
    assert {(name, "memory") for name in ("cube", "superset", "jupyter", "home")} <= measured
    assert {("disk", "data"), ("reader cube", "latency")} <= measured

    rows = Counter()
    for load in lake.loads():
        rows[load.origin] += load.rows
    assert rows == {"synthetic": 300_000}
    with Person() as admin:
        names = [account["username"] for account in admin.items("security/users")]
    assert not [name for name in names if name.startswith(readers.ACCOUNT)]
    reports = sorted(Path(validated.variables["LOC_RUN"], "validate").glob("*/report.json"))
    (ingest,) = (
        step for step in json.loads(reports[-1].read_text())["steps"] if step["name"] == "ingest"
    )
    loaded = "A run of Dagster has loaded 6 files or partitions, 300,000 rows"
    assert loaded in [finding["what"] for finding in ingest["findings"]]
