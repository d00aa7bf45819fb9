"""The benchmarks run, at a size that says nothing about speed."""

from benchmarks import pipeline
from proto_loc.settings import settings


def test_the_pipeline_is_measured_against_the_same_sql_run_bare(data, tmp_path):
    """`measure` itself fails if dbt and the bare SQL do not make the same tables."""
    done = pipeline.measure(2_000, tmp_path / "bench", repeat=2, report=lambda what: None)
    assert (len(done.built), len(done.floor), done.checks) == (2, 2, {"pass": 24})
    assert done.ratio > 1
    assert min(done.lake_bytes, done.prod_bytes, done.load.peak, done.publish.peak) > 0
    assert not settings().data.exists(), "a person's own data is not touched"
