"""Tests of the outcomes of loads, and of the list of marts; both come from dbt's manifest."""

import copy

import pytest

from proto_loc.cli import _generated_files as files
from proto_loc.dbt import failures, outcomes, parse, program, verdicts
from proto_loc.metrics import marts


@pytest.fixture(scope="module")
def parsed() -> dict:
    return parse.manifest()


@pytest.fixture
def manifest(parsed) -> dict:
    """dbt's manifest of the project, which a test may change."""
    return copy.deepcopy(parsed)


def declare(manifest: dict, model: str, declared: object) -> None:
    manifest["nodes"][f"model.proto_loc.{model}"]["config"]["meta"]["verdicts"] = declared


def test_models_declare_verdicts_in_any_yaml_file_of_models(tmp_path):
    texts = {
        "one.yml": "models: [{name: a, config: {meta: {verdicts: {}}}}, {name: b}]",
        "two.yaml": "models:\n  - name: c\n    config:\n      meta: {verdicts: {load_id: x}}\n",
        "off.yml": "models: [{name: d, config: {enabled: false, meta: {verdicts: {}}}}]",
        "broken.yml": "models: [verdicts: {",
        "other.yml": "sources: [{name: verdicts}]",
        "list.yml": "[verdicts]",
        "model.sql": "-- verdicts",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert verdicts.names_in(tmp_path.iterdir()) == {"a", "c"}
    assert {"fct_taxi_trips", "rejected_trips"} <= set(program.verdict_models())


def test_the_outcomes_read_the_models_that_declare_verdicts(parsed):
    """dbt orders its build by that."""
    parents = parsed["nodes"]["model.proto_loc.load_outcomes"]["depends_on"]["nodes"]
    assert set(parents) == {
        *("model.proto_loc.fct_taxi_trips", "model.proto_loc.rejected_trips"),
        *("source.proto_loc.raw.loads", "source.proto_loc.raw.rejects"),
    }
    outcomes.check_declarations(parsed)


GOOD = {"tables": ["taxi.green_trips"], "load_id": "load_id"}


@pytest.mark.parametrize(
    ("model", "declared", "why"),
    [
        ("fct_taxi_trips", "load_id", "is a mapping"),
        ("fct_taxi_trips", {"load_id": "load_id"}, "is a mapping"),
        ("fct_taxi_trips", GOOD | {"reasons": "reason"}, "is a mapping"),
        ("fct_taxi_trips", GOOD | {"tables": "taxi.green_trips"}, "list of SOURCE.TABLE"),
        ("fct_taxi_trips", GOOD | {"tables": ["taxi.trips"]}, "declares a table taxi.trips"),
        ("dim_dates", GOOD, "Only a YAML file of a model"),
    ],
)
def test_a_malformed_declaration_is_refused_by_its_place(manifest, model, declared, why):
    declare(manifest, model, declared)
    with pytest.raises(failures.BuildFailed, match=why) as refused:
        outcomes.check_declarations(manifest)
    assert f"dbt/models/marts/{model}.yml" in str(refused.value)
    assert model == "dim_dates" or f"{model}.yml:" in str(refused.value)


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
