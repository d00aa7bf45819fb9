"""Use of the dbt project: plain dbt on dev, `loc dbt` on prod, and their guarantees."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml
from descriptions import number_of_tests, undescribed_columns

from proto_loc import sources, warehouse
from proto_loc.dbt import failures, fingerprints, parse, passthrough, program, publish
from proto_loc.errors import UsageError
from proto_loc.settings import ROOT
from proto_loc.sources import Table
from proto_loc.sources.files import FileSource
from proto_loc.warehouse import lake, store


def run(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [program.DBT, "--no-use-colors", *arguments],
        cwd=program.PROJECT,
        env=env,
        capture_output=True,
        text=True,
    )


def loc(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "proto_loc.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_plain_dbt_build_works_on_dev(own, plain_dbt):
    lake.settle(sources.declared_columns())
    done = run("build", env=plain_dbt)
    assert done.returncode == 0, done.stdout
    assert "time spine" not in done.stdout, "Fault: each run began with dbt's warning about it"
    with duckdb.connect(str(own / "warehouse" / "dev.duckdb"), read_only=True) as con:
        assert con.execute("select count(*) > 15000 from marts.fct_taxi_trips").fetchone() == (
            True,
        )
    assert store.versions("prod") == [1], "prod is untouched"


def test_loc_dbt_defers_to_prod_by_default(own):
    done = loc("dbt", "--", "build", "--select", "agg_daily_zone")
    assert done.returncode == 0, done.stdout
    with duckdb.connect(str(own / "warehouse" / "dev.duckdb"), read_only=True) as con:
        assert con.sql("select table_name from duckdb_tables()").fetchall() == [("agg_daily_zone",)]
        assert con.execute("select sum(trips) > 15000 from marts.agg_daily_zone").fetchone() == (
            True,
        )


@pytest.mark.parametrize(
    "command",
    ["build", *(pytest.param(name, marks=pytest.mark.slow) for name in ("run", "seed", "compile"))],
)
def test_prod_outside_of_a_session_is_refused_with_the_way_to_do_it(platform, plain_dbt, command):
    done = run(command, "--target", "prod", env=plain_dbt)
    assert done.returncode != 0
    assert "Run `loc dbt -- build --target prod`" in done.stdout, done.stdout
    assert not list(program.PROJECT.glob("*.duckdb*"))
    assert store.versions("prod") == [1]


def test_loc_dbt_build_on_prod_publishes_a_new_version(own):
    done = loc("dbt", "--", "build", "--target", "prod")
    assert done.returncode == 0, done.stdout + done.stderr
    version = warehouse.current("prod")
    assert (version.id, version.who) == (2, "loc dbt -- build")
    assert (version.folder / "dbt" / "manifest.json").exists()
    assert sorted(path.name for path in version.folder.iterdir()) == [
        "dbt",
        "manifest.json",
        "prod.duckdb",
    ]


def test_a_selection_on_prod_is_audited_whole(own, project):
    (project / "tests" / "assert_never.sql").write_text(
        "select 1 as i from {{ ref('fct_taxi_trips') }} limit 3"
    )
    with pytest.raises(failures.BuildFailed, match="assert_never"):
        passthrough.passthrough(["build", "--select", "dim_dates", "--target=prod"])
    assert store.versions("prod") == [1]


@pytest.mark.slow
def test_a_partial_build_does_not_pass_for_a_full_one(own, project):
    (project / "models/marts/dim_taxi_zones.sql").write_text(
        (project / "models/marts/dim_taxi_zones.sql")
        .read_text()
        .replace("    zone,", "    upper(zone) as zone,")
    )
    assert passthrough.passthrough(["build", "--select", "dim_dates", "--target", "prod"]) == 0
    assert store.versions("prod") == [1, 2]
    assert not publish.is_current()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--empty", "--full-refresh"],
        ["--sample", "1 day"],
        ["--vars", "{a: 1}"],
        ["--event-time-end", "2025-01-02", "--event-time-start", "2025-01-01"],
        ["--store-failures"],
        ["--defer", "--state", "somewhere"],
        ["--profiles-dir", "."],
    ],
    ids=lambda arguments: arguments[0],
)
def test_options_that_would_publish_other_rows_are_refused_by_name(own, arguments):
    with pytest.raises(UsageError, match=f"takes no {arguments[0]}"):
        passthrough.passthrough(["build", *arguments, "--target", "prod"])
    assert store.versions("prod") == [1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "-tprod", "-h"],
        pytest.param(["build", "--help", "--target", "prod"], marks=pytest.mark.slow),
        pytest.param(["--help", "prod"], marks=pytest.mark.slow),
    ],
)
def test_help_on_prod_shows_the_help_and_publishes_nothing(own, arguments):
    done = loc("dbt", "--", *arguments)
    assert done.returncode == 0 and "Usage: dbt" in done.stdout, done.stderr
    assert store.versions("prod") == [1]


def test_variables_of_dbt_do_not_change_what_is_published(own, monkeypatch):
    before = warehouse.current("prod")
    for name in ("DBT_EMPTY", "DBT_ENGINE_EMPTY", "DBT_FULL_REFRESH"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("DBT_EXCLUDE_RESOURCE_TYPES", "test unit_test")
    monkeypatch.setenv("DBT_INDIRECT_SELECTION", "empty")
    monkeypatch.setenv("DBT_TARGET", "prod")
    assert passthrough.passthrough(["build"]) == 0
    version = warehouse.current("prod")
    assert (version.id, version.checks, version.tables) == (2, before.checks, before.tables)
    assert publish.is_current()


@pytest.mark.parametrize(
    "arguments",
    [
        ["-sdim_dates"],
        pytest.param(["--resource-type", "model"], marks=pytest.mark.slow),
        pytest.param(["--exclude", "test_type:unit"], marks=pytest.mark.slow),
    ],
)
def test_each_test_is_counted_once_whatever_was_selected(own, arguments):
    assert passthrough.passthrough(["build", *arguments, "-t", "prod"]) == 0
    version = warehouse.current("prod")
    assert version.checks == {"pass": number_of_tests(version.folder)}
    assert not publish.is_current()


def test_a_part_is_not_built_from_other_loads_than_the_rest(own):
    from builds import quiet

    from pipelines.taxi.load import load_sample

    load_sample(3_000, seed=5, who="test", report=quiet)
    with pytest.raises(
        failures.BuildFailed,
        match="A part of the models would be built from other loads.*`loc refresh` first",
    ):
        passthrough.passthrough(["build", "--select", "dim_dates", "--target", "prod"])
    assert store.versions("prod") == [1]


@pytest.mark.slow
def test_a_part_that_reads_a_staging_view_can_be_built_and_tested(own, project):
    """A published file contains no view of raw."""
    path = project / "models/staging/stg_taxi_trips.yml"
    path.write_text(
        path.read_text().replace(
            "      - name: month\n", "      - name: month\n        data_tests: [not_null]\n", 1
        )
    )
    assert passthrough.passthrough(["build", "--target", "prod"]) == 0
    assert passthrough.passthrough(["build", "--select", "fct_taxi_trips", "--target", "prod"]) == 0
    version = warehouse.current("prod")
    assert version.checks == {"pass": number_of_tests(version.folder)}
    assert passthrough.passthrough(["test", "--select", "stg_taxi_trips", "--target", "prod"]) == 0


@pytest.mark.slow
def test_a_function_of_the_project_is_no_obstacle(own, project):
    (project / "functions").mkdir()
    (project / "functions/twice.sql").write_text("x * 2")
    (project / "functions/twice.yml").write_text(
        "functions:\n  - name: twice\n    arguments:\n      - {name: x, data_type: integer}\n"
        "    returns: {data_type: integer}\n"
    )
    model = project / "models/marts/dim_dates.sql"
    model.write_text(model.read_text() + "\n-- {{ function('twice') }}\n")
    before = fingerprints.project_hash()
    manifest = parse.manifest()
    assert manifest["functions"]
    marks = fingerprints.fingerprints(manifest)
    (project / "functions/twice.sql").write_text("x + x")
    assert fingerprints.project_hash() != before
    assert set(marks.items()).isdisjoint(fingerprints.fingerprints(parse.manifest()).items())


@pytest.mark.slow
def test_global_options_before_the_command_are_not_taken_for_it(own):
    assert (
        passthrough.passthrough(["--log-level-file", "debug", "--quiet", "build", "--target=prod"])
        == 0
    )
    assert store.versions("prod") == [1, 2]
    with pytest.raises(UsageError, match="`dbt run` does not write to prod"):
        passthrough.passthrough(["--log-level-file", "debug", "run", "--target=prod"])


def test_a_build_that_leaves_a_test_out_is_not_published(own, monkeypatch):
    execute = publish.execute

    def forgetful(*arguments, **options):
        run = execute(*arguments, **options)
        run.results = [
            r
            for r in run.results
            if "assert_daily_zones_add_up" not in r["unique_id"] and "unit" not in r["unique_id"]
        ]
        return run

    monkeypatch.setattr(publish, "execute", forgetful)
    with pytest.raises(failures.BuildFailed, match="tests did not run"):
        publish.publish(who="test")
    assert store.versions("prod") == [1]


def test_a_selection_of_nothing_is_refused(own):
    with pytest.raises(failures.BuildFailed, match="built nothing"):
        passthrough.passthrough(["build", "--select", "no_such_model", "--target", "prod"])


def test_two_data_folders_of_one_run_folder_do_not_mix_their_results(data, monkeypatch):
    first = program.target_path("prod")
    monkeypatch.setenv("LOC_DATA", str(data) + "-2")
    assert program.target_path("prod") != first


def test_commands_that_read_prod_run_on_a_copy(own):
    before = warehouse.current("prod").path.read_bytes()
    assert loc("dbt", "--", "test", "--target", "prod", "--select", "dim_dates").returncode == 0
    shown = loc(
        "dbt", "--", "show", "--target", "prod", "--select", "dim_dates", "--output", "json"
    )
    assert "date_day" in shown.stdout
    assert (store.versions("prod"), warehouse.current("prod").path.read_bytes()) == ([1], before)


def test_the_loads_of_another_source_are_no_concern_of_the_taxi_rows(own, tmp_path, monkeypatch):
    """Fault: the first load of a second source stopped every publish."""
    shop = FileSource("shop", [Table("orders", {"id": "INTEGER"}, "*.csv")])
    both = {"shop": shop, **sources.find_sources()}
    monkeypatch.setattr(sources, "find_sources", lambda: both)
    (tmp_path / "orders.csv").write_text("id\n1\n")
    shop.load_files([tmp_path / "orders.csv"], who="test", report=lambda *state: None)
    test = "assert_every_raw_row_is_accounted_for"
    done = loc("dbt", "--", "test", "--target", "prod", "--select", test)
    assert done.returncode == 0 and f"PASS {test}" in done.stdout, done.stdout


@pytest.mark.parametrize("command", sorted(passthrough.UNAUDITED))
def test_commands_that_would_write_prod_untested_are_refused(platform, command):
    with pytest.raises(
        UsageError, match=f"`dbt {command}` does not write to prod.*only tested data is published"
    ):
        passthrough.passthrough([command, "-t", "prod"])


@pytest.mark.slow
def test_the_exit_code_of_dbt_is_the_commands_own(platform):
    assert loc("dbt", "--", "build", "--select", "no_such_model", "--warn-error").returncode != 0
    assert loc("dbt", "--", "nonsense").returncode == 2


def test_everything_is_described_and_every_business_rule_has_a_unit_test(platform):
    manifest = json.loads((warehouse.current("prod").folder / "dbt" / "manifest.json").read_text())
    own = [n for n in manifest["nodes"].values() if n["resource_type"] in ("model", "seed")]
    assert len(own) >= 14
    assert [n["name"] for n in own if not n["description"].strip()] == []
    assert [
        n["name"]
        for n in own
        if n["resource_type"] == "model" and "One row per" not in n["description"]
    ] == []
    assert [c["name"] for n in own for c in n["columns"].values() if not c["description"]] == []
    rules = yaml.safe_load(
        (program.PROJECT / "models/intermediate/int_taxi_trips_audited.yml").read_text()
    )
    (model,), unit = rules["models"], rules["unit_tests"][0]
    flags = {c["name"] for c in model["columns"] if c["name"].startswith(("is_", "has_"))} - {
        "is_rejected"
    }
    hits = {flag for row in unit["expect"]["rows"] for flag, value in row.items() if value is True}
    assert flags == hits - {"is_rejected"}, "each rule is seen to reject"
    fact = manifest["nodes"]["model.proto_loc.fct_taxi_trips"]
    assert fact["config"]["contract"]["enforced"]
    assert fact["columns"]["trip_id"]["data_type"] == "bigint"
    dashboards = list((program.PROJECT.parent / "superset/bundle/dashboards").glob("*.yaml"))
    assert len(manifest["exposures"]) == len(dashboards) >= 2
    assert {
        s["freshness"]["warn_after"]["count"]
        for s in manifest["sources"].values()
        if s["source_name"] == "taxi"
    } == {40}
    assert not list(program.PROJECT.glob("packages.y*ml")) + list(
        program.PROJECT.glob("dependencies.yml")
    )


def test_every_column_of_every_mart_is_described(platform):
    assert undescribed_columns(warehouse.current("prod").folder) == []


def test_a_column_that_nobody_described_is_found(platform, tmp_path):
    version = warehouse.current("prod").folder
    shutil.copytree(version, tmp_path / "version")
    manifest = tmp_path / "version/dbt/manifest.json"
    content = json.loads(manifest.read_text())
    del content["nodes"]["model.proto_loc.dim_dates"]["columns"]["is_weekend"]
    content["nodes"]["seed.proto_loc.vendors"]["columns"]["vendor"]["description"] = " "
    manifest.write_text(json.dumps(content))
    found = undescribed_columns(tmp_path / "version")
    assert found == ["dim_dates.is_weekend", "vendors.vendor"]


def test_freshness_of_sources_is_measured(own):
    done = loc("dbt", "--", "source", "freshness")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASS freshness of taxi.") == 2


def test_the_sql_is_linted():
    done = subprocess.run(
        [
            Path(sys.executable).parent / "sqlfluff",
            "lint",
            "--disable-progress-bar",
            "models",
            "tests",
            "macros",
        ],
        cwd=program.PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
