"""``loc status --json`` is complete, follows its schema, and survives broken parts."""

import json
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from platforms import publish

from proto_loc import credentials, warehouse
from proto_loc.cli import main
from proto_loc.compose import client as client_of_services
from proto_loc.dagster import client
from proto_loc.home import output, processes, status
from proto_loc.settings import ROOT
from proto_loc.sources import Load, Table
from proto_loc.warehouse import store

LOADED = datetime(2026, 1, 1)


def read() -> dict:
    """The state, after a comparison with its schema."""
    text, well = output.status()
    state = json.loads(text)
    jsonschema.validate(state, json.loads(output.schema()))
    assert well is False, "no test of this file starts the services"
    return state


def problems(state: dict, part: str) -> list[dict]:
    return [problem for problem in state["problems"] if problem["part"] == part]


def prod(state: dict) -> dict:
    return next(row for row in state["databases"] if row["name"] == "prod")


def test_the_schema_describes_every_field():
    schema = json.loads(output.schema())
    parts = [schema, *schema["$defs"].values()]
    described = [name for part in parts for name, field in part["properties"].items()]
    assert {"services", "databases", "tables", "runs", "metrics", "marts", "machine"} <= set(
        described
    )
    assert all(part["additionalProperties"] is False for part in parts)
    assert "verdict" in schema["$defs"]["Service"]["properties"]
    assert "ready" in schema["$defs"]["Service"]["properties"]["verdict"]["description"]


def test_the_command_prints_json_and_has_no_secret(versions, capsys):
    assert main(["status", "--json"]) == 1, "nothing is up"
    text = capsys.readouterr().out
    assert json.loads(text)["schema"] == 1
    names = ("home", "dagster", "jupyter", "superset", "superset-admin", "process-compose")
    assert not [name for name in names if credentials.secret(name) in text]


def test_an_empty_platform_has_no_version_and_a_next_step(data):
    state = read()
    assert [(row["name"], row["current"], row["versions"]) for row in state["databases"]] == [
        ("raw", None, []),
        ("prod", None, []),
    ]
    assert (state["services"], state["runs"], state["metrics"]) == ([], None, [])
    assert problems(state, "services")[0]["fix"] == "./loc up -d"
    assert len(state["steps"]) == 1


def test_without_a_source_the_next_step_is_to_add_one(data, monkeypatch):
    monkeypatch.setattr("proto_loc.home.content.declared_tables", dict)
    monkeypatch.setattr("proto_loc.fork_file.first_step", lambda: "There is no source yet.")
    state = read()
    assert state["tables"] == []
    assert state["steps"] == ["./loc source add NAME --csv 'FILES'"]


def test_with_models_alone_the_next_step_is_to_build_them(data, monkeypatch):
    """For example a fork that `loc init --dbt` made, whose data are seeds."""
    monkeypatch.setattr("proto_loc.home.content.declared_tables", dict)
    monkeypatch.setattr("proto_loc.fork_file.first_step", str)
    assert read()["steps"] == ["./loc refresh"]


def test_a_fault_in_fork_toml_is_named_by_its_line(data, monkeypatch, tmp_path):
    file = tmp_path / "fork.toml"
    file.write_text('name = "Shop!"\n')
    monkeypatch.setattr("proto_loc.fork_file.FILE", file)
    state = read()
    assert "line 1" in problems(state, "fork")[0]["what"] and state["name"] == "proto_loc"


def test_the_last_publish_is_compared_with_what_it_was_made_from(versions):
    published = prod(read())
    assert published["current"] == versions[2]
    assert published["changes"] == [{"table": "marts.sales", "before": 1000, "after": 1250}]
    newest = published["versions"][0]
    assert (newest["current"], newest["who"], newest["checks"]) == (
        True,
        "loc refresh",
        {"pass": 3},
    )


def test_after_a_rollback_the_comparison_is_that_of_the_served_version(versions):
    warehouse.rollback("prod", versions[1])
    published = prod(read())
    assert published["current"] == versions[1]
    assert {"table": "marts.sales", "before": None, "after": 1000} in published["changes"]
    assert [row["id"] for row in published["versions"]] == versions[::-1]


def test_a_version_whose_base_is_gone_has_no_comparison(versions):
    store.remove(store.load("prod", versions[1]).folder)
    assert prod(read())["changes"] is None


@pytest.mark.parametrize("how", ["file", "manifest"])
def test_a_damaged_version_is_a_problem_with_its_way_out(versions, how):
    """The other parts are still there: versions, sources, disk."""
    served = store.current("prod")
    path = served.path if how == "file" else served.folder / "manifest.json"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-100])
    state = read()
    (problem,) = problems(state, "warehouse")
    assert f"Version {versions[2]} of prod" in problem["what"]
    assert f"loc db rollback {versions[1]}" in problem["fix"]
    published = prod(state)
    assert [bool(row["damage"]) for row in published["versions"]] == [True, False, False]
    assert state["machine"]["disk_free"] > 0 and state["tables"] is not None


def test_a_damage_that_several_parts_meet_is_one_problem(data):
    raw = warehouse.ensure("raw")
    raw.path.chmod(0o644)
    raw.path.write_bytes(b"")
    state = read()
    assert state["tables"] is None
    assert [row["part"] for row in state["problems"] if "raw cannot be read" in row["what"]] == [
        "warehouse"
    ]


def test_no_version_that_is_whole_is_a_problem(versions):
    for path in (store.folder("prod") / "versions").glob("*/manifest.json"):
        path.unlink()
    (store.folder("prod") / "current").unlink()
    state = read()
    assert "prod cannot be read" in problems(state, "warehouse")[0]["what"]
    assert prod(state)["current"] is None


def test_facts_of_another_shape_are_a_problem_and_no_crash(versions):
    """For example those of an older or newer release."""
    with warehouse.write("raw", who="test") as session:
        pass
    assert session.version
    manifest = store.current("prod")
    folder = manifest.folder
    (folder / "dbt").mkdir()
    (folder / "dbt/manifest.json").write_text('{"nodes": []}')
    state = read()
    assert state["metrics"] is None and state["marts"] is None
    assert {problem["part"] for problem in state["problems"]} >= {"metrics", "lineage"}
    assert all(problem["fix"] for problem in problems(state, "metrics"))


def load(number: int, table: str, rows: int, origin: str = "file") -> Load:
    return Load(number, "shop", table, "all", origin, "f", rows, 1, "f.csv", None, LOADED)


def test_the_rows_of_a_table_are_accounted_for(data, monkeypatch):
    """Rows that a runner puts aside count as rejected rows of their table."""
    orders = Table("orders", {"id": "BIGINT"}, rejects=True, fresh_within=timedelta(days=1))
    tables = {
        ("shop", "orders"): orders,
        ("shop", "orders_rejects"): Table("orders_rejects", {"reason": "VARCHAR"}),
        ("shop", "customers"): Table("customers", {"id": "BIGINT"}, min_rows=10),
    }
    loads = [
        load(1, "orders", 90),
        load(2, "orders_rejects", 10),
        load(3, "customers", 4),
        load(4, "gone", 7, "synthetic"),
    ]
    published = [1, 2, 3]
    outcomes = {"1": {"accepted": 85, "no price": 5}, "2": {"not a number": 10}}
    monkeypatch.setattr("proto_loc.home.content.declared_tables", lambda: tables)
    monkeypatch.setattr("proto_loc.home.content.lake.loads", lambda: loads)
    publish(1, load_ids=published, outcomes=outcomes)
    state = read()
    rows = {row["table"]: row for row in state["tables"]}
    assert list(rows) == ["customers", "gone", "orders"]
    assert (rows["orders"]["rows"], rows["orders"]["accepted"], rows["orders"]["rejected"]) == (
        100,
        85,
        15,
    )
    assert rows["orders"]["reasons"] == {"not a number": 10, "no price": 5}
    assert rows["customers"]["audited"] is False and rows["customers"]["rejected"] is None
    assert (rows["gone"]["declared"], rows["gone"]["synthetic"]) == (False, 7)
    assert rows["gone"]["unpublished"] == 7 and state["steps"] == ["./loc refresh"]
    faults = {problem["what"].partition(":")[0] for problem in problems(state, "sources")}
    assert faults == {"shop.customers", "shop.orders"}, "one is small, and one is stale"


def test_the_broken_code_of_a_source_is_named_by_its_file(data, monkeypatch):
    def broken():
        raise status.LocError("pipelines/shop/__init__.py, line 3: NameError", "Its code.", "Mend.")

    monkeypatch.setattr("proto_loc.home.content.declared_tables", broken)
    state = read()
    assert "line 3" in problems(state, "sources")[0]["what"] and state["tables"] == []


def test_a_dagster_that_fails_is_a_problem(data, monkeypatch):
    def fails(limit):
        raise client.Away("Dagster does not answer.", "ReadTimeout", "See ./loc status")

    monkeypatch.setattr(client, "last_runs", fails)
    state = read()
    assert state["runs"] is None and problems(state, "runs")[0]["why"] == "ReadTimeout"


def test_a_run_says_who_asked_for_it_and_what_it_published(data, monkeypatch):
    rows = [
        {
            "runId": "a",
            "jobName": "refresh",
            "status": "SUCCESS",
            "startTime": 10.0,
            "endTime": 70.0,
            "tags": {"who": "loc load", "prod version": "4"},
        },
        {
            "runId": "b",
            "jobName": "__ASSET_JOB",
            "status": "QUEUED",
            "startTime": None,
            "endTime": None,
            "tags": {"dagster/schedule_name": "nightly"},
        },
        {
            "runId": "c",
            "jobName": "refresh",
            "status": "FAILURE",
            "startTime": 1.0,
            "endTime": 2.0,
            "tags": {},
        },
    ]
    monkeypatch.setattr(client, "last_runs", lambda limit: rows[:limit])
    runs = read()["runs"]
    assert [(run["who"], run["job"], run["version"]) for run in runs] == [
        ("loc load", "refresh", 4),
        ("nightly", "materialize", None),
        ("Dagster's page", "refresh", None),
    ]
    assert runs[0]["ended_at"] == "1970-01-01T00:01:10+00:00" and runs[1]["started_at"] is None


def test_a_clone_in_a_folder_without_git_is_read(versions, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read()["git_revision"] is None


def test_the_page_and_the_command_share_no_process_with_the_warehouse():
    """The server stays small: it must import neither DuckDB nor Dagster."""
    program = "import sys, proto_loc.home.server; print([*sys.modules])"
    python = ROOT / ".venvs/platform/bin/python"
    done = subprocess.run(
        [python, "-P", "-c", program],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout
    assert "'starlette'" in loaded
    assert not [name for name in ("duckdb", "dagster", "dbt", "pandas") if f"'{name}'" in loaded]


def test_sizes_are_those_of_the_folders(versions, data: Path):
    (data / "landing").mkdir()
    (data / "landing/new.csv").write_bytes(bytes(12_345))
    assert read()["machine"]["sizes"]["landing"] == 12_345


def test_a_failed_process_that_the_file_has_no_more_is_named(data, monkeypatch):
    state = client_of_services.State("older", "Completed", "-", False, False, 0, 3, 0, 0.0)
    monkeypatch.setattr(client_of_services.Client, "processes", lambda self: [state])
    seen = []
    (row,) = processes.processes(seen.append)
    assert (row.name, row.verdict, row.description) == ("older", "failed", "")
    assert [problem.what for problem in seen] == ["older failed with exit code 3."]
