"""The main job: loaded data is built, audited and published, or nothing is published."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest
from builds import load_files, load_sample, quiet, refresh
from descriptions import number_of_tests

from pipelines.taxi import load as taxi
from proto_loc import warehouse
from proto_loc.dbt import failures, fingerprints, parse, publish
from proto_loc.errors import LocError, UsageError
from proto_loc.settings import ROOT, settings
from proto_loc.warehouse import lake, store

GREEN, YELLOW, OLD = (
    "green_tripdata_2025-11.parquet",
    "yellow_tripdata_2025-02_sample.parquet",
    "yellow_tripdata_sample_2019-01.csv",
)

REAL = pytest.mark.xdist_group("real-files")
"""The tests of one platform with the real files run in one process."""


def query(sql: str) -> list[tuple]:
    with warehouse.read("prod") as con:
        return con.execute(sql).fetchall()


def content(table: str) -> str:
    """Return a hash of a mart's rows, without the load ids and load times."""
    with warehouse.read("prod") as con:
        relation = con.table(f"marts.{table}")
        columns = ", ".join(
            (
                f"round({name}, 6)" if kind == "DOUBLE" else name
            )  # a sum of doubles depends on the order of the rows
            for name, kind in zip(relation.columns, map(str, relation.types), strict=True)
            if name not in ("load_id", "loaded_at")
        )
        return con.execute(
            f"select md5(string_agg(hash({columns})::varchar, ',' order by hash({columns}))) from"
            f" marts.{table}"
        ).fetchone()[0]


def state() -> dict[str, str]:
    return {
        table: content(table)
        for table in ("fct_taxi_trips", "rejected_trips", "agg_daily_zone", "mart_data_quality")
    }


def totals(version: warehouse.Version) -> dict[int, int]:
    return {int(load_id): sum(rows.values()) for load_id, rows in version.facts["outcomes"].items()}


@pytest.mark.slow
def test_an_empty_platform_is_filled_with_the_sample_and_a_second_refresh_changes_nothing(data):
    done = refresh()
    assert [(o.load.origin, o.skipped) for o in done.outcomes] == [("synthetic", "")] * 6
    assert sum(load.rows for load in done.loads) == 300_000
    assert totals(done.prod) == {load.load_id: load.rows for load in done.loads}
    assert (
        done.prod.tables["marts.fct_taxi_trips"] + done.prod.tables["marts.rejected_trips"]
        == 300_000
    )
    assert done.prod.checks.keys() <= {"pass", "warn"} and done.prod.checks["pass"] >= 20
    assert list(done.seconds) == ["load", "prepare", "build and audit", "publish"]
    assert min(done.seconds.values()) > 0
    assert query("select distinct origin from marts.mart_taxi_trips") == [("synthetic",)]
    again = refresh()
    assert (again.built, again.outcomes, again.prod.id, store.versions("prod")) == (
        False,
        [],
        done.prod.id,
        [1],
    )
    assert refresh(force=True).prod.id == 2


def test_the_published_file_stands_alone_under_any_name(platform, tmp_path):
    shutil.copy(warehouse.current("prod").path, tmp_path / "a copy.duckdb")
    with duckdb.connect() as con:
        con.execute(f"attach '{tmp_path}/a copy.duckdb' as other (read_only)")
        assert con.sql("select count(*) > 15000 from other.marts.mart_taxi_trips").fetchall() == [
            (True,)
        ]
        assert con.sql("select count(*) from other.staging.stg_taxi_zones").fetchall() == [(265,)]
    with duckdb.connect(str(tmp_path / "a copy.duckdb"), read_only=True) as con:
        con.execute("set enable_external_access = false")
        views = con.sql(
            "select view_name from duckdb_views() where not internal order by 1"
        ).fetchall()
        assert views == [("mart_taxi_trips",), ("stg_taxi_zones",)]
        assert con.sql(
            "select count(*) > 15000, count(distinct pickup_borough) > 4 from marts.mart_taxi_trips"
        ).fetchall() == [(True, True)]


def test_money_is_decimal_from_staging_on(platform):
    kinds = query(
        "select table_name, column_name, data_type from duckdb_columns() where schema_name ="
        " 'marts' and regexp_matches(column_name, '(amount|fee|tax|surcharge)$')"
    )
    assert len(kinds) > 20
    assert {kind for *_, kind in kinds} <= {"DECIMAL(10,2)", "DECIMAL(18,2)"}


def test_the_manifest_tells_what_prod_was_built_from(platform):
    prod, raw = warehouse.current("prod"), warehouse.current("raw")
    assert prod.facts["raw_version"] == raw.id
    assert (
        prod.facts["load_ids"] == [load.load_id for load in lake.loads()] == raw.facts["load_ids"]
    )
    assert {"model.proto_loc.fct_taxi_trips", "seed.proto_loc.vendors"} <= set(prod.facts["models"])
    assert prod.facts["models"] == fingerprints.fingerprints(parse.manifest()), (
        "all of it is of the project as it is"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [GREEN, YELLOW, OLD])
def test_each_real_file_loads_with_every_row_accounted_for(data, tlc, name):
    done = load_files(tlc / name)
    (load,) = done.loads
    if name.endswith(".parquet"):
        assert load.rows == duckdb.read_parquet(str(tlc / name)).count("*").fetchone()[0]
    else:
        assert load.rows == len((tlc / name).read_bytes().splitlines()) - 1
    assert totals(done.prod) == {load.load_id: load.rows}
    accepted = query("select count(*) from marts.fct_taxi_trips")[0][0]
    rejected = query("select count(*), min(len(reasons)) from marts.rejected_trips")[0]
    assert accepted + rejected[0] == load.rows
    assert rejected[1] == 1, "a rejected row has a reason"
    assert query(
        "select sum(rows_loaded), sum(rows_accepted), sum(rows_rejected) from"
        " marts.mart_data_quality"
    ) == [(load.rows, accepted, rejected[0])]


@pytest.fixture(scope="module")
def loaded(tlc, tmp_path_factory) -> Iterator[str]:
    """The output of one command that loads the four real files; this process uses its platform.

    Do not change it: tests share it.
    """
    files = sorted(path for path in tlc.iterdir() if path.suffix in (".parquet", ".csv"))
    assert len(files) == 4
    home = tmp_path_factory.mktemp("loaded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        done = subprocess.run(
            [sys.executable, "-m", "proto_loc.cli", "load", *files],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 0, done.stderr
        yield done.stdout


@REAL
def test_the_four_real_files_load_by_one_command_with_every_row_accounted_for(loaded):
    assert (
        "taxi_zone_lookup.parquet: 265 zones, all of them as in dbt/seeds/taxi_zones.csv." in loaded
    )
    cells = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in loaded.splitlines()
        if "│" in line
    ]
    table = {row[0]: [int(n.replace(",", "")) for n in row[5:]] for row in cells if len(row) == 8}
    assert set(table) == {GREEN, YELLOW, OLD, "total"}
    assert all(rows == accepted + rejected for rows, accepted, rejected in table.values())
    assert table["total"][0] == 46_912 + 5_000 + 10_000
    reasons = sum(int(row[1].replace(",", "")) for row in cells if len(row) == 3)
    assert reasons == table["total"][2]


@REAL
def test_the_known_quirks_of_the_real_files_are_rejected_for_what_they_are(loaded):
    reasons = dict(
        query(
            "select colour || ': ' || reason, count(*) from "
            "(select colour, unnest(reasons) as reason from marts.rejected_trips"
            f" where source_file in ('{GREEN}', '{YELLOW}')) group by all"
        )
    )
    # These figures are from a description of the real data: 142 and 272 negative fares, 92 negative
    # totals, 3 drop-offs before pick-up.
    assert reasons["green: negative fare"] == 142
    assert reasons["yellow: negative fare"] == 272
    assert reasons["yellow: negative total"] == 92
    assert reasons["green: drop-off before pick-up"] == 3
    assert query("select max(distance_miles) > 172000 from marts.rejected_trips") == [(True,)]
    assert query(
        "select colour, count(*) filter (where total_check = 'differs') * 1000 < count(*) "
        "from marts.fct_taxi_trips where month > '2025-01-01'"
        " group by colour order by colour"
    ) == [("green", True), ("yellow", True)]


@REAL
def test_source_rows_keep_their_place_in_the_file(loaded, tlc):
    lines = (tlc / OLD).read_text().splitlines()
    trip = query(
        "select trip_id, pickup_at::varchar, total_amount::double "
        "from marts.fct_taxi_trips where month < '2020-01-01' order by trip_id desc limit 1"
    )
    row = int(str(trip[0][0])[-9:])
    fields = dict(zip(lines[0].split(","), lines[row].split(","), strict=True))
    assert fields["pickup_datetime"] == trip[0][1]
    assert float(fields["total_amount"]) == trip[0][2]


def test_a_zone_lookup_that_differs_is_refused_naming_the_zone(data, tlc, tmp_path):
    file = tmp_path / "zones [new].csv"
    duckdb.sql(
        "select * replace (if(LocationID = 7, 'Nowhere', Zone) as Zone) from"
        f" '{tlc}/taxi_zone_lookup.parquet' union all select 266, 'Queens', 'New Zone', 'Boro Zone'"
    ).write_csv(str(file))
    with pytest.raises(
        LocError,
        match=(
            r"in 2 zones, first in zone 7.*Queens, Nowhere, Boro Zone.*Queens, Astoria, Boro Zone"
        ),
    ):
        load_files(tlc / YELLOW, file)
    assert lake.loads() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "where LocationID <> 9",
            "in 1 zones, first in zone 9. The file has no such zone, the seed Queens",
        ),
        ("union all from zones where LocationID = 9", "has 2 rows of zone 9"),
        (
            "union all select 'x', 'Queens', 'New', 'Boro Zone'",
            "A LocationID in it is x, which is no whole number",
        ),
        ("union all select null, 'Queens', 'New', 'Boro Zone'", "A LocationID in it is missing"),
    ],
)
def test_a_zone_lookup_with_a_missing_doubled_or_odd_zone_is_refused(
    data, tlc, tmp_path, change, words
):
    file = tmp_path / "zones.csv"
    con = duckdb.connect()
    con.sql(
        "select * replace (LocationID::varchar as LocationID) from"
        f" '{tlc}/taxi_zone_lookup.parquet'"
    ).create("zones")
    con.sql(f"from zones {change}").write_csv(str(file))
    with pytest.raises(LocError, match=words):
        load_files(file)


def test_a_real_month_replaces_the_synthetic_one_and_stays(own, tlc):
    before = query(
        "select count(*) from marts.fct_taxi_trips where month = '2025-02-01' and colour = 'yellow'"
    )
    done = load_files(tlc / YELLOW)
    (outcome,) = done.outcomes
    assert outcome.replaced.origin == "synthetic"
    assert before != query(
        "select count(*) from marts.fct_taxi_trips where month = '2025-02-01' and colour = 'yellow'"
    )
    assert query(
        "select distinct origin from marts.fct_taxi_trips where month = '2025-02-01' and colour ="
        " 'yellow'"
    ) == [("file",)]
    again = load_sample(30_000)
    assert [o.skipped for o in again.outcomes].count("real records are kept") == 1
    assert query("select count(*) from marts.fct_taxi_trips where origin = 'file'")[0][0] > 4_000
    assert load_files(tlc / YELLOW).outcomes[0].skipped == "it is loaded already"


@pytest.mark.slow
def test_replacing_months_step_by_step_ends_where_a_fresh_build_would(
    own, tlc, monkeypatch, tmp_path
):
    load_files(tlc / YELLOW, tlc / OLD)
    load_sample(25_000, seed=7)
    stepwise = state()
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "fresh"))
    load_files(tlc / YELLOW, tlc / OLD)
    load_sample(25_000, seed=7)
    refresh()
    assert state() == stepwise


def test_rollback_followed_by_refresh_ends_where_a_fresh_build_would(own):
    sample = state()
    load_sample(10_000, seed=3)
    newer = state()
    assert newer != sample
    warehouse.rollback("prod")
    assert state() == sample
    assert refresh().built, "prod is older than raw"
    assert state() == newer
    warehouse.rollback("raw")
    assert refresh().built, "raw is older than prod"
    assert state() == sample


def test_a_build_that_waited_for_the_lock_takes_what_was_loaded_meanwhile(own):
    """If two refreshes run, the second one to get the lock must not publish an older raw than the
    first.
    """
    settled = []
    settle = lake.settle

    def spy(tables):
        settled.append(True)
        return settle(tables)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor() as pool:
        patch.setattr(lake, "settle", spy)
        with warehouse.write("prod", who="first") as session:
            session.discard()
            second = pool.submit(publish.publish, who="second", report=quiet)
            time.sleep(1)
            assert not settled, "raw is looked at under the lock only"
            taxi.load_sample(5_000, seed=9, who="test", report=quiet)
        version = second.result()
    assert version.facts["load_ids"] == warehouse.current("raw").facts["load_ids"]


@pytest.mark.slow
def test_other_data_in_a_raw_that_was_made_anew_is_noticed(own):
    load_sample(1_000, seed=1)
    first = state()
    shutil.rmtree(store.folder("raw"))
    taxi.load_sample(1_000, seed=2, who="test", report=quiet)
    assert refresh().built
    second = state()
    assert second != first
    shutil.rmtree(store.folder("prod"))
    refresh()
    assert state() == second


def test_a_lost_raw_is_not_filled_with_the_sample_where_prod_holds_records(data):
    """Issue 7, item 1: the synthetic sample replaced real months in prod, and the exit
    code was 0.
    """
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute(
            "create schema marts; create table marts.publication as select 'file' as origin"
        )
    with pytest.raises(
        LocError, match="raw holds no load, and prod was built from records.*`loc load FILES`"
    ):
        refresh()
    assert (warehouse.current("prod").id, lake.loads(active=False)) == (1, [])


def test_a_data_folder_that_is_gone_under_dagster_is_named(data):
    """Issue 7, item 21: Dagster answers 500 if the folder is gone, and the message said that
    proto_loc has a defect.
    """
    from proto_loc.dagster import client, instance

    instance.prepare()
    assert client._full() is None
    data.rename(data.with_name("renamed"))
    assert client._full().what == f"{data}/dagster is gone."


def test_a_lost_lake_file_is_loaded_again_from_its_input(own, tlc):
    refresh()
    shutil.copy(tlc / YELLOW, settings().landing)
    refresh()
    before = state()
    (made,) = (load for load in lake.loads() if load.origin == "file")
    (settings().lake / made.file).unlink()
    assert [path.name for path in taxi.pending()] == [YELLOW]
    assert refresh().built
    assert state() == before
    (made,) = (load for load in lake.loads() if load.origin == "file")
    (settings().lake / made.file).unlink()
    assert [path.name for path in taxi.pending()] == [YELLOW], "a second time too"
    (settings().landing / YELLOW).unlink()
    with pytest.raises(warehouse.VersionDamaged, match=rf"has 0 bytes.*`loc load {YELLOW}`"):
        refresh()
    assert not load_files(tlc / YELLOW).outcomes[0].skipped


def test_an_unreadable_block_of_prod_is_named_and_not_told_as_a_traceback_of_dbt(own):
    """Issue 7, item 2: each refresh ended with a traceback, and a new refresh did not help.

    The version is from a time before checksums were recorded.
    """
    version = warehouse.current("prod")
    manifest = version.folder / "manifest.json"
    for path in (manifest, version.path):
        path.chmod(0o644)
    manifest.write_text(
        json.dumps(json.loads(manifest.read_text()) | {"checksums": {}, "checksum": None})
    )
    content = bytearray(version.path.read_bytes())
    for position in range(
        3 * 4096 + 2_000, len(content), 262_144
    ):  # one byte of each block, after the three headers
        content[position] ^= 1
    version.path.write_bytes(content)
    way = (
        f"Version {version.id} of prod cannot be read.*DuckDB.*`rm -r {store.folder('prod')} && loc"
        " refresh`"
    )
    with pytest.raises(warehouse.VersionDamaged, match=way):
        refresh(force=True)


def test_a_copied_platform_reads_its_own_lake(own):
    """The fixture `own` is a copy of another platform."""
    refresh()
    with warehouse.read("raw") as con:
        (sql,) = con.execute(
            "select sql from duckdb_views() where view_name = 'green_trips'"
        ).fetchone()
    assert str(settings().lake) in sql


@pytest.mark.slow
def test_what_is_told_of_a_refresh_is_of_the_version_that_it_published(own):
    """Another writer may load and publish between this refresh's publish and its report."""
    publish_really = publish.publish

    def overtaken(**options):
        version = publish_really(**options)
        taxi.load_sample(3_000, seed=4, who="another", report=quiet)
        with warehouse.write("prod", who="by hand"):
            pass
        return version

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish, "publish", overtaken)
        done = load_sample(2_000, seed=3)
    assert (done.prod.who, sum(load.rows for load in done.loads)) == ("test", 2_000)
    assert totals(done.prod) == {load.load_id: load.rows for load in done.loads}


@pytest.mark.slow
def test_the_message_of_a_failed_audit_says_how_to_take_the_load_out(own, project):
    (project / "tests" / "assert_small.sql").write_text(
        "select 1 from {{ ref('fct_taxi_trips') }} having count(*) > 19999"
    )
    before = store.current_id("raw")
    with pytest.raises(
        failures.BuildFailed, match=f"`loc db rollback {before} --database raw` takes it out"
    ):
        load_sample(40_000)
    warehouse.rollback("raw", before)
    version = refresh().prod
    assert version.checks == {"pass": number_of_tests(version.folder)}


def test_landing_files_are_loaded_once_and_a_later_load_stays(own, tlc):
    assert taxi.pending() == []
    shutil.copy(tlc / YELLOW, settings().landing / "it's [mine] 2025-02.parquet")
    assert [path.name for path in taxi.pending()] == ["it's [mine] 2025-02.parquet"]
    done = refresh()
    assert [(o.load.input, o.load.rows) for o in done.outcomes] == [
        ("it's [mine] 2025-02.parquet", 5000)
    ]
    assert (taxi.pending(), refresh().built) == ([], False)


def test_a_refused_file_among_good_ones_stops_all_of_them(own, tlc, tmp_path):
    bad = tmp_path / "yellow_tripdata_2025-03.csv"
    bad.write_text("a,b\n1,2\n")
    before = (store.versions("raw"), store.versions("prod"), sorted(settings().lake.rglob("*")))
    with pytest.raises(LocError, match="yellow_tripdata_2025-03.csv"):
        load_files(tlc / YELLOW, bad)
    assert before == (
        store.versions("raw"),
        store.versions("prod"),
        sorted(settings().lake.rglob("*")),
    )


def test_two_files_of_one_month_are_refused_naming_both(own, tlc, tmp_path):
    twin = tmp_path / "yellow_2025-02.parquet"
    duckdb.read_parquet(str(tlc / YELLOW)).limit(10).write_parquet(str(twin))
    with pytest.raises(
        UsageError, match=f"{YELLOW} and .*yellow_2025-02.parquet are both yellow trips of 2025-02"
    ):
        load_files(tlc / YELLOW, twin)


@pytest.mark.parametrize(
    "column",
    [
        "total_amount",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("extra", "tolls_amount", "congestion_surcharge")
        ),
    ],
)
def test_an_amount_too_large_for_money_rejects_its_row_and_not_the_month(
    own, tlc, tmp_path, column
):
    odd = tmp_path / "yellow_tripdata_2025-02.parquet"
    duckdb.sql(
        f"select * exclude (i) replace (case when i = 5 then 1e12 else {column} end as {column}) "
        f"from (select *, row_number() over () as i from '{tlc / YELLOW}' limit 100)"
    ).write_parquet(str(odd))
    load_files(odd)
    assert query(
        "select source_row, reasons from marts.rejected_trips where source_file ="
        " 'yellow_tripdata_2025-02.parquet' and list_contains(reasons, 'missing value')"
    ) == [(5, ["missing value"])]


def test_a_failed_test_publishes_nothing_and_is_named(own, project):
    sql = (
        "select distinct trip_id, 'a\x1b[31m' || chr(10) || 'b' as word from {{"
        " ref('fct_taxi_trips') }} limit 12"
    )
    (project / "tests" / "assert_never.sql").write_text(sql)
    before = (store.versions("prod"), state())
    with pytest.raises(
        failures.BuildFailed, match=r"assert_never \(dbt/tests/assert_never.sql\): Got 12 result"
    ) as failed:
        refresh()
    assert "Nothing was published" in str(failed.value)
    assert "the first 10 of 12 rows:\n" in str(failed.value), "Fault: none was shown"
    assert str(failed.value).count(r", word: a\x1b[31m\nb" + "\n") == 10
    assert (store.versions("prod"), state()) == before


def test_a_broken_model_names_its_file_and_line_and_publishes_nothing(own, project):
    model = project / "models" / "marts" / "agg_daily_zone.sql"
    code = "import json\n\ndef model(dbt, session):\n    return json.loads('{')\n"
    (model.parent / "in_python.py").write_text(code)
    model.write_text(
        model.read_text()
        .replace("sum(trip", "sum(trips, trip")
        .replace("count(*) as trips", "cuont(*) as trips")
    )
    with pytest.raises(
        failures.BuildFailed,
        match=r"agg_daily_zone \(dbt/models/marts/agg_daily_zone.sql\)[\s\S]*cuont[\s\S]*LINE \d+",
    ) as failed:
        refresh()
    said = (
        "in_python (dbt/models/marts/in_python.py): line 4: json.decoder.JSONDecodeError: Expecting"
        " property name"
    )
    assert said in str(failed.value) and "Traceback" not in str(failed.value), (
        "Fault: a traceback of dbt's adapter"
    )
    (model.parent / "in_python.py").unlink()
    model.write_text("select {{ ref('no_such_model') }}")
    with pytest.raises(
        failures.BuildFailed, match=r"does not parse[\s\S]*agg_daily_zone.sql[\s\S]*no_such_model"
    ):
        refresh()
    assert store.versions("prod") == [1]


@pytest.mark.slow
def test_a_change_of_model_sql_rebuilds_the_tables_below_it_in_full(own, project):
    path, old = project / "models/staging/stg_taxi_trips.sql", "(passenger_count as integer)"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, "(passenger_count + 100 as integer)"))
    assert refresh().built
    assert query("select min(passenger_count) >= 100 from marts.fct_taxi_trips") == [(True,)]


def test_a_file_saved_during_a_build_publishes_nothing(own, project, monkeypatch):
    execute = publish.execute

    def saving(*arguments, **options):
        model = project / "models/marts/dim_dates.sql"
        model.write_text(model.read_text() + "\n-- saved meanwhile\n")
        return execute(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(publish, "execute", saving)
        with pytest.raises(failures.BuildFailed, match="was changed during the build"):
            refresh(force=True)
    assert store.versions("prod") == [1]
    assert not publish.is_current()


@pytest.mark.parametrize("seeds", [(3,), pytest.param((3, 4, 5), marks=pytest.mark.slow)])
def test_an_unchanged_model_is_not_rebuilt_in_any_of_many_builds(own, project, seeds):
    (project / "models" / "marts" / "dim_dates.sql").write_text(
        "select date '2025-01-01' as date_day"
    )
    versions = [refresh().prod, *(load_sample(3_000, seed=seed).prod for seed in seeds)]
    assert [version.facts["rebuilt"] for version in versions] == [[]] * (1 + len(seeds))


@pytest.mark.slow
def test_the_current_working_folder_does_not_matter(own, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert refresh(force=True).prod.id == 2
    assert not Path("prod.duckdb").exists()


def test_a_file_where_the_landing_folder_should_be_is_named(data):
    data.mkdir()
    settings().landing.write_text("")
    with pytest.raises(
        LocError,
        match=f"Looking into the landing folder failed: Not a directory.*{settings().landing}",
    ):
        refresh()
