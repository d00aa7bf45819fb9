"""Metrics over HTTP: who gets them, and whether they are what is on the disk."""

import os
import subprocess
import sys

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from running import Running

from proto_loc import credentials, warehouse
from proto_loc.backup import records
from proto_loc.dagster import instance
from proto_loc.dagster.run_totals import totals
from proto_loc.home.status import last_runs
from proto_loc.monitoring import families, latencies, openmetrics
from proto_loc.monitoring.watch import judge, state_to_judge
from proto_loc.notify import outbox
from proto_loc.notify.incidents import Incident
from proto_loc.settings import ROOT
from proto_loc.warehouse import store


def values(text: str) -> dict[tuple, float]:
    """Each sample by its name and the values of its labels, in the order of their names."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def publish(rows: int) -> warehouse.Version:
    with warehouse.write("prod", who="test") as session:
        with session.connect() as con:
            con.execute("create schema if not exists marts")
            con.execute(f"create or replace table marts.sales as from range({rows})")
        session.checks = {"pass": 3, "warn": 1}
    return session.version


@pytest.fixture
def home(data, port_prefix, monkeypatch):
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    with Running("home") as running:
        yield running


def test_the_home_page_serves_metrics_to_the_token_of_metrics_only(home):
    address = f"{home.url}/metrics"

    def get(token: str = "", **options) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        return httpx.get(address, headers=headers, trust_env=False, timeout=60, **options)

    token = credentials.secret("metrics")
    publish(1000)
    answer = get(token)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    shown = values(answer.text)
    assert shown["loc_table_rows", "prod", "marts.sales"] == 1000
    assert shown["loc_version", "prod"] == shown["loc_publishes_total", "prod"] == 1
    assert 0 < shown["loc_disk_free_bytes",] < shown["loc_disk_size_bytes",]
    assert not [
        secret for secret in ("home", "metrics") if credentials.secret(secret) in answer.text
    ]
    for refused in (
        get(),
        get(credentials.secret("home")),
        get("wrong"),
        get(params={"token": token}),
    ):
        assert refused.status_code == 401 and ".run/secrets/metrics" in refused.text
    assert get(token, headers={"host": "evil.example"}).status_code == 400
    page = httpx.get(home.url, headers={"authorization": f"Bearer {token}"}, trust_env=False)
    assert page.status_code == 401, "who reads metrics cannot roll back"


def test_metrics_say_what_is_published_and_damaged(data):
    publish(5)
    damaged = publish(7)
    (store.load("prod", 1).folder / "manifest.json").chmod(0o644)
    (store.load("prod", 1).folder / "manifest.json").write_text("{")
    shown = values(openmetrics.text())
    assert shown["loc_version", "prod"] == damaged.id == 2
    assert shown["loc_checks", "prod", "pass"] == 3 and shown["loc_checks", "prod", "warn"] == 1
    assert shown["loc_versions_kept", "prod"] == 2 and shown["loc_versions_damaged", "prod"] == 1
    published = shown["loc_published_timestamp_seconds", "prod"]
    assert abs(published - damaged.path.stat().st_mtime) < 60
    assert shown["loc_part_unreadable", "services"] == 0, "no stack is no fault of a part"
    assert shown["loc_problems", "services", "fail"] == 1


def test_a_part_that_cannot_be_read_hides_no_other(data):
    publish(5)
    (data / "dagster/history").mkdir(parents=True)
    (data / "dagster/history/runs.db").write_text("no database")
    shown = values(openmetrics.text())
    assert shown["loc_part_unreadable", "runs"] == 1
    assert shown["loc_part_unreadable", "warehouse"] == 0
    assert shown["loc_table_rows", "prod", "marts.sales"] == 5


RUNS = """
import sys
sys.path.insert(0, {root!r})
from proto_loc.dagster import instance
instance.begin()
import dagster as dg
from dagster import DagsterInstance

@dg.op
def work(context): pass

@dg.job
def nightly(): work()

@dg.op
def fail(context):
    context.instance.add_run_tags(context.run_id, {{"failed checks": "not_null"}})
    raise dg.Failure("no")

@dg.job
def weekly(): fail()

with DagsterInstance.get() as dagster:
    for job in (weekly, *[nightly] * 9):
        job.execute_in_process(instance=dagster, raise_on_error=False)
    dagster.create_run_for_job(nightly)
"""


def test_runs_are_counted_from_dagsters_own_storage(data):
    """Dagster writes the file, so a change of its tables in a later release fails here."""
    assert totals() == ({}, {}) and last_runs() == [], "before the first start there is no file"
    subprocess.run([sys.executable, "-c", RUNS.format(root=str(ROOT))], check=True, env=os.environ)
    assert (instance.home() / "history/runs.db").exists()
    ended, open_runs = totals()
    assert {key: total.number for key, total in ended.items()} == {
        ("nightly", "success"): 9,
        ("weekly", "audit_failure"): 1,
    }
    assert open_runs == {"nightly": 1}
    assert sum(ended["nightly", "success"].by_bucket) == 9
    shown = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.runs(ended, open_runs)
        for sample in family.samples
    }
    assert shown["loc_run_seconds_count", "nightly", "success"] == 9
    assert shown["loc_run_last_timestamp_seconds", "weekly", "audit_failure"] > 1.7e9
    assert shown["loc_runs_active", "nightly"] == 1
    # the failure is judged, although more runs came after it than the home page lists
    good, failed = last_runs()
    assert (good.job, good.status, failed.job) == ("nightly", "SUCCESS", "weekly")
    assert failed.failed_checks == ["not_null"] and failed.ended_at < good.ended_at
    (fault,) = [fault for fault in judge(state_to_judge()).faults if fault.event == "audit"]
    assert fault.key == "audit:weekly" and fault.run == failed.id


def test_open_incidents_and_dead_channels_are_metrics(data):
    incident = Incident("service:cube", "service", "cube", "", "2026-01-01T00:00:00+00:00", 2, 2)
    box = outbox.Outbox([incident], {"team": outbox.Box(failures=outbox.DEAD, sent=4)})
    shown = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.notices(box)
        for sample in family.samples
    }
    assert shown["loc_incidents", "service"] == 1 and shown["loc_incidents", "stale"] == 0
    assert shown["loc_channel_dead", "team"] == 1 and shown["loc_notices_sent_total", "team"] == 4


def test_the_last_backup_and_its_size_are_metrics(data):
    start = "2026-01-01T00:00:00+00:00"
    records.add(records.Record(start, 10.0, "a schedule", "a.loc", bytes=500))
    records.add(records.Record(start, 20.0, "a schedule", "b.loc", error="disk full"))
    shown = values(openmetrics.text())
    assert shown["loc_backup_bytes",] == 500
    ended = "loc_backup_last_timestamp_seconds"
    assert shown[ended, "failed"] == shown[ended, "written"] + 10


WORKER = """
import os, sys
sys.path.insert(0, {root!r})
from proto_loc.superset import query_times
for seconds in (0.02, 3.0):
    query_times.SECONDS.labels("chart", "answered").observe(seconds)
"""


def test_the_figures_of_supersets_processes_are_added_up(data):
    assert list(latencies.superset()) == []
    folder = latencies.superset_folder()
    folder.mkdir(parents=True)
    for _ in range(2):
        subprocess.run(
            [ROOT / ".venvs/superset/bin/python", "-c", WORKER.format(root=str(ROOT))],
            check=True,
            env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)},
        )
    (family,) = latencies.superset()
    counts = {
        sample.labels.get("le"): sample.value
        for sample in family.samples
        if sample.name.endswith("_bucket")
    }
    assert (counts["0.025"], counts["2.5"], counts["5.0"], counts["+Inf"]) == (2, 2, 4, 4)
