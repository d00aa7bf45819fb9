"""Every interface gives the same number: counts and money exactly, ratios to 1e-9."""

import math
from decimal import Decimal

import pytest
from doors.ask import Ask
from doors.cube import Cube
from doors.dataset import Dataset
from doors.notebook import Notebook
from doors.recorded import Recorded
from doors.superset import Superset
from metricflow.validation.data_warehouse_model_validator import DataWarehouseModelValidator
from metricflow_semantic_interfaces.validations.semantic_manifest_validator import (
    SemanticManifestValidator,
)
from questions import FILTERS, questions

from proto_loc import warehouse
from proto_loc.dbt import parse
from proto_loc.metrics.read import read

DOORS = [Recorded, Dataset, Cube, Superset, Notebook, Ask]
"""Each interface is asked every question that it can answer."""

pytestmark = pytest.mark.xdist_group("parity")  # one platform for the suite

MODELS = read(parse.manifest())
QUESTIONS = list(questions(MODELS))
DIMENSIONS = {metric.name: 2 + len(model.record_by) for model in MODELS for metric in model.metrics}
"""By metric: in how many ways it is asked: whole, by month, by what its model records."""


@pytest.fixture(scope="module")
def expected(oracle) -> dict:
    """MetricFlow's answers."""
    return {question: oracle.answer(question) for question in QUESTIONS}


def exactly(figure: object) -> Decimal:
    """Return an interface's figure as an exact number."""
    return Decimal(str(figure))


def differences(expected: dict, found: dict) -> dict:
    """Return the values for which an interface's figure differs from MetricFlow's, with both
    figures.
    """
    found = {value: figure for value, figure in found.items() if figure is not None}
    return {
        value: (expected.get(value), found.get(value))
        for value in expected.keys() | found.keys()
        if not _agree(expected.get(value), found.get(value))
    }


def _agree(one: object, other: object) -> bool:
    if one is None or other is None:
        return False
    if isinstance(one, float):
        return math.isclose(one, float(other), rel_tol=1e-9, abs_tol=0)
    return exactly(one) == exactly(other)


def test_the_definitions_are_valid(oracle):
    """`mf validate-configs` does the same check."""
    found = SemanticManifestValidator().validate_semantic_manifest(oracle.manifest)
    assert [issue.as_readable_str() for issue in found.errors] == []


def test_their_sql_runs_on_prod(oracle):
    validator = DataWarehouseModelValidator(oracle.client)
    for validate in ("semantic_models", "dimensions", "entities", "simple_metrics", "metrics"):
        found = getattr(validator, f"validate_{validate}")(oracle.manifest)
        assert [issue.as_readable_str() for issue in found.all_issues] == [], validate


def cases() -> list:
    """Return each metric with each interface.

    The interfaces that take a second for each metric get one metric of each form in every test
    run, and all others with ``--all``.
    """
    seen, made = set(), []
    for metric in (metric for model in MODELS for metric in model.metrics):
        form = metric.kind, metric.format.kind
        repeated = form in seen
        seen.add(form)
        for door in DOORS:
            marks = pytest.mark.slow if repeated and door in (Superset, Ask) else ()
            name = f"{metric.name}-{door.__name__.lower()}"
            made.append(pytest.param(metric.name, door, marks=marks, id=name))
    return made


@pytest.mark.parametrize(("metric", "door"), cases())
def test_a_door_answers_as_metricflow_does(door, metric, opened, expected):
    asked = [each for each in QUESTIONS if each.metric == metric and opened(door).answers(each)]
    assert len(asked) >= DIMENSIONS[metric], "whole, and by each dimension"
    wrong = {
        str(each): wrong
        for each in asked
        if (wrong := differences(expected[each], opened(door).answer(each)))
    }
    assert wrong == {}


def test_every_metric_is_asked_for_whole_by_three_dimensions_and_under_two_filters(expected):
    assert {model.name for model in MODELS} == FILTERS.keys()
    metrics = [metric.name for model in MODELS for metric in model.metrics]
    assert metrics
    for metric in metrics:
        asked = [each for each in QUESTIONS if each.metric == metric]
        assert (
            len({each.dimension for each in asked}) == DIMENSIONS[metric]
            and len({each.condition for each in asked}) == 3
        )
        answered = [each for each in asked if expected[each]]
        assert len(answered) == len(asked), "each question has an answer"


def test_counts_are_whole_numbers_and_money_is_decimal(expected):
    for model in MODELS:
        for metric in model.metrics:
            if metric.kind == "simple" and metric.format.kind in ("count", "money"):
                wanted = int if metric.format.kind == "count" else Decimal
                found = {
                    type(figure)
                    for each in QUESTIONS
                    if each.metric == metric.name
                    for figure in expected[each].values()
                }
                assert found == {wanted}, metric.name


def test_what_dagster_is_told_is_what_metricflow_says(platform, expected):
    told = {
        name: figure
        for mart in warehouse.current("prod").facts["metrics"].values()
        for name, figure in mart.items()
    }
    whole = {
        each.metric: expected[each][""]
        for each in QUESTIONS
        if not each.dimension and not each.condition
    }
    assert differences(whole, told) == {}


def test_a_difference_is_seen():
    assert differences({"a": 1, "b": 0.5}, {"a": "1", "b": 0.5 + 1e-12}) == {}
    assert differences({"a": Decimal("1.10")}, {"a": "1.1"}) == {}
    assert differences({"a": Decimal("1.10")}, {"a": 1.11}) and differences(
        {"a": 0.5}, {"a": 0.5 + 1e-9}
    )
    assert (
        differences({"a": 1}, {})
        and differences({}, {"a": 1})
        and differences({"a": 1}, {"a": None})
    )
