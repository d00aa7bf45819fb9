"""Dagster's code location loads any project that dbt accepts, and builds it after a load."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from proto_loc.settings import ROOT

pytestmark = pytest.mark.xdist_group("dagster-any-project")

FILES = {
    "dbt_project.yml": """
name: anything
profile: proto_loc
on-run-start: "{{ require_session() }}"
seeds: {+schema: staging}
snapshots: {+schema: marts}
""",
    # No model reads raw.loads, and the source has its own name.
    "models/top.sql": "{{ config(schema='staging') }} select count(*) as rows_read "
    "from {{ source('meters', 'yellow_trips') }}",
    "models/marts/my-model.sql": "{{ config(schema='marts', materialized='table') }} select 1 as i",
    "models/marts/my_model.sql": "{{ config(schema='marts', materialized='table') }} select 2 as i",
    "models/marts/dotted.name.sql": "{{ config(schema='marts') }} "
    "select * from {{ ref('my_model') }}",
    "models/marts/versioned_v1.sql": "select 1 as i",
    "models/marts/versioned_v2.sql": "select 2 as i",
    "models/marts/switched_off.sql": "{{ config(enabled=false) }} select 1 as i",
    "models/marts/inlined.sql": "{{ config(materialized='ephemeral') }} "
    "select * from {{ source('own', 'my_model') }}",
    "models/marts/reads_inlined.sql": "select * from {{ ref('inlined') }} "
    "union all select * from {{ ref('of_pack') }}",
    "models/marts/pass_through.sql": "{{ config(schema='taxi', alias='yellow_trips') }} "
    "select 1 as i",
    "models/marts/spaced.sql": "{{ config(alias='A name', tags=['a b', 'ü/ü']) }} select 1 as i",
    "models/marts/python.py": "def model(dbt, session):\n    dbt.config(materialized='table')\n"
    "    return dbt.ref('letters')\n",
    "models/marts/days.sql": "{{ config(schema='marts', materialized='table') }} "
    "select * from {{ source('external', 'days') }}",
    "models/marts/spine.sql": "{{ config(materialized='table') }} select date '2025-01-01' as day_",
    "models/any.yml": """
version: 2
groups:
  - name: people
    owner: {name: Some people, email: nobody in particular}
sources:
  - name: meters
    database: raw
    schema: taxi
    tables: [{name: yellow_trips, columns: [{name: VendorID, data_tests: [not_null]}]}]
  - name: own
    schema: marts
    tables: [{name: my_model}]
  - name: external
    schema: main
    tables:
      - name: days
        config: {meta: {external_location: "read_csv('@HERE@/days.csv')"}}
        columns: [{name: usd, data_tests: [not_null]}]
      - {name: unread, config: {meta: {external_location: "read_csv('@HERE@/days.csv')"}},
         columns: [{name: usd, data_tests: [not_null]}]}
models:
  - name: top
    group: people
    data_tests:
      - accepted_values:
          {arguments: {values: [0]}, column_name: rows_read, config: {severity: warn}}
  - name: my-model
    columns: [{name: i, data_tests: [unique]}]
  - name: inlined
    columns: [{name: i, data_tests: [unique]}]
  - name: switched_off
    columns: [{name: i, data_tests: [unique]}]
  - name: versioned
    latest_version: 2
    columns: [{name: i, data_tests: [unique]}]
    versions: [{v: 1}, {v: 2}]
  - name: spine
    time_spine: {standard_granularity_column: day_}
    columns: [{name: day_, granularity: day}]
unit_tests:
  - name: one-is-one
    model: dotted.name
    given: [{input: ref('my_model'), rows: [{i: 3}]}]
    expect: {rows: [{i: 3}]}
exposures:
  - name: page
    type: dashboard
    owner: {name: x, email: x@example.org}
    depends_on: [ref('my_model')]
semantic_models:
  - name: facts
    model: ref('facts_mart')
    defaults: {agg_time_dimension: at}
    primary_entity: fact
    dimensions: [{name: at, type: time, expr: made_on, type_params: {time_granularity: day}}]
    measures: [{name: facts, agg: count, expr: id}]
metrics:
  - name: facts
    label: Facts
    type: simple
    type_params: {measure: facts}
    config: {meta: {format: count}}
saved_queries:
  - name: saved
    query_params: {metrics: [facts], group_by: ["TimeDimension('fact__at', 'day')"]}
""",
    "models/marts/facts_mart.sql": "{{ config(materialized='table') }} "
    "select * from {{ ref('python') }}",
    "models/facts.yml": """
version: 2
models:
  - name: facts_mart
    config: {contract: {enforced: true}}
    columns: [{name: id, data_type: integer}, {name: made_on, data_type: date}]
""",
    "snapshots/kept.sql": "{% snapshot kept %}"
    "{{ config(unique_key='id', strategy='check', check_cols='all') }}"
    "select * from {{ ref('letters') }}{% endsnapshot %}",
    "seeds/letters.csv": "id,made_on\n1,2025-01-01\n",
    "analyses/an-alysis.sql": "select * from {{ ref('my_model') }}",
    "tests/no-refs.sql": "select 1 where false",
    "tests/no-negative.sql": "select * from {{ ref('my_model') }} where i < 0",
    "tests/no_negative.sql": "select * from {{ ref('my_model') }} where i < -1",
    "dbt_packages/pack/dbt_project.yml": "name: pack\nmodels: {pack: {+materialized: table}}\n",
    "dbt_packages/pack/models/of_pack.sql": "select 7 as i",
    "dbt_packages/pack/tests/pack-test.sql": "select * from {{ ref('of_pack') }} where i is null",
}

SCRIPT = """
import json, sys
from pathlib import Path
from proto_loc.dbt import program
program.PROJECT = Path(sys.argv[1])
import dagster as dg
from proto_loc.dagster.definitions import defs
from proto_loc.dagster import dbt_assets
from proto_loc import warehouse
job = defs.resolve_job_def("refresh")
config = {"ops": {"raw__loads": {"config": {"rows": 250}}, "dbt": {"config": {"force": False}}}}
instance = dg.DagsterInstance.ephemeral()
outcome = job.execute_in_process(config, instance=instance, raise_on_error=False)
with warehouse.read("prod") as con:
    rows = con.execute("select rows_read from main.top_rows").fetchone()
print(json.dumps({
    "ran": outcome.success, "rows": rows[0],
    "told": [
        str(e.event_specific_data.error_display_string)
        for e in outcome.get_step_failure_events()
    ],
    "first": [e.step_key for e in outcome.all_events if e.event_type_value == "STEP_START"],
    "deps": {
        s.key.to_user_string(): [d.asset_key.to_user_string() for d in s.deps]
        for s in defs.resolve_all_asset_specs()
    },
    "checks": {
        c.name: [c.asset_key.to_user_string(), c.blocking] for c in dbt_assets.CHECKS.values()
    },
    "made": len([
        e for e in outcome.all_events
        if e.event_type_value == "ASSET_CHECK_EVALUATION" and e.step_key == "dbt"
    ]),
    "unshown": dbt_assets.UNSHOWN,
}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The assets and checks of an unusual project, and the result of its job's first run."""
    home = tmp_path_factory.mktemp("any")
    project = home / "dbt"
    shutil.copytree(
        ROOT / "proto_loc/dbt/macros",
        project / "macros",
        ignore=shutil.ignore_patterns("loads.sql"),
    )
    shutil.copy(ROOT / "dbt/profiles.yml", project)
    (home / "days.csv").write_text("day,usd\n2025-02-01,1\n")
    for name, text in FILES.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text.replace("@HERE@", str(home)))
    (project / "models/top_rows.sql").write_text(
        "{{ config(materialized='table') }} select * from {{ ref('top') }}"
    )
    environment = {
        **os.environ,
        "LOC_DATA": str(home / "data"),
        "LOC_RUN": str(home / "run"),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, project],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]) | {"log": done.stderr.splitlines()[0]}


def test_whatever_dbt_accepts_loads_and_is_built(loaded):
    """Bug: a test on a source, a test without refs, or a name with a hyphen stopped the whole code
    location.
    """
    assert loaded["ran"], loaded["told"]
    assert loaded["made"] == len(loaded["checks"]), "each has a result"
    shown = {name: asset for name, (asset, _) in loaded["checks"].items()}
    assert shown["source_not_null_external_days_usd"] == "marts/days"
    assert shown["source_not_null_meters_yellow_trips_VendorID"] == "staging/top"
    assert shown["unique_inlined_i"] == "main/reads_inlined", "an ephemeral model is no asset"
    assert {shown[name] for name in shown if name.startswith("no_negative")} == {"marts/my_model"}
    assert len([name for name in shown if name.startswith("no_negative")]) == 2
    assert (shown["one_is_one"], shown["pack_test"]) == ("marts/dotted_name", "main/of_pack")
    keys = set(loaded["deps"])
    assert {
        "main/A_name",
        "main/versioned_v1",
        "main/python",
        "marts/kept",
        "staging/letters",
    } <= keys
    assert len([key for key in keys if key.startswith("marts/my_model")]) == 2
    assert len([key for key in keys if key.startswith("taxi/yellow_trips")]) == 2, (
        "a model has the name of a raw table"
    )


def test_what_is_no_check_is_left_out_with_a_word(loaded):
    unread = "source_not_null_external_unread_usd (dbt/models/any.yml)"
    assert loaded["unshown"] == ["no-refs (dbt/tests/no-refs.sql)", unread]
    assert loaded["log"].endswith(f"no-refs (dbt/tests/no-refs.sql), {unread}")


def test_nothing_is_built_before_the_load_where_no_model_reads_the_ledger(loaded):
    """Bug: the run said "Loaded 250" but built the data from before the load, and the next run said
    "Nothing has changed".
    """
    assert loaded["first"][0] == "raw__loads" and "dbt" in loaded["first"]
    assert loaded["rows"] > 200
    assert set(loaded["deps"]["staging/top"]) == {
        "raw/loads",
        "taxi/yellow_trips",
    }, "whatever the source's name"


def test_a_test_that_stops_a_publish_is_blocking(loaded):
    blocking = {name: blocks for name, (_, blocks) in loaded["checks"].items()}
    assert blocking.pop("accepted_values_top_rows_read__0") is False, "it warns"
    assert set(blocking.values()) == {True}
