"""`loc metric add` adds lines to a file, and changes no other line."""

from pathlib import Path

import pytest
import yaml

from proto_loc.errors import LocError
from proto_loc.scaffold.metric import NewMetric, with_metric
from proto_loc.settings import ROOT

SHOP = ROOT / "tests/platform/shop/dbt/models/marts/mart_orders.metrics.yml"
AVERAGE = NewMetric("average_amount", "Average", "Average: a figure.", "average", "amount")


def added(before: str, after: str) -> list[str]:
    """The lines that are new; the others are the same, in their order."""
    lines, new = before.splitlines(), []
    for line in after.splitlines():
        if lines and line == lines[0]:
            lines.pop(0)
        else:
            new.append(line)
    assert lines == []
    return new


def test_a_metric_and_its_measure_are_added():
    text = with_metric(SHOP, "orders", AVERAGE)
    assert len(added(SHOP.read_text(), text)) == 8
    content = yaml.safe_load(text)
    assert content["semantic_models"][0]["measures"][-1] == {
        "name": "average_amount_rows", "agg": "average", "expr": "amount",
    }  # fmt: skip
    assert content["metrics"][-1] == {
        "name": "average_amount", "label": "Average", "description": "Average: a figure.",
        "type": "simple", "type_params": {"measure": "average_amount_rows"},
        "config": {"meta": {"format": "number"}},
    }  # fmt: skip


def test_an_expression_with_a_comma_is_one_expression():
    metric = NewMetric("paid", "Paid", "What was paid.", "sum", "coalesce(amount, 0)")
    content = yaml.safe_load(with_metric(SHOP, "orders", metric))
    assert content["semantic_models"][0]["measures"][-1]["expr"] == "coalesce(amount, 0)"


def test_a_measure_that_fits_is_used():
    metric = NewMetric("paid", "Paid", "What was paid.", "sum", "amount")
    content = yaml.safe_load(with_metric(SHOP, "orders", metric))
    assert len(content["semantic_models"][0]["measures"]) == 2
    assert content["metrics"][-1]["type_params"] == {"measure": "amounts"}


def test_a_ratio_needs_no_measure():
    metric = NewMetric("each", "Each", "A quotient.", ratio=("sales", "order_count"))
    content = yaml.safe_load(with_metric(SHOP, "orders", metric))
    assert content["metrics"][-1]["type_params"] == {
        "numerator": "sales", "denominator": "order_count",
    }  # fmt: skip


def test_comments_and_what_follows_stay(tmp_path: Path):
    file = tmp_path / "x.yml"
    file.write_text(
        "metrics:\n- name: a\n  label: A # the first\n\n# a comment\nsemantic_models:\n"
        "- name: orders\n  measures:\n  - {name: n, agg: count,\n     expr: id} # two lines\n\n"
        "  dimensions: []\n"
    )
    text = with_metric(file, "orders", AVERAGE)
    assert len(added(file.read_text(), text)) == 8
    content = yaml.safe_load(text)
    assert [metric["name"] for metric in content["metrics"]] == ["a", "average_amount"]
    assert len(content["semantic_models"][0]["measures"]) == 2


def test_a_file_in_another_layout_is_left_and_the_lines_are_shown(tmp_path: Path):
    file = tmp_path / "x.yml"
    file.write_text("semantic_models: [{name: orders, measures: [{name: n, agg: count}]}]\n")
    with pytest.raises(LocError, match="cannot be added") as raised:
        with_metric(file, "orders", AVERAGE)
    assert "name: average_amount_rows, agg: average" in raised.value.fix
