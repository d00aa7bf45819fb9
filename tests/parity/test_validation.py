"""The definitions are valid to MetricFlow, as its own `mf validate-configs` would say."""

import pytest
from metricflow.validation.data_warehouse_model_validator import DataWarehouseModelValidator
from metricflow_semantic_interfaces.validations.semantic_manifest_validator import SemanticManifestValidator

pytestmark = pytest.mark.xdist_group("parity")  # one platform for the suite


def test_the_definitions_are_valid(oracle):
    found = SemanticManifestValidator().validate_semantic_manifest(oracle.manifest)
    assert [issue.as_readable_str() for issue in found.errors] == []


def test_their_sql_runs_on_prod(oracle):
    validator = DataWarehouseModelValidator(oracle.client)
    for validate in ("semantic_models", "dimensions", "entities", "simple_metrics", "metrics"):
        found = getattr(validator, f"validate_{validate}")(oracle.manifest)
        assert [issue.as_readable_str() for issue in found.all_issues] == [], validate
