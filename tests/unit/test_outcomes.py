"""Tests of the outcomes of loads, and of the list of marts; both come from dbt's manifest."""

import copy

import pytest

from proto_loc.cli import _generated_files as files
from proto_loc.dbt import failures, outcomes, parse
from proto_loc.metrics import marts


@pytest.fixture(scope="module")
def parsed() -> dict:
    return parse.manifest()


@pytest.fixture
def manifest(parsed) -> dict:
    """dbt's manifest of the project, which a test may change."""
    return copy.deepcopy(parsed)


def declare(manifest: dict, model: str, declared: object) -> None:
    manifest["nodes"][f"model.proto_loc.{model}"]["config"]["meta"]["load_outcomes"] = declared


def test_the_model_that_declares_outcomes_is_read(manifest):
    found = outcomes.declaration(manifest)
    assert found.relation == ("marts", "mart_data_quality")
    assert found.columns == ("load_id", "outcome", "rows_loaded")


def test_a_project_without_a_declaration_has_no_outcomes(manifest):
    del manifest["nodes"]["model.proto_loc.mart_data_quality"]["config"]["meta"]["load_outcomes"]
    assert outcomes.declaration(manifest) is None


def test_two_declarations_are_refused_with_file_and_line(manifest):
    declare(manifest, "dim_dates", {})
    with pytest.raises(failures.BuildFailed) as refused:
        outcomes.declaration(manifest)
    assert "dim_dates (dbt/models/marts/dim_dates.yml)" in str(refused.value)
    assert "mart_data_quality (dbt/models/marts/mart_data_quality.yml:12)" in str(refused.value)


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ("load_id", "must be a mapping"),
        ({"load_id": "load_id", "outcome": "outcome"}, "must be a mapping"),
        ({"load_id": "load_id", "outcome": "outcome", "rows": "gone"}, "no column 'gone'"),
        ({"load_id": ["load_id"], "outcome": "outcome", "rows": "outcome"}, "no column"),
    ],
)
def test_a_malformed_declaration_is_refused_by_its_line(manifest, declared, why):
    declare(manifest, "mart_data_quality", declared)
    with pytest.raises(failures.BuildFailed, match=why) as refused:
        outcomes.declaration(manifest)
    assert "mart_data_quality.yml:12" in str(refused.value)


def test_marts_are_measured_or_lie_in_the_marts_folder(manifest):
    names = {unique_id.rpartition(".")[2] for unique_id in marts.marts(manifest)}
    assert {"mart_taxi_trips", "fct_taxi_trips", "dim_dates"} <= names
    assert not {name for name in names if name.startswith(("stg_", "int_"))}
    measured = {unique_id.rpartition(".")[2] for unique_id in marts.measured(manifest)}
    assert measured == {"mart_taxi_trips", "mart_data_quality"}


def test_a_mart_may_have_any_name_and_schema(manifest):
    """Bug: only a model with a name that begins with `mart_` was a mart."""
    node = manifest["nodes"]["model.proto_loc.mart_taxi_trips"]
    node.update({"schema": "sales", "alias": "orders", "fqn": ["proto_loc", "wide", "orders"]})
    assert "sales.orders" in marts.tables(manifest, marts.marts(manifest))
    manifest["semantic_models"].clear()
    assert "sales.orders" not in marts.tables(manifest, marts.marts(manifest))
    assert "marts.mart_data_quality" in marts.tables(manifest, marts.marts(manifest))


def test_folders_of_the_project_say_what_a_model_is(manifest):
    prefixes = {"staging": "stg_", "intermediate": "int_"}
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    for node in models:
        folder = node["fqn"][1]
        assert node["name"].startswith(prefixes.get(folder, "")), node["name"]
    assert {node["fqn"][1] for node in models} == {"staging", "intermediate", "marts"}


def test_a_project_without_metrics_or_content_generates_nothing(tmp_path):
    assert files.write(tmp_path, []) == []
    assert files.drift(tmp_path, []) == ""
    with files.cube_model(tmp_path, []) as model:
        assert list(model.iterdir()) == []
