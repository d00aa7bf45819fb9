"""Runs of the job ``refresh``, from the command line and the UI, report what is published."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress

import duckdb
import httpx
import psutil
import pytest
from descriptions import number_of_tests
from processes import Stack, until

from proto_loc.dagster import client
from proto_loc.refresh.request import Request

pytestmark = pytest.mark.xdist_group("dagster")

LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }"""
SENSOR = """mutation($selector: SensorSelector!, $cursor: String) {
  sensorDryRun(selectorData: $selector, cursor: $cursor) { __typename ... on DryRunInstigationTick {
    evaluationResult { cursor skipReason runRequests { tags { key value } } error { message } } }
    ... on Error { message } } }"""
REPOSITORY = {"repositoryLocationName": "proto_loc", "repositoryName": "__repository__"}


# Ids and times of loads differ. The last digit of a sum of doubles depends on the order of the
# threads.
KEPT_OUT = ("load_id", "loaded_at", "distance_miles")


def launch(stack: Stack, job: str, *keys: str, **more) -> str:
    selector = REPOSITORY | {"pipelineName": job}
    if keys:
        selector["assetSelection"] = [{"path": key.split("/")} for key in keys]
    answer = stack.ask(LAUNCH, params={"selector": selector, "mode": "default", **more})[
        "launchRun"
    ]
    assert "run" in answer, answer
    return answer["run"]["runId"]


def month(stack: Stack, colour: str, key: str) -> str:
    """Materialize one month, as the UI does; return the id of the run."""
    tags = [{"key": "dagster/partition", "value": key}]
    run = launch(stack, "__ASSET_JOB", f"taxi/{colour}_trips", executionMetadata={"tags": tags})
    assert stack.wait_for_run(run) == "SUCCESS"
    return run


def content(stack: Stack) -> list[tuple]:
    """Return the rows that readers get, without ids and times of the loads."""
    with duckdb.connect(stack.data / "warehouse/prod/current/prod.duckdb", read_only=True) as con:
        return [
            con.execute(
                f"select count(*), bit_xor(hash(*columns(c -> c not in {KEPT_OUT}))) from"
                f" marts.{table}"
            ).fetchone()
            for table in ("fct_taxi_trips", "rejected_trips", "agg_daily_zone")
        ]


@pytest.mark.slow
def test_first_load_fills_an_empty_platform_through_dagster_and_a_second_one_does_nothing(stack):
    assert stack.current("prod") is None
    done = stack.loc("first-load")
    assert done.returncode == 0, done.stderr
    assert f"Dagster runs it: {stack.url}/runs/" in done.stderr
    tests = number_of_tests(stack.data / "warehouse/prod/current")
    assert "300,000" in done.stdout and f"{tests} pass" in done.stdout
    (run,) = stack.runs()
    assert (run["jobName"], run["status"]) == ("refresh", "SUCCESS")
    assert {"key": "who", "value": "loc first-load"} in run["tags"]
    again = stack.loc("first-load")
    assert "nothing to do" in again.stdout and len(stack.runs()) == 1


def test_materializations_come_with_the_published_version(filled):
    version, *_ = filled.history()
    found = filled.materializations("marts", "fct_taxi_trips")[0]
    assert found["prod version"] == version["id"] == filled.current("prod")
    assert found["raw version"] == version["facts"]["raw_version"]
    assert found["dagster/row_count"] == version["tables"]["marts.fct_taxi_trips"]
    columns = {
        column["name"]: column["type"] for column in found["dagster/column_schema"]["columns"]
    }
    assert columns["total_amount"] == "DECIMAL(10,2)"
    months = {m["partition"]: m for m in filled.materializations("taxi", "green_trips")}
    assert set(months) >= {"2025-01", "2025-02", "2025-03"}
    assert months["2025-01"]["origin"] == "synthetic" and months["2025-01"]["raw version"] == 1
    assert months["2025-01"]["dagster/row_count"] > 0 and months["2025-01"]["load id"] > 0


def test_one_id_joins_the_run_dbt_and_what_they_publish(filled):
    """It is in both manifests, in dbt's artifacts, and in the structured records of the run."""
    version, *_ = filled.history()
    run = next(run for run in filled.runs() if run["runId"] == version["facts"]["run_id"])
    (invocation,) = version["facts"]["dbt_invocations"]
    assert {"key": "dbt invocation", "value": invocation} in run["tags"]
    folder = filled.data / "warehouse/prod/current"
    metadata = json.loads((folder / "dbt/run_results.json").read_text())["metadata"]
    assert metadata["invocation_id"] == invocation
    assert metadata["env"]["LOC_RUN_ID"] == run["runId"]
    lines = (filled.home / "code_server.log").read_text().splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    by_run: dict[str, dict[str, dict]] = defaultdict(dict)
    for record in records:
        if "published" in record.get("message", ""):
            by_run[record["run_id"]][record["database"]] = record
    assert by_run.keys() <= {run["runId"] for run in filled.runs()}
    assert any(published.keys() == {"raw", "prod"} for published in by_run.values())
    assert by_run[run["runId"]]["prod"]["dbt_invocations"] == [invocation]
    assert by_run[run["runId"]]["prod"]["version"] == version["id"]


def test_a_mart_shows_its_metrics(filled):
    """Counts are numbers, which Dagster plots; money is text, which stays exact."""
    told = filled.materializations("marts", "mart_taxi_trips")[0]
    version, *_ = filled.history()
    figures = version["facts"]["metrics"]["marts.mart_taxi_trips"]
    assert {name: told[f"metric {name}"] for name in figures} == figures
    assert (
        type(figures["trips"]) is int
        and type(figures["revenue"]) is str
        and figures["tip_rate"] > 0
    )


def test_every_check_has_passed(filled):
    for key in ("marts/fct_taxi_trips", "staging/int_taxi_trips_audited", "marts/agg_daily_zone"):
        checks = filled.checks(*key.split("/"))
        assert checks and set(checks.values()) == {"SUCCEEDED"}, checks


@pytest.mark.slow
def test_where_nothing_has_changed_nothing_is_published_and_nothing_is_reported(filled):
    assert filled.loc("refresh").returncode == 0
    before = filled.current("prod"), filled.materializations("marts", "fct_taxi_trips")
    done = filled.loc("refresh")
    assert f"Nothing has changed: version {before[0]} of prod stays" in done.stdout
    assert (filled.current("prod"), filled.materializations("marts", "fct_taxi_trips")) == before
    assert set(filled.checks("marts", "fct_taxi_trips").values()) == {"SUCCEEDED"}, (
        "Bug: they were skipped"
    )


@pytest.mark.slow
def test_what_was_published_without_dagster_is_told_by_the_next_run(filled):
    assert filled.loc("refresh", "--force", "--direct").returncode == 0
    direct = filled.current("prod")
    assert filled.loc("refresh").returncode == 0
    newest = filled.materializations("marts", "fct_taxi_trips")[0]
    assert newest["prod version"] == filled.current("prod") == direct


@pytest.mark.slow
def test_checks_alone_are_made_again_and_publish_nothing(filled):
    assert filled.loc("refresh").returncode == 0
    before = filled.current("prod")
    params = {
        "selector": {
            "repositoryLocationName": "proto_loc",
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [],
            "assetCheckSelection": [
                {
                    "assetKey": {"path": ["marts", "fct_taxi_trips"]},
                    "name": "unique_fct_taxi_trips_trip_id",
                }
            ],
        }
    }
    run = filled.ask(LAUNCH, params=params)["launchRun"]["run"]["runId"]
    assert filled.wait_for_run(run) == "SUCCESS"
    assert filled.current("prod") == before
    assert set(filled.checks("marts", "fct_taxi_trips").values()) == {"SUCCEEDED"}
    assert "Nothing has changed" in filled.loc("refresh").stdout


def test_without_a_daemon_the_command_does_the_work_itself(filled):
    """Bug: the run stayed in the queue forever."""
    filled.stop("daemon", signal.SIGKILL)
    try:
        done = filled.loc("refresh", "--force")
        assert done.returncode == 0 and "Dagster runs it" not in done.stderr, done.stderr
    finally:
        filled.start("daemon")


@pytest.mark.slow
def test_a_run_of_dagster_and_a_direct_run_have_the_same_result(filled):
    through = filled.loc("load", "sample", "--rows", "30000", "--seed", "7")
    assert through.returncode == 0 and "Dagster runs it" in through.stderr
    once, tables = content(filled), filled.history()[0]["tables"]
    direct = filled.loc("load", "sample", "--rows", "30000", "--seed", "7", "--direct")
    assert direct.returncode == 0 and "Dagster runs it" not in direct.stderr
    assert content(filled) == once and filled.history()[0]["tables"] == tables
    heading = through.stdout.partition("Published")[0]
    assert heading == direct.stdout.partition("Published")[0] and "30,000" in heading
    assert [version["who"] for version in filled.history()[:2]] == ["loc load sample"] * 2
    steps = r"load \S+ s, prepare \S+ s, build and audit \S+ s, publish \S+ s\.\n$"
    assert re.search(steps, through.stdout) and re.search(steps, direct.stdout)


@pytest.mark.slow
def test_what_was_loaded_directly_is_caught_up_with(filled):
    assert filled.loc("load", "sample", "--rows", "20000", "--direct").returncode == 0
    assert filled.loc("refresh").returncode == 0
    newest = filled.materializations("taxi", "yellow_trips")[0]
    assert newest["raw version"] == filled.current("raw") and newest["dagster/row_count"] < 20_000


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["load", "nosuch.parquet"], 1, "nosuch.parquet"),
        pytest.param(
            ["load", "sample", "--rows", "0"],
            2,
            "A sample of 0 rows cannot be made.",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_refusal_reads_as_it_does_without_dagster(filled, arguments, code, said):
    through, direct = filled.loc(*arguments), filled.loc(*arguments, "--direct")
    assert (through.returncode, direct.returncode) == (code, code)
    assert said in through.stderr
    for line in direct.stderr.strip().splitlines():
        assert line in through.stderr
    assert f"The run: {filled.url}/runs/" in through.stderr and "Traceback" not in through.stderr


def test_a_failing_test_shows_as_a_failed_check_and_nothing_is_published_or_materialized(filled):
    test = filled.clone / "dbt/tests/assert_nothing_is_left.sql"
    before = filled.current("prod"), filled.materializations("marts", "mart_data_quality")
    test.write_text("select 'a\x1b[31m' as word, * from {{ ref('mart_data_quality') }}\n")
    try:
        done = filled.loc("refresh")
        assert done.returncode == 1
        assert (
            re.search(r"1 of \d+ dbt nodes failed", done.stderr)
            and "assert_nothing_is_left" in done.stderr
        )
        assert "Nothing was published" in done.stderr and "/runs/" in done.stderr
        query = """query($key: AssetKeyInput!, $name: String!) {
          assetCheckExecutions(assetKey: $key, checkName: $name, limit: 1) { status evaluation {
            metadataEntries { label ... on MarkdownMetadataEntry { mdStr } } } } }"""
        found = filled.ask(query, key={"path": ["marts", "mart_data_quality"]}, name=test.stem)
        (execution,) = found["assetCheckExecutions"]
        assert execution["status"] == "FAILED"
        (rows,) = [
            e["mdStr"]
            for e in execution["evaluation"]["metadataEntries"]
            if e["label"] == "first rows"
        ]
        assert rows.count("word: a\\x1b[31m, load_id: ") == 10, "Fault: it showed none"
        assert (
            filled.current("prod"),
            filled.materializations("marts", "mart_data_quality"),
        ) == before
        assert filled.runs()[0]["status"] == "FAILURE"
    finally:
        test.unlink()
    assert filled.loc("refresh").returncode == 0
    assert test.stem not in filled.checks("marts", "mart_data_quality")


@pytest.mark.slow
def test_a_broken_model_names_file_and_line_and_the_others_stay_up(filled):
    model = filled.clone / "dbt/models/marts/dim_dates.sql"
    good, before = model.read_text(), filled.current("prod")
    model.write_text(good + "\n{% if %}\n")
    try:
        done = filled.loc("refresh")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert (
            "dim_dates.sql" in done.stderr
            and f"line {len(model.read_text().splitlines())}" in done.stderr
        )
        shown = filled.location_error()
        assert (
            "The dbt project does not parse" in shown
            and "dim_dates.sql" in shown
            and "line" in shown
        )
        assert filled.answers() and all(p.poll() is None for p in filled.processes.values())
        assert filled.current("prod") == before
    finally:
        model.write_text(good)
    done = filled.loc("refresh")
    assert done.returncode == 0 and "Dagster runs it" in done.stderr
    assert filled.location_error() is None


@pytest.mark.parametrize(
    ("name", "place", "line"),
    [
        ("load.py", "    outcomes = [", '    {}["price"]'),
        pytest.param("landing.py", "NAME_IT =", '{}["price"]', marks=pytest.mark.slow),
    ],
)
def test_a_fault_in_a_source_names_its_file_and_line(filled, name, place, line):
    """Fault: if a loader raised an error or an import failed, the message was "its process was
    ended".
    """
    file = filled.clone / "pipelines/taxi" / name
    good = file.read_text()
    start = good.index(place, good.index("def load_landing(") if name == "load.py" else 0)
    file.write_text(f"{good[:start]}{line}\n{good[start:]}")
    number = good[:start].count("\n") + 1
    try:
        done = filled.loc("refresh")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert f"error: {file}, line {number}: KeyError: 'price'\n" in done.stderr, done.stderr
        assert "/runs/" in done.stderr
    finally:
        file.write_text(good)


@pytest.mark.slow
def test_a_month_is_loaded_alone_and_real_records_are_kept(filled, tlc):
    run = month(filled, "green", "2024-06")
    newest = filled.materializations("taxi", "green_trips")[0]
    assert (newest["runId"], newest["partition"], newest["origin"]) == (run, "2024-06", "synthetic")
    assert newest["raw version"] == filled.current("raw")

    name = "green_tripdata_2025-11.parquet"
    shutil.copy(tlc / name, filled.data / "landing")
    try:
        month(filled, "green", "2025-11")
        newest = filled.materializations("taxi", "green_trips")[0]
        assert (newest["partition"], newest["origin"], newest["input"]) == ("2025-11", "file", name)
        part = filled.data / "green_2025-11-part.parquet"
        duckdb.read_parquet(str(tlc / name)).limit(100).write_parquet(str(part))
        done = filled.loc("load", str(part))
        assert (
            done.returncode == 2
            and f"would take the place of {name}, without 46,812 of" in done.stderr
        )
    finally:
        (filled.data / "landing" / name).unlink()
    month(filled, "green", "2025-11")
    again = filled.materializations("taxi", "green_trips")[0]
    assert (again["load id"], again["not loaded again"]) == (
        newest["load id"],
        "real records are kept",
    )


@pytest.mark.slow
def test_a_rollback_followed_by_refresh_ends_where_a_fresh_build_would(filled):
    """Dagster still has the materializations that the rollback has undone; the refresh ignores
    them.
    """
    assert filled.loc("load", "sample", "--rows", "20000", "--seed", "1").returncode == 0
    raw, expected = filled.current("raw"), content(filled)
    assert filled.loc("load", "sample", "--rows", "20000", "--seed", "2").returncode == 0
    assert content(filled) != expected
    assert filled.loc("db", "rollback", str(raw), "--database", "raw").returncode == 0
    done = filled.loc("refresh")
    assert "Published" in done.stdout and content(filled) == expected

    newest = filled.current("prod")
    assert filled.loc("db", "rollback").returncode == 0
    assert filled.current("prod") != newest and content(filled) != expected
    assert "Published" in filled.loc("refresh").stdout
    assert content(filled) == expected
    assert filled.materializations("marts", "fct_taxi_trips")[0]["prod version"] == filled.current(
        "prod"
    )


def test_the_sensor_sees_new_files_once_they_are_still(filled, tlc):
    selector = REPOSITORY | {"sensorName": "landing"}

    def tick(cursor: str | None) -> dict:
        answer = filled.ask(SENSOR, selector=selector, cursor=cursor)["sensorDryRun"][
            "evaluationResult"
        ]
        assert answer["error"] is None
        return answer

    assert tick(None)["skipReason"] == "The folder is as it was."
    file = filled.data / "landing" / "yellow_tripdata_2025-02_sample.parquet"
    shutil.copyfile(tlc / file.name, file)
    try:
        assert tick(None)["skipReason"] == "A file is still being written."
        old = time.time() - 60
        os.utime(file, (old, old))
        first = tick(None)
        assert len(first["runRequests"]) == 1
        assert tick(first["cursor"])["skipReason"] == "The folder is as it was."
        assert filled.loc("refresh").returncode == 0
        assert tick(None)["skipReason"] == "Every file has been loaded before."
    finally:
        file.unlink()


def run_process(stack: Stack) -> psutil.Process:
    """Return the process of the active run."""

    def find() -> psutil.Process | None:
        for process in psutil.Process(stack.processes["code_server"].pid).children(recursive=True):
            with suppress(psutil.Error):
                if "dbt.cli" in " ".join(process.cmdline()):
                    return process.parent()
        return None

    return until("dbt is at work", find)


@pytest.mark.slow
def test_a_killed_run_frees_its_slot_and_the_next_one_works(filled):
    before = filled.current("prod")
    run = launch(filled, "refresh", runConfigData={"ops": {"dbt": {"config": {"force": True}}}})
    process = run_process(filled)
    process.kill()
    assert filled.wait_for_run(run) == "FAILURE"
    assert filled.current("prod") == before
    done = filled.loc("refresh", "--force")
    assert done.returncode == 0 and "Dagster runs it" in done.stderr, done.stderr
    assert filled.current("prod") > before


def test_an_interrupt_of_the_command_ends_the_run_and_publishes_nothing(filled):
    before = filled.current("prod")
    command = [sys.executable, "-P", "-m", "proto_loc.cli", "refresh", "--force"]
    with subprocess.Popen(
        command, env=filled.environment, cwd=filled.home, stderr=subprocess.PIPE, text=True
    ) as process:
        run_process(filled)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    run = filled.runs()[0]["runId"]
    assert filled.wait_for_run(run) == "CANCELED"
    assert filled.current("prod") == before
    assert filled.loc("refresh").returncode == 0


@pytest.mark.slow
def test_a_refresh_waits_for_a_dagster_that_is_started_again(filled):
    """Bug: one lost answer ended the command, though Dagster was back in seconds and the run
    continued.
    """
    before = len(filled.runs())
    command = [sys.executable, "-P", "-m", "proto_loc.cli", "refresh", "--force"]
    with subprocess.Popen(
        command,
        env=filled.environment,
        cwd=filled.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        run_process(filled)
        filled.stop("web", signal.SIGKILL)
        time.sleep(3)
        filled.start("web")
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert (
        "Dagster does not answer: it is asked again" in err
        and f"version {filled.current('prod')} of prod" in out
    )
    assert len(filled.runs()) == before + 1


@pytest.mark.slow
def test_a_client_is_told_the_progress_of_both_steps(filled, monkeypatch):
    for name, value in filled.environment.items():
        monkeypatch.setenv(name, value)
    reports = []
    token = {"authorization": f"Bearer {filled.token}"}
    with httpx.Client(base_url=filled.url, headers=token, trust_env=False, timeout=60) as http:
        client.Dagster(http).refresh(
            Request(rows=250, force=True), who="test", report=lambda *state: reports.append(state)
        )
    assert ("load", "sample", 6, 6) in reports
    built = [(done, total) for step, _, done, total in reports if step == "build"]
    assert built == sorted(built) and built[-1][0] > 1


def test_a_launch_whose_answer_is_lost_launches_nothing_twice(filled, monkeypatch):
    for name, value in filled.environment.items():
        monkeypatch.setenv(name, value)
    lost = []

    class Dropping(httpx.HTTPTransport):
        """A connection on which Dagster gets every request, but the answer to the first launch is
        lost.
        """

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if b"launchRun" in request.content and not lost:
                lost.append(answer.read())
                raise httpx.ReadError("dropped")
            return answer

    token = {"authorization": f"Bearer {filled.token}"}
    http = httpx.Client(
        transport=Dropping(), base_url=filled.url, headers=token, trust_env=False, timeout=60
    )
    run = client.Dagster(http)._launch(Request(), "a lost answer")
    assert lost and filled.wait_for_run(run) == "SUCCESS"
    assert [
        found["runId"]
        for found in filled.runs()
        if {"key": "who", "value": "a lost answer"} in found["tags"]
    ] == [run]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "code"), [("proto_loc/dagster/definitions.py", 0), ("pipelines/taxi/__init__.py", 1)]
)
def test_a_broken_code_location_is_told_with_its_file_and_line(filled, name, code):
    """Bug: `loc status` said "ready", and `loc refresh` worked without Dagster and did not say so.

    If only Dagster's code is broken, the refresh runs without Dagster. If a source is broken, the
    refresh fails.
    """
    file, trouble = filled.clone / name, filled.home / "run/dagster-code.trouble"
    good = file.read_text()
    line = len(good.splitlines()) + 1
    file.write_text(f"{good}{'nosuch'}\n")
    said = f"{name}, line {line}: NameError: name 'nosuch' is not defined"
    try:
        filled.stop("code_server")
        filled.start("code_server")
        assert said in trouble.read_text()
        until("Dagster knows it", filled.location_error)
        done = filled.loc("refresh")
        assert done.returncode == code and "Dagster runs it" not in done.stderr
        assert "".join(said.split()) in "".join(done.stderr.split()), done.stderr
    finally:
        file.write_text(good)
    filled.stop("code_server")
    filled.start("code_server")
    until("the code location is loaded", lambda: filled.location_error() is None)
    done = filled.loc("refresh")
    assert done.returncode == 0 and "Dagster runs it" in done.stderr, done.stderr
    assert not trouble.exists()


@pytest.mark.slow
@pytest.mark.parametrize("service", ["code_server", "web", "daemon"])
def test_a_killed_process_heals_and_its_runs_end(filled, service):
    """A supervisor restarts the process. The active run continues, or Dagster finds that it has
    ended.
    """
    run = launch(filled, "refresh", runConfigData={"ops": {"dbt": {"config": {"force": True}}}})
    run_process(filled)
    filled.stop(service, signal.SIGKILL)
    filled.start(service)
    until("the code location is loaded", lambda: filled.location_error() is None)
    assert filled.wait_for_run(run) == "SUCCESS"
    done = filled.loc("refresh", "--force")
    assert done.returncode == 0 and "Dagster runs it" in done.stderr, done.stderr
