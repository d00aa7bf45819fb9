"""A publish matches the current dbt project, even if an older project built prod's tables."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from builds import quiet, refresh
from troubles import is_well, only

from proto_loc import warehouse
from proto_loc.dbt import passthrough, program, publish
from proto_loc.dbt.failures import BuildFailed
from proto_loc.errors import UsageError
from proto_loc.settings import ROOT

GROWS = (
    "{{ config(materialized='incremental') }} select * from (%s) {%% if is_incremental() %%} where"
    " %s not in (select %s from {{ this }}) {%% endif %%}"
)
"""An incremental model that keeps its rows and adds the rows with new keys."""

FILES = {
    "dbt_project.yml": """
name: toy
profile: proto_loc
on-run-start: "{{ require_session() }}"
models:
  +materialized: table
  toy: {+schema: marts, staging: {+schema: staging, +materialized: view}}
seeds: {+schema: staging, toy: {codes: {+column_types: {code: varchar}}, colours: {+fast: false}}}
snapshots: {+schema: kept}
vars: {added: 10}
""",
    "models/days.sql": GROWS
    % (
        "select day, sum(usd) as usd from {{ source('external', 'days') }} group by day",
        *["day"] * 2,
    ),
    "models/days.yml": """
sources:
  - name: external
    schema: main
    tables: [{name: days, config: {meta: {external_location: "@a.csv"}}}]
models: [{name: days, columns: [{name: day, data_tests: [unique]}]}]
""",
    "models/rated.sql": GROWS
    % ("select i, {{ pack.rate() }} as rate from {{ ref('of_pack') }}", *["i"] * 2),
    "models/placed.sql": GROWS % ("select 1 as i, '{{ env_var('PLACE') }}' as place", *["i"] * 2),
    "models/own_sql.sql": GROWS % ("select 1 as i, {{ var('added') }} + 1 as j", *["i"] * 2),
    "models/coded.sql": GROWS % ("select code from {{ ref('stg_codes') }}", *["code"] * 2),
    "models/staging/stg_codes.sql": "select * from {{ ref('codes') }}",
    "models/deleted.sql": "select 1 as i",
    "models/renamed.sql": "select 1 as i",
    "models/moved.sql": "select 1 as i",
    "seeds/codes.csv": "code,name\n1,one\n",
    "seeds/deleted_seed.csv": "i\n1\n",
    "snapshots/history.yml": "snapshots: [{name: history, relation: ref('codes'), config:"
    " {unique_key: name, "
    "strategy: check, check_cols: [name]}}]",
    "snapshots/deleted.yml": "snapshots: [{name: deleted_history, relation: ref('codes'),"
    " config: {unique_key: name, "
    "strategy: check, check_cols: [name]}}]",
    "../pack/dbt_project.yml": "name: pack\n",
    "../pack/macros/rate.sql": "{% macro rate() %}1{% endmacro %}",
    "../pack/models/of_pack.sql": "select 7 as i",
}

CHANGES = {
    "models/days.yml": FILES["models/days.yml"].replace("@a.csv", "@b.csv"),
    "models/renamed.sql": "{{ config(alias='its_new_name') }} select 1 as i",
    "models/moved.sql": "{{ config(schema='elsewhere') }} select 1 as i",
    "dbt_project.yml": (
        FILES["dbt_project.yml"]
        .replace("code: varchar", "code: integer")
        .replace("added: 10", "added: 20")
    ),
    "models/own_sql.sql": FILES["models/own_sql.sql"].replace("+ 1", "+ 2"),
    "seeds/codes.csv": "code,name,note\n1,one,first\n",
    "seeds/colours.csv": "colour\nred\n",
    "models/staging/stg_colours.sql": "select * from {{ ref('colours') }}",
    "../pack/macros/rate.sql": "{% macro rate() %}2{% endmacro %}",
}
DELETED = ("models/deleted.sql", "seeds/deleted_seed.csv", "snapshots/deleted.yml")


def write(project: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text.replace("@", os.fspath(project) + "/"))


def query(sql: str) -> list[tuple]:
    with warehouse.read("prod") as con:
        return con.execute(sql).fetchall()


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small project, published once; its package is a link to a separate folder."""
    home = tmp_path_factory.mktemp("toy")
    project = home / "dbt"
    shutil.copytree(
        ROOT / "proto_loc/dbt/macros",
        project / "macros",
        ignore=shutil.ignore_patterns("loads.sql"),
    )
    shutil.copy(ROOT / "dbt/profiles.yml", project)
    write(
        project,
        {
            **FILES,
            "a.csv": "day,usd\n2025-02-01,1\n",
            "b.csv": "day,usd\n2025-02-01,7\n2025-02-02,8\n",
        },
    )
    (project / "dbt_packages").mkdir()
    (project / "dbt_packages/pack").symlink_to("../../pack")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        patch.setenv("PLACE", "here")
        patch.setattr(program, "PROJECT", project)
        publish.publish(who="test", report=quiet)
        yield project


@pytest.mark.trouble("manifest", "A change of a model, a metric or a description is seen nowhere")
def test_a_changed_project_is_built_as_a_fresh_one_would_be(toy, caplog):
    """Faults: a change of a source, macro, seed type or variable left the old rows.

    Deleted and renamed models, seeds and snapshots stayed. A seed with other columns, and a new
    seed that a new view reads, failed on ``--target prod``; and so did a seed with ``fast: false``.
    The history of a deleted snapshot goes only if a person says so.
    """
    assert query("select sum(usd) from marts.days") == [(1,)] and publish.is_current()
    assert is_well("manifest")
    for name, text in CHANGES.items():
        write(toy, {name: text})
    os.environ["PLACE"] = "there"
    assert not publish.is_current()
    assert only("manifest").what == "dbt's manifest is older than the dbt project."
    for name in DELETED:
        (toy / name).unlink()
    build = ["build", "--target", "prod"]
    with pytest.raises(BuildFailed, match="no snapshot for kept.deleted_history any more"):
        passthrough.passthrough(build)
    with pytest.raises(UsageError, match="such tables are: kept.deleted_history"):
        passthrough.passthrough(build, ["kept.history"])
    assert passthrough.passthrough(build, ["kept.deleted_history"]) == 0
    assert query("select sum(usd) from marts.days") == [(15,)]
    assert query("select i, rate from marts.rated") == [(7, 2)]
    assert query("select place from marts.placed") == [("there",)]
    assert query("select j from marts.own_sql") == [(22,)]
    assert query("select typeof(code), code from marts.coded") == [("INTEGER", 1)]
    assert query("from staging.codes") == [(1, "one", "first")]
    assert query("select name from kept.history") == [("one",)]
    assert query(
        "select schema_name || '.' || table_name from duckdb_tables() where not internal order by 1"
    ) == [
        (name,)
        for name in (
            *(
                "elsewhere.moved",
                "kept.history",
                "main.of_pack",
                "marts.coded",
                "marts.days",
                "marts.its_new_name",
            ),
            *(
                "marts.metric_figures",
                "marts.own_sql",
                "marts.placed",
                "marts.publication",
                "marts.rated",
            ),
            *("staging.codes", "staging.colours"),
        )
    ]
    assert query("select view_name from duckdb_views() where not internal order by 1") == [
        ("stg_codes",),
        ("stg_colours",),
    ]
    word = (
        "no longer in prod: kept.deleted_history, marts.deleted, marts.moved, marts.renamed,"
        " staging.deleted_seed"
    )
    assert word in caplog.text


@pytest.mark.slow
def test_a_part_that_was_built_on_an_old_table_is_made_anew_by_the_next_build(toy):
    """Bug: ``state:modified+`` had nothing to compare with, so the next build kept an old table."""
    write(toy, {"../pack/macros/rate.sql": "{% macro rate() %}3{% endmacro %}"})
    write(toy, {"../pack/models/of_pack.sql": "select 8 as i"})
    arguments = ["build", "-t", "prod", "--select", "state:modified+", "--exclude", "of_pack"]
    assert passthrough.passthrough(arguments) == 0
    assert query("from marts.rated") == [(7, 3)], "only what was selected is built, and in full"
    assert [node.split(".")[-1] for node in warehouse.current("prod").facts["rebuilt"]] == ["rated"]
    assert refresh().built
    assert query("from marts.rated") == [(8, 3)]


@pytest.mark.slow
def test_a_retry_goes_on_with_the_last_run_on_dev(toy):
    """Bug: dbt looked for the last run in the version from which prod was published."""
    model = toy / "models/moved.sql"
    good = model.read_text()
    model.write_text("select nothing from nowhere")
    assert passthrough.passthrough(["run", "--select", "moved"]) != 0
    model.write_text(good)
    assert passthrough.passthrough(["retry"]) == 0
    with pytest.raises(UsageError, match="`dbt retry` cannot continue a build of prod"):
        passthrough.passthrough(["retry", "--target", "prod"])
