"""A running platform is backed up while it publishes, and goes on elsewhere from the archive.

It takes more than 60 s, since it starts all services twice, on the content of a shop: once where
its schedule makes backups, and once on another path and other ports, where `loc validate` passes.
"""

import json
import re
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from clone import Clone, add_shop, ignore_tools, lend_superset, lend_tools, make_clone
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from receivers import Webhook

from proto_loc.backup.archive import read_manifest
from proto_loc.dagster.client import LAUNCH, RUNS, SELECTOR
from proto_loc.validate.steps import STEPS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("backup-stack"), pytest.mark.timeout(900)]

MINE = ("notebooks", "work", "mine.ipynb")
FIGURES = "select product, count(*), sum(amount) from marts.mart_orders group by all order by all"


def until(what: str, condition: Callable, seconds: float):
    """Return the first true value of ``condition``; fail with ``what`` after the time limit."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"after {seconds:g} s still not: {what}"
        time.sleep(0.5)
    return value


def secret(clone: Clone, name: str) -> str:
    return Path(clone.variables["LOC_RUN"], "secrets", name).read_text().strip()


class Shop:
    """A clone with the shop, whose services run and whose schedule makes backups."""

    def __init__(self, clone: Clone, archives: Path, webhook: Webhook) -> None:
        self.clone, self.archives, self.webhook = clone, archives, webhook

    def secret(self, name: str) -> str:
        return secret(self.clone, name)

    def get(self, port: int, path: str, secret: str) -> str:
        url = f"http://127.0.0.1:{self.clone.variables['LOC_PORT_PREFIX']}{port}{path}"
        headers = {"authorization": f"Bearer {self.secret(secret)}"}
        return httpx.get(url, headers=headers, trust_env=False, timeout=60).raise_for_status().text

    def ask(self, query: str, **variables) -> dict:
        url = f"http://127.0.0.1:{self.clone.variables['LOC_PORT_PREFIX']}3000/graphql"
        headers = {"authorization": f"Bearer {self.secret('dagster')}"}
        body = {"query": query, "variables": variables}
        answer = httpx.post(url, json=body, headers=headers, trust_env=False, timeout=60).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def backup_runs(self) -> dict[str, tuple[str, str]]:
        """Return the status of each run of the job backup, and the schedule that started it."""
        runs = self.ask(RUNS, limit=100)["runsOrError"]["results"]
        tags = {run["runId"]: {tag["key"]: tag["value"] for tag in run["tags"]} for run in runs}
        return {
            run["runId"]: (run["status"], tags[run["runId"]].get("dagster/schedule_name", ""))
            for run in runs
            if run["jobName"] == "backup"
        }

    def back_up(self) -> str:
        """Start the job backup as a person does on Dagster's page; return how it ended."""
        params = {"selector": {**SELECTOR, "pipelineName": "backup"}, "runConfigData": {}}
        launched = self.ask(LAUNCH, params=params)["launchRun"]
        run = launched["run"]["runId"]
        ended = ("SUCCESS", "FAILURE", "CANCELED")
        until(f"run {run} has ended", lambda: self.backup_runs()[run][0] in ended, 120)
        return self.backup_runs()[run][0]

    def newest(self) -> Path:
        return max(self.archives.glob("*.tar.zst"))


@contextmanager
def running(home: Path, prefix: str, factory: pytest.TempPathFactory):
    """Start the services of a clone with the shop, and stop them at the end; yield a Shop."""
    archives = home / "archives"
    archives.mkdir()
    with Webhook() as webhook:
        clone = make_clone(home, prefix)
        clone.variables |= {
            "LOC_COMPOSE": "runner", "NOTIFY_TEAM": webhook.url, "LOC_NOTIFY_PAUSE": "5",
        }  # fmt: skip
        add_shop(clone)
        with (clone.folder / "fork.toml").open("a") as file:
            file.write(
                f'[backup]\nfolder = "{archives}"\ncron = "* * * * *"\ntime_zone = "UTC"\n'
                'on = true\nkeep = 2\n[notify.team]\nkind = "webhook"\n'
            )
        clone.loc("generate")
        clone.commit("the shop")
        lend_superset(clone, factory)
        try:
            clone.loc("up", "-d")
            yield Shop(clone, archives, webhook)
        finally:
            clone.loc("down")


@pytest.fixture(scope="module")
def shop(module_port_prefix: str, tmp_path_factory) -> Iterator[Shop]:
    with (
        tempfile.TemporaryDirectory(prefix="loc-") as home,  # a socket's path has a short limit
        running(Path(home), module_port_prefix, tmp_path_factory) as made,
    ):
        yield made


@contextmanager
def publishing(clone: Clone) -> Iterator[threading.Thread]:
    """Publish again and again during the block, and once more after it has begun to end."""
    stop = threading.Event()
    failures: list[AssertionError] = []

    def refresh() -> None:
        try:
            while not stop.is_set():
                clone.loc("refresh", "--force")
        except AssertionError as failure:
            failures.append(failure)

    writer = threading.Thread(target=refresh)
    writer.start()
    try:
        yield writer
    finally:
        stop.set()
        writer.join()
    assert failures == []


def elsewhere(shop: Shop, home: Path, prefix: str) -> Clone:
    """Clone the fork on another path, with a space in it, and with other ports."""
    home = home / "a second place"
    (home / "platform").mkdir(parents=True)
    shop.clone.run("git", "clone", "--quiet", shop.clone.folder, home / "clone")
    lend_tools(home / "clone")
    ignore_tools(home / "clone")
    own = {
        "LOC_DATA": str(home / "platform/data"), "LOC_RUN": str(home / "platform/run"),
        "LOC_PORT_PREFIX": prefix, "LOC_COMPOSE": "runner", "NOTIFY_TEAM": shop.webhook.url,
    }  # fmt: skip
    return Clone(home / "clone", own)


def runs(clone: Clone) -> dict[str, str]:
    """Return the status of each run in Dagster's history."""
    path = Path(clone.variables["LOC_DATA"], "dagster/history/runs.db")
    with sqlite3.connect(path) as con:
        rows = con.execute("select run_id, status from runs").fetchall()
    con.close()
    return dict(rows)


def validate(clone: Clone, *names: str) -> dict:
    """Run these steps on a clone whose services are down; return the report."""
    done = clone.loc("validate", "--json", "--only", ",".join(names), check=False)
    report = json.loads(done.stdout or "{}")
    wrong = [
        (step["name"], finding)
        for step in report.get("steps", ())
        for finding in step["findings"]
        if finding["status"] == "fail"
    ]
    assert wrong == []
    assert done.returncode == 0, done.stderr
    return report


def test_a_schedule_and_a_person_back_up_what_is_published_meanwhile(shop):
    """Each run is listed as any other."""
    (shop.clone.folder / "notebooks/work").mkdir(parents=True, exist_ok=True)
    (shop.clone.folder.joinpath(*MINE)).write_text("{}")
    with publishing(shop.clone) as writer:
        assert shop.back_up() == "SUCCESS"
        assert writer.is_alive()
    scheduled = lambda: ("SUCCESS", "backups") in shop.backup_runs().values()  # noqa: E731
    until("the schedule has started a run that succeeded", scheduled, 90)
    history = json.loads(shop.clone.loc("backup", "--history", "--json").stdout)
    assert len(history) >= 2 and {record["error"] for record in history} == {""}
    assert all(re.fullmatch("Dagster run [0-9a-f]{8}", record["who"]) for record in history)
    assert [record["missing"] for record in history] == [[]] * len(history)
    state = json.loads(shop.clone.loc("status", "--json").stdout)
    assert "backup" in {run["job"] for run in state["runs"] if run["status"] == "SUCCESS"}


def metrics(shop: Shop) -> dict[str, float]:
    text = shop.get(8000, "/metrics", "metrics")
    return {
        sample.labels["outcome"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "loc_backup_last_timestamp_seconds"
    }


def test_a_backup_that_fails_is_told_everywhere_and_so_is_its_recovery(shop):
    """Its disk is not mounted, and then it is again."""
    shop.archives.rename(shop.archives.with_name("unmounted"))
    assert shop.back_up() == "FAILURE"
    state = json.loads(shop.clone.loc("status", "--json", check=False).stdout)
    failed = [run for run in state["runs"] if (run["job"], run["status"]) == ("backup", "FAILURE")]
    assert failed and metrics(shop)["failed"] > metrics(shop)["written"]
    (finding,) = (
        item
        for item in json.loads(shop.clone.loc("doctor", "--json", check=False).stdout)
        if item["check"] == "backups"
    )
    assert finding["status"] == "fail" and "There is no folder" in finding["why"]

    def notices(state: str) -> list[dict]:
        contents = [content for _, content in shop.webhook.requests]
        return [
            content
            for content in contents
            if content["incident"] == "refresh:backup" and content["state"] == state
        ]

    (notice,) = until("a notice says so", lambda: notices("open"), 60)
    assert "backup failed" in notice["subject"]
    shop.archives.with_name("unmounted").rename(shop.archives)
    assert shop.back_up() == "SUCCESS"
    assert len(list(shop.archives.iterdir())) == 2, "fork.toml keeps two"
    until("a notice says that it works again", lambda: notices("recovered"), 60)
    assert metrics(shop)["written"] > metrics(shop)["failed"]


def restored(shop: Shop, place: Path, prefix: str) -> Clone:
    """Restore the newest archive elsewhere; check what is there before a service starts."""
    shop.clone.loc("down")
    expected, before, archive = shop.clone.published(FIGURES), runs(shop.clone), shop.newest()
    clone = elsewhere(shop, place, prefix)
    clone.loc("restore", archive)
    assert clone.published(FIGURES) == expected
    assert read_manifest(archive).current["prod"] > 2, "it was taken while versions were published"
    assert (clone.folder.joinpath(*MINE)).read_text() == "{}"
    history = runs(clone)
    assert len(history) >= 4 and history.keys() <= before.keys()
    assert {"STARTED", "STARTING", "QUEUED"}.isdisjoint(history.values())
    clone.loc("db", "verify", "--all")
    return clone


def test_a_backup_of_a_running_stack_passes_validation_elsewhere(shop, tmp_path, port_prefix):
    """Without the archive's secrets: the other clone makes its own. The pages are left out, as
    pictures take half a minute.
    """
    clone = restored(shop, tmp_path, port_prefix)
    report = validate(clone, *(name for name in STEPS if name != "pages"))
    verdicts = {step["name"]: step["verdict"] for step in report["steps"]}
    for name in ("audit", "figures", "datasets", "cube", "notebook", "ask", "access", "versions"):
        assert verdicts[name] == "passed", (name, report)
