"""MetricFlow on Trino gives the figures that the publish recorded, as on DuckDB."""

import csv
import json
import math
from decimal import Decimal

import pytest
from published import loc

from proto_loc import warehouse
from proto_loc.metrics import metricflow
from proto_loc.metrics.read import read

pytestmark = pytest.mark.slow  # three servers of Java: see conftest


class Client:
    """A database client for MetricFlow, on a connection to a version on Trino."""

    def __init__(self, con) -> None:
        from metricflow.protocols.sql_client import SqlEngine
        from metricflow.sql.render.trino import TrinoSqlPlanRenderer

        self.con, self.sql_engine_type = con, SqlEngine.TRINO
        self.sql_plan_renderer = TrinoSqlPlanRenderer()


@pytest.fixture(scope="module")
def version(sample) -> warehouse.Version:
    return warehouse.find("prod", 1)


@pytest.fixture(scope="module")
def ask(version):
    """Asks MetricFlow for a metric, by nothing or by one name; the figures by value."""
    from metricflow.engine.metricflow_engine import MetricFlowEngine, MetricFlowQueryRequest
    from metricflow_semantics.model.dbt_manifest_parser import (
        parse_manifest_from_dbt_generated_manifest,
    )
    from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

    manifest = parse_manifest_from_dbt_generated_manifest(metricflow.manifest(version))
    with version.open() as con:
        engine = MetricFlowEngine(SemanticManifestLookup(manifest), Client(con))
        entities = {model.name: model.primary_entity for model in manifest.semantic_models}

        def asked(model: str, metric: str, dimension: str = "") -> dict:
            name = "metric_time__month" if dimension == "month" else dimension
            by = [name if dimension == "month" else f"{entities[model]}__{name}"] if name else []
            request = MetricFlowQueryRequest.create(metric_names=[metric], group_by_names=by)
            rows = con.execute(engine.explain(request).sql_statement.sql).fetchall()
            return {_key(row[0]) if by else "": row[-1] for row in rows if row[-1] is not None}

        yield asked


def _key(value: object) -> str | None:
    return None if value is None else str(value).removesuffix(" 00:00:00")


def test_every_metric_has_the_recorded_figures(version, ask):
    models = read(json.loads((version.folder / "dbt/manifest.json").read_text()))
    with version.open() as con:
        rows = con.execute(
            "select metric, dimension, value, figure from marts.metric_figures"
        ).fetchall()
    number = 0
    for model in models:
        for metric in model.metrics:
            for dimension in ("", "month", *(item.name for item in model.record_by)):
                recorded = {
                    row[2] or ("" if not dimension else row[2]): row[3]
                    for row in rows
                    if row[:2] == (metric.name, dimension)
                }
                found = ask(model.name, metric.name, dimension)
                assert found.keys() == recorded.keys(), (metric.name, dimension)
                for value, figure in recorded.items():
                    assert _same(found[value], figure), (metric.name, dimension, value)
                    number += 1
    assert number > 100


def _same(figure: object, recorded: str) -> bool:
    if isinstance(figure, float):
        return math.isclose(figure, float(recorded), rel_tol=1e-9)
    return Decimal(str(figure)) == Decimal(recorded)


def test_a_derived_metric_divides_whole_numbers_as_duckdb_does(version, ask):
    """Bug: Trino's quotient of two whole numbers is a whole number."""
    (minutes,) = ask("taxi_trips", "trip_minutes").values()
    (seconds,) = ask("taxi_trips", "trip_seconds").values()
    assert isinstance(minutes, float) and isinstance(seconds, int)
    assert minutes == seconds / 60


def test_the_program_of_metricflow_reads_what_is_published(sample, tmp_path):
    loc(
        *("mf", "query", "--metrics", "trip_minutes,trips", "--group-by", "metric_time__month"),
        *("--order", "metric_time__month", "--csv", str(tmp_path / "made.csv")),
    )
    with (tmp_path / "made.csv").open() as file:
        rows = list(csv.DictReader(file))
    with warehouse.find("prod", 1).open() as con:
        expected = con.execute(
            "select cast(sum(duration_seconds) as double) / 60, count(*)"
            " from marts.mart_taxi_trips group by month order by month"
        ).fetchall()
    assert [(float(row["trip_minutes"]), int(float(row["trips"]))) for row in rows] == [
        (pytest.approx(minutes), trips) for minutes, trips in expected
    ]
