"""What a publish records in its file: which version it is, and the figure of every metric."""

import pytest
from builds import quiet, refresh

from pipelines.taxi import load as taxi
from proto_loc import warehouse
from proto_loc.dbt import fingerprints, parse, publish
from proto_loc.metrics.errors import MetricError
from proto_loc.warehouse import store


def query(sql: str) -> list[tuple]:
    with warehouse.read("prod") as con:
        return con.execute(sql).fetchall()


def change(project, old: str, new: str) -> None:
    path = project / "models/marts/mart_taxi_trips.metrics.yml"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


def test_the_file_says_which_version_it_is(platform):
    version = warehouse.current("prod")
    (row,) = query(
        "select * replace (published_at::varchar as published_at) from marts.publication"
    )
    assert row[0] == version.id and row[2] == version.git_revision
    assert row[1].ljust(23, "0") == version.published_at[:23].replace("T", " "), (
        "in UTC, to the millisecond"
    )
    assert row[3:] == (version.checks["pass"], version.checks.get("warn", 0), "synthetic")


def test_every_metric_is_recorded_whole_by_month_and_by_two_dimensions(platform):
    found = query("select metric, dimension, count(*) from marts.metric_figures group by all")
    recorded = {(metric, dimension): rows for metric, dimension, rows in found}
    assert {metric for metric, _ in recorded} >= {"trips", "revenue", "tip_rate", "rejected_share"}
    assert {dimension for metric, dimension in recorded if metric == "trips"} == {
        *("", "month", "pickup_borough", "payment_type")
    }
    assert {dimension for metric, dimension in recorded if metric == "rows_loaded"} == {
        "",
        "month",
        "colour",
        "outcome",
    }
    assert {rows for (_, dimension), rows in recorded.items() if dimension == ""} == {1}
    (whole,) = query(
        "select count(*)::varchar, sum(total_amount)::varchar from marts.mart_taxi_trips"
    )
    figures = dict(query("select metric, figure from marts.metric_figures where dimension = ''"))
    assert (figures["trips"], figures["revenue"]) == whole


def test_the_manifest_has_counts_as_numbers_and_money_as_text(platform):
    facts = warehouse.current("prod").facts["metrics"]
    assert facts.keys() == {"marts.mart_taxi_trips", "marts.mart_data_quality"}
    (whole,) = query("select count(*), sum(total_amount)::varchar from marts.mart_taxi_trips")
    trips = facts["marts.mart_taxi_trips"]
    assert (trips["trips"], trips["revenue"]) == whole and type(trips["tip_rate"]) is float


def test_a_changed_metric_is_published_anew_and_no_table_is_rebuilt_for_it(own, project):
    (before,) = query(
        "select figure from marts.metric_figures where metric = 'revenue' and dimension = ''"
    )
    marks = fingerprints.fingerprints(parse.manifest())
    change(project, "expr: total_amount}", "expr: total_amount + 1}")
    assert not publish.is_current(), "the recorded figures are of another definition"
    assert fingerprints.fingerprints(parse.manifest()) == marks
    done = refresh()
    assert done.built and done.prod.facts["rebuilt"] == []
    assert done.prod.facts["metrics"]["marts.mart_taxi_trips"]["revenue"] != before[0]
    assert query(
        "select figure::decimal(18, 2) - (select count(*) from marts.mart_taxi_trips) "
        f"= {before[0]} from marts.metric_figures where metric = 'revenue' and dimension = ''"
    ) == [(True,)]
    assert publish.is_current()


def test_a_metric_that_cannot_be_computed_publishes_nothing(own, project):
    change(project, "expr: total_amount}", "expr: no_such_function(total_amount)}")
    with pytest.raises(
        MetricError, match="mart_taxi_trips.metrics.yml cannot be computed.*no_such_function"
    ) as error:
        refresh()
    assert "prod is as it was" in error.value.fix
    assert store.versions("prod") == [1]


def test_a_figure_that_is_no_number_publishes_nothing(own, project):
    """Once a ValueError, which Dagster tried again and then called the end of its process."""
    change(
        project,
        "name: passengers, agg: sum, expr: passenger_count",
        "name: passengers, agg: max, expr: vendor || ''",
    )
    with pytest.raises(
        MetricError, match=r"The metric passengers in .*mart_taxi_trips.metrics.yml is no number"
    ):
        refresh()
    assert store.versions("prod") == [1]


def test_a_metric_that_is_not_supported_is_refused_before_the_build(own, project, monkeypatch):
    change(project, "name: tips, agg: sum", "name: tips, agg: median")
    monkeypatch.setattr(publish, "execute", lambda *_, **__: pytest.fail("dbt was run"))
    with pytest.raises(MetricError, match="measure tips aggregates by median"):
        refresh()
    assert store.versions("prod") == [1]


def test_prod_of_no_load_says_so_and_has_no_figure_of_a_trip(data):
    version = publish.publish(who="test", report=quiet)
    assert query("select origin, version_id from marts.publication") == [("none", version.id)]
    assert query("from marts.metric_figures") == []
    assert version.facts["metrics"] == {"marts.mart_taxi_trips": {}, "marts.mart_data_quality": {}}


def test_an_empty_first_version_has_no_record(data):
    warehouse.ensure("prod")
    assert query("select * from duckdb_tables() where not internal") == []


def test_records_of_files_beside_the_sample_are_mixed(own, tlc):
    taxi.load_files([tlc / "green_tripdata_2025-11.parquet"], who="test", report=quiet)
    done = refresh()
    assert {load.origin for load in done.loads} == {"synthetic", "file"}
    assert query("select origin from marts.publication") == [("mixed",)]
