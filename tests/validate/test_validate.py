"""``loc validate`` passes on a fresh platform, and ``loc soak`` after it, on the same one.

The first test takes two to three minutes, as a whole platform starts from nothing. The soak runs
with ``--all``; ``LOC_SOAK_MINUTES`` sets another time than five minutes.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from proto_loc import warehouse
from proto_loc.soak import readers
from proto_loc.superset.client import Person
from proto_loc.validate import figures, pages
from proto_loc.validate.steps import STEPS
from proto_loc.warehouse import lake

pytestmark = [pytest.mark.xdist_group("validate"), pytest.mark.timeout(1200)]

MINUTES = os.environ.get("LOC_SOAK_MINUTES") or "5"


def steps(report: dict) -> dict[str, dict]:
    return {step["name"]: step for step in report["steps"]}


def texts(step: dict, *statuses: str) -> str:
    """Return the sentences of a step's findings with these statuses."""
    return "\n".join(
        f"{finding['what']} {finding['why']}"
        for finding in step["findings"]
        if not statuses or finding["status"] in statuses
    )


@pytest.fixture
def inside(validated, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process has the settings of the platform."""
    for name, value in validated.variables.items():
        monkeypatch.setenv(name, value)
    yield


def test_a_fresh_platform_passes_from_the_load_to_the_answer(validated, inside):
    report, outcome = validated.report, steps(validated.report)
    assert validated.first.returncode == 0, validated.first.stderr + json.dumps(report, indent=1)
    assert list(outcome) == list(STEPS)
    verdicts = {name: step["verdict"] for name, step in outcome.items()}
    assert verdicts.pop("machine") in ("passed", "warned"), "this machine may be nearly full"
    assert verdicts.pop("pages") == ("passed" if pages.program() else "not checked")
    assert set(verdicts.values()) == {"passed"}, verdicts
    assert "No model was asked" in texts(outcome["ask"], "skip")
    assert "was a run of Dagster" in texts(outcome["ingest"])
    totals = report["figures"]
    published = figures.models(warehouse.current("prod"))
    assert set(totals) == {metric.name for model in published for metric in model.metrics}
    for metric, by_tool in totals.items():
        assert set(by_tool) >= {"warehouse", "Superset", "Cube", "Notebook"}, metric
    assert report["access"]["nobody's"].keys() >= {"home", "dagster", "cube", "metrics"}
    assert [row["superset"] for row in report["access"].values()].count("200") == 1


def test_its_report_has_pictures(validated):
    if not pages.program():
        pytest.skip("no Chromium here: apt-get install chromium, or set LOC_CHROMIUM to its path")
    folder = Path(validated.report["report"]).parent
    assert {picture["title"] for picture in validated.report["pictures"]} >= {
        *("Home", "Dagster", "JupyterLab"),
        *("Taxi overview", "Data quality and freshness"),
    }
    for picture in validated.report["pictures"]:
        assert (folder / picture["file"]).read_bytes().startswith(b"\x89PNG")


def test_its_report_has_no_secret_and_is_private(validated):
    page = Path(validated.report["report"])
    written = page.read_text() + (page.parent / "report.json").read_text()
    for secret in (validated.home / "run/secrets").iterdir():
        assert secret.read_text().strip() not in written, secret.name
    for path in (page.parent, *page.parent.iterdir()):
        assert not path.stat().st_mode & 0o077, path


def test_a_metric_that_superset_shows_wrongly_is_named_with_both_figures(validated, inside):
    with Person() as admin:
        number = next(
            item["id"] for item in admin.items("dataset") if item["table_name"] == "mart_taxi_trips"
        )
        dataset = admin.call("GET", f"dataset/{number}")["result"]
        fields = ("id", "uuid", "metric_name", "verbose_name", "expression", "metric_type")
        metrics = [{name: row[name] for name in fields} for row in dataset["metrics"]]
        (trips,) = (row for row in metrics if row["metric_name"] == "trips")
        right = trips["expression"]
        for expression in (f"{right} + 1", right):
            trips["expression"] = expression
            admin.call("PUT", f"dataset/{number}", {"metrics": metrics})
            code, outcome = validated.validate("datasets")
            if expression != right:
                assert code == 1 and outcome["datasets"]["verdict"] == "failed"
                assert "Superset does not show the warehouse's figures. trips is " in texts(
                    outcome["datasets"], "fail"
                )
    assert code == 0, outcome["datasets"]


def test_the_answers_of_a_model_are_compared(validated, inside, model):
    """The model is a stand-in that answers the first question rightly, and the others wrongly."""
    names = {
        metric.label: f"{one.name}.{metric.name}"
        for one in figures.models(warehouse.current("prod"))
        for metric in one.metrics
    }
    right = []

    def answer(messages: list[dict]) -> str:
        label = messages[-1]["content"].removeprefix("What is ").partition(" in total")[0]
        if label in right or not right:
            right.append(label)
            return json.dumps({"metrics": [names[label]]})
        return json.dumps({"sql": "select 41.5"})

    server, variables = model(answer)
    code, outcome = validated.validate("ask", **variables)
    assert len(server.requests) == 3
    assert (code, outcome["ask"]["verdict"]) == (1, "failed")
    assert f"openai/standin: What is {right[0]} in total" in texts(outcome["ask"], "ok")
    wrong = texts(outcome["ask"], "fail")
    assert wrong.count("It gives 41.5, and the warehouse has ") == 2


def test_without_a_browser_the_pages_are_not_called_passed(validated, tmp_path):
    """A PATH without Chromium; everything that the launcher needs is in /bin or the clone."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for folder in ("/bin", "/usr/bin"):
        for path in Path(folder).iterdir():
            if not path.name.startswith(("chromium", "google-chrome")):
                (programs / path.name).unlink(missing_ok=True)
                (programs / path.name).symlink_to(path)
    code, outcome = validated.validate("pages", PATH=str(programs), LOC_CHROMIUM="")
    assert code == 0 and outcome["pages"]["verdict"] == "not checked"
    assert "there is no Chromium here" in texts(outcome["pages"])


def test_a_step_that_is_not_there_is_refused(validated):
    done = validated.loc("validate", "--only", "nothing")
    assert done.returncode == 2 and "There is no step 'nothing'" in done.stderr


@pytest.mark.slow
def test_readers_see_whole_and_new_figures_while_versions_are_published(validated, inside):
    """Each stretch of load is between two validations."""
    before = warehouse.current("prod").id
    done = validated.loc("soak", "--minutes", MINUTES, "--new", "--json")
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
