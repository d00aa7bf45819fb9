"""Moves the sample from one engine to the other and back, and compares every figure."""

import json

import pytest
from published import loc, plain

from proto_loc import warehouse
from proto_loc.warehouse import store

pytestmark = pytest.mark.slow  # three servers of Java: see conftest


def record(version_id: int) -> dict:
    """What a version's manifest says of its figures."""
    path = store.folder("prod") / "versions" / store.dirname(version_id) / "manifest.json"
    written = json.loads(path.read_text())
    return {
        "engine": written["engine"],
        "metrics": plain(written["facts"]["metrics"]),
        "outcomes": written["facts"]["outcomes"],
        "checks": written["checks"],
    }


@pytest.fixture
def first(sample) -> int:
    """The version of the whole project on Trino, which is the current one again."""
    return warehouse.rollback("prod", 1).id


def test_the_sample_moves_to_duckdb_and_back_with_equal_figures(first):
    said = loc("db", "move", "duckdb")
    there = store.current_id("prod")
    assert f"Version {there} of prod is kept by DuckDB" in said and there > first
    assert warehouse.current("prod").path.exists()
    with warehouse.read("prod") as con:
        assert con.execute("select count(*) from marts.mart_taxi_trips").fetchone()[0] > 10_000
    assert "INFO:" not in loc("db", "move", "trino"), "lines of Trino's client"
    back = store.current_id("prod")
    before, on_files, after = map(record, (first, there, back))
    assert (before["engine"], on_files.pop("engine"), after["engine"]) == (
        "trino",
        "duckdb",
        "trino",
    )
    assert before == after and before.pop("engine") and on_files == before
    assert before["metrics"]


def test_a_move_that_is_not_needed_or_not_possible_is_refused(first):
    assert "is kept by Trino already" in loc("db", "move", "trino", ok=False)
    assert "There is no engine 'spark'" in loc("db", "move", "spark", ok=False)
    assert "A move needs LOC_ENGINE=trino" in loc(
        "db", "move", "duckdb", ok=False, LOC_ENGINE="duckdb"
    )
