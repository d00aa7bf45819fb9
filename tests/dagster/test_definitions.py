"""Dagster's definitions: assets with lineage and columns, a check per test, policies."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version

import dagster as dg
import pytest

from proto_loc.metrics.read import file_of
from proto_loc.settings import ROOT, settings

pytestmark = pytest.mark.xdist_group("dagster-definitions")


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.Definitions]:
    home = tmp_path_factory.mktemp("definitions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        from proto_loc.dagster.definitions import defs

        yield defs


@pytest.fixture(scope="module")
def manifest(defs) -> dict:
    from proto_loc.dagster.dbt_assets import MANIFEST

    return MANIFEST


def nodes(manifest: dict, *kinds: str) -> list[dict]:
    return [node for node in manifest["nodes"].values() if node["resource_type"] in kinds]


def spec(defs: dg.Definitions, key: str) -> dg.AssetSpec:
    return next(spec for spec in defs.resolve_all_asset_specs() if spec.key.to_user_string() == key)


def parents(defs: dg.Definitions, key: str) -> set[str]:
    return {dep.asset_key.to_user_string() for dep in spec(defs, key).deps}


def test_every_model_and_seed_is_an_asset_beside_the_raw_ones(defs, manifest):
    keys = {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}
    kinds = ("model", "seed", "snapshot")
    models = {f"{node['schema']}/{node['name']}" for node in nodes(manifest, *kinds)}
    assert keys == models - {"staging/taxi_zones"} | {
        *("raw/loads", "raw/rejects"),
        "taxi/yellow_trips",
        "taxi/green_trips",
        "taxi/zones",
        "reports/discovery",
    }


def test_every_data_test_and_unit_test_is_a_check_of_a_model(defs, manifest):
    from proto_loc.dagster.dbt_assets import CHECKS

    tests = {node["unique_id"] for node in nodes(manifest, "test")} | set(manifest["unit_tests"])
    assert set(CHECKS) == tests and len(tests) >= 24
    shown = {key for key in defs.resolve_asset_graph().asset_check_keys if key.name != "row_count"}
    assert len(shown) == len(tests)
    of = {check.name: check.asset_key.to_user_string() for check in CHECKS.values()}
    assert of["assert_daily_zones_add_up"] == "marts/agg_daily_zone"
    assert of["rejects_what_each_rule_names_and_nothing_else"] == "staging/int_taxi_trips_audited"


def test_the_lineage_is_one_graph_from_the_months_to_the_marts(defs):
    assert parents(defs, "staging/stg_taxi_trips") == {
        "taxi/yellow_trips",
        "taxi/green_trips",
        "raw/loads",
    }
    assert parents(defs, "staging/stg_taxi_zones") == {"taxi/zones"}
    assert parents(defs, "marts/mart_data_quality") == {"marts/load_outcomes"}
    assert {"raw/loads", "marts/fct_taxi_trips", "marts/rejected_trips"} <= parents(
        defs, "marts/load_outcomes"
    )
    assert "marts/fct_taxi_trips" in parents(defs, "marts/mart_taxi_trips")
    graph = defs.resolve_asset_graph()
    mart = dg.AssetKey(["marts", "mart_taxi_trips"])
    assert dg.AssetKey(["taxi", "yellow_trips"]) in graph.get_ancestor_asset_keys(mart)


def test_columns_and_descriptions_are_those_of_the_dbt_project(defs, manifest):
    for node in nodes(manifest, "model"):
        found = spec(defs, f"{node['schema']}/{node['name']}")
        assert node["description"].strip() in found.description
        columns = found.metadata["dagster/column_schema"].columns
        assert {c.name: c.description for c in columns} == {
            name: column["description"] for name, column in node["columns"].items()
        }
        assert found.metadata["dbt file"].text == file_of(node)


def test_writers_of_one_database_share_a_pool_and_are_tried_again(defs):
    pools = {}
    for asset in defs.resolve_asset_graph().assets_defs:
        if asset.is_executable:
            pools[asset.node_def.name] = asset.node_def.pool
            if asset.node_def.pool is None:
                continue
            policy = asset.node_def.retry_policy
            assert (policy.max_retries, policy.backoff, policy.jitter) == (
                2,
                dg.Backoff.EXPONENTIAL,
                dg.Jitter.PLUS_MINUS,
            )
    assert pools == {
        "taxi__yellow_trips": "raw",
        "taxi__green_trips": "raw",
        "raw__loads": "raw",
        "sources": None,
        "dbt": "prod",
        "reports__discovery": None,
    }
    assert defs.executor is dg.in_process_executor


def test_the_report_is_in_no_job_that_publishes(defs):
    key = dg.AssetKey(["reports", "discovery"])
    assert key not in defs.resolve_job_def("refresh").asset_layer.executable_asset_keys
    assert defs.resolve_job_def("discovery").asset_layer.executable_asset_keys == {key}
    assert parents(defs, "reports/discovery") == {
        "marts/mart_taxi_trips",
        "marts/mart_data_quality",
    }


def test_each_table_of_a_source_has_a_check_of_its_rows_in_the_refresh(defs):
    tables = (dg.AssetKey(["taxi", f"{colour}_trips"]) for colour in ("yellow", "green"))
    keys = {dg.AssetCheckKey(table, "row_count") for table in tables}
    job = defs.resolve_job_def("refresh")
    assert keys <= set(job.asset_layer.asset_graph.asset_check_keys)
    (after,) = next(
        deps for node, deps in job.dependencies.items() if node.name == "sources"
    ).values()
    assert after.node == "raw__loads"  # the checks read what was just loaded


def test_a_month_is_a_partition_named_as_a_load_is(defs):
    for colour in ("yellow", "green"):
        months = spec(defs, f"taxi/{colour}_trips").partitions_def.get_partition_keys()
        assert months[0] == "2009-01" and "2025-02" in months and months == sorted(months)


def test_the_sensor_is_on_the_schedule_is_off_and_the_marts_have_a_freshness_policy(defs):
    (sensor, report), (schedule,) = defs.sensors, defs.schedules
    assert (report.name, report.default_status) == (
        "discovery_after_publish",
        dg.DefaultSensorStatus.STOPPED,
    )
    assert (sensor.name, sensor.default_status, sensor.minimum_interval_seconds) == (
        "landing",
        dg.DefaultSensorStatus.RUNNING,
        30,
    )
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    fresh = {s.key.to_user_string() for s in defs.resolve_all_asset_specs() if s.freshness_policy}
    assert fresh == {
        s.key.to_user_string() for s in defs.resolve_all_asset_specs() if s.key.path[0] == "marts"
    }


def test_a_link_to_nowhere_in_the_landing_folder_stops_no_tick_of_the_sensor(defs):
    sensor = next(sensor for sensor in defs.sensors if sensor.name == "landing")
    settings().landing.mkdir(parents=True)
    (settings().landing / "gone.csv").symlink_to("nowhere")
    tick = sensor.evaluate_tick(dg.build_sensor_context())
    assert (tick.run_requests, tick.skip_message) == ([], "The folder is as it was.")


def test_definitions_load_without_dbt_in_the_process(defs):
    """An import of dbt would cost each process and each run a second and 30 MB."""
    code = (
        "import sys, json, proto_loc.dagster.definitions as d; print(json.dumps(sorted(m for m in"
        " sys.modules if m == 'dbt')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True
    )
    assert json.loads(done.stdout) == [], done.stderr


def test_telemetry_is_off_and_nothing_is_asked_of_a_newcomer():
    import yaml

    config = yaml.safe_load((ROOT / "proto_loc/dagster/dagster.yaml").read_text())
    assert config["telemetry"] == {"enabled": False} and config["nux"] == {"enabled": False}
    from proto_loc.dagster import instance

    assert instance.environment()["DAGSTER_DISABLE_TELEMETRY"] == "yes"


def test_what_dagster_does_not_promise_is_in_one_module_and_there():
    """After an upgrade of Dagster, check each private name again, and then change ``VERSION``."""
    from proto_loc.dagster import private

    assert version("dagster") == private.VERSION
    assert all(getattr(private, name) is not None for name in private.PLACES)
    users = [
        path.name
        for path in (ROOT / "proto_loc").rglob("*.py")
        if "node_modules" not in path.parts and re.search(r"\bdagster\w*\._", path.read_text())
    ]
    assert users == ["private.py"]


def test_progress_is_an_event_whose_metadata_is_what_was_reported():
    """Fault: a reader parsed the text of a log line, and a name such as this one broke it."""
    from proto_loc.dagster.policies import progress

    reported = ["a (1 of 2)\nload: b", 3, 4]

    @dg.op
    def work(context: dg.OpExecutionContext):
        progress(context, "build")(*reported)

    @dg.job
    def job():
        work()

    with dg.DagsterInstance.ephemeral() as instance:
        run = job.execute_in_process(instance=instance)
        records = instance.get_records_for_run(
            run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT
        ).records
    events = [record.event_log_entry.dagster_event for record in records]
    of_step = [event for event in events if "progress" in event.engine_event_data.metadata]
    assert [
        (event.step_key, event.engine_event_data.metadata["progress"].value) for event in of_step
    ] == [("work", ["build", *reported])]


def test_processes_that_start_at_once_on_a_new_home_share_one_storage(data):
    """Fault: without a lock, the SQLite files got two heads of alembic, and no process
    could start.
    """
    code = (
        "from proto_loc.dagster import instance; instance.begin(); import dagster;"
        " dagster.DagsterInstance.get().get_runs()"
    )
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(4)]
    assert [process.wait(60) for process in started] == [0] * 4
