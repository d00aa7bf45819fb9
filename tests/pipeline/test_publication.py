"""A publish records its version and the figure of every metric in its database file."""

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
        "table_name",
        "outcome",
    }
    assert {rows for (_, dimension), rows in recorded.items() if dimension == ""} == {1}
    (whole,) = query(
        "select count(*)::varchar, sum(total_amount)::varchar from marts.mart_taxi_trips"
    )
    figures = dict(query("select metric, figure from marts.metric_figures where dimension = ''"))
    assert (figures["trips"], figures["revenue"]) == whole


SAMPLE = {
    **{"trips": "19050", "passengers": "20339", "trip_seconds": "19456248"},
    **{"revenue": "531652.58", "fares": "366784.26", "tips": "57645.86"},
    **{"rows_loaded": "20000", "rows_accepted": "19050", "rows_rejected": "950"},
    "rows_audited": "20000",
    **{"miles": 56219.12, "trip_minutes": 324270.8, "average_fare": 19.25376692913386},
    **{"average_distance": 2.9511349081364827, "average_duration": 17.022089238845144},
    **{"tip_rate": 0.22510412112198688, "revenue_per_mile": 9.456792991423557},
    **{"rejected_share": 0.0475},
}
"""Figures of the sample of 20,000 rows; a text is compared exactly."""


def test_a_change_of_models_does_not_change_the_figures_of_the_sample(platform):
    """Models may be rewritten and renamed, but the published figures stay the same."""
    figures = dict(query("select metric, figure from marts.metric_figures where dimension = ''"))
    ratios = {name: value for name, value in SAMPLE.items() if isinstance(value, float)}
    assert {name: figures[name] for name in SAMPLE.keys() - ratios} == {
        name: value for name, value in SAMPLE.items() if name not in ratios
    }
    assert {name: float(figures[name]) for name in ratios} == pytest.approx(ratios, rel=1e-9)
    assert figures.keys() == SAMPLE.keys()
    assert warehouse.current("prod").tables == {
        **{"marts.agg_daily_zone": 6164, "marts.dim_dates": 9861, "marts.dim_taxi_zones": 265},
        **{"marts.fct_taxi_trips": 19050, "marts.rejected_trips": 950},
        **{"marts.load_outcomes": 17, "marts.mart_data_quality": 17},
        "marts.taxi_zone_history": 265,
        **{"marts.metric_figures": 256, "marts.publication": 1},
        **{"staging.payment_types": 7, "staging.rate_codes": 7, "staging.taxi_zones": 265},
        "staging.vendors": 5,
    }


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


@pytest.mark.slow
def test_a_figure_that_is_no_number_publishes_nothing(own, project):
    """Bug: a ValueError ended the step, and Dagster retried it and reported the end of
    its process.
    """
    change(
        project,
        "name: passengers, agg: sum, expr: passenger_count",
        "name: passengers, agg: max, expr: vendor || ''",
    )
    with pytest.raises(
        MetricError, match=r"The metric passengers in .*mart_taxi_trips.metrics.yml is not a number"
    ):
        refresh()
    assert store.versions("prod") == [1]


def test_a_metric_that_is_not_supported_is_refused_before_the_build(own, project, monkeypatch):
    change(project, "name: tips, agg: sum", "name: tips, agg: median")
    monkeypatch.setattr(publish, "execute", lambda *_, **__: pytest.fail("dbt was run"))
    with pytest.raises(MetricError, match="measure tips aggregates by median"):
        refresh()
    assert store.versions("prod") == [1]


@pytest.mark.slow
def test_prod_of_no_load_says_so_and_has_no_figure_of_a_trip(data):
    version = publish.publish(who="test", report=quiet)
    assert query("select origin, version_id from marts.publication") == [("none", version.id)]
    assert query("from marts.metric_figures") == []
    assert version.facts["metrics"] == {"marts.mart_taxi_trips": {}, "marts.mart_data_quality": {}}


def test_an_empty_first_version_has_no_record(data):
    warehouse.ensure("prod")
    assert query("select * from duckdb_tables() where not internal") == []


@pytest.mark.slow
def test_records_of_files_beside_the_sample_are_mixed(own, tlc):
    taxi.load_files([tlc / "green_tripdata_2025-11.parquet"], who="test", report=quiet)
    done = refresh()
    assert {load.origin for load in done.loads} == {"synthetic", "file"}
    assert query("select origin from marts.publication") == [("mixed",)]
