"""Labels of metrics, which MetricFlow wants unique over all sources of a project."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from proto_loc.scaffold.names import title
from proto_loc.scaffold.plan import Mart


def labels_of(root: Path) -> set[str]:
    """Labels of the metrics of the dbt project; a page that is no YAML is left to dbt."""
    labels = set()
    for page in [*(root / "dbt/models").rglob("*.yml"), *(root / "dbt/models").rglob("*.yaml")]:
        try:
            content = yaml.safe_load(page.read_text())
        except yaml.YAMLError:
            continue
        metrics = content.get("metrics") if isinstance(content, dict) else None
        labels |= {
            str(metric.get("label") or metric.get("name"))
            for metric in metrics or []
            if isinstance(metric, dict)
        }
    return labels


def with_own_labels(marts: Sequence[Mart], root: Path) -> list[Mart]:
    """The marts, each metric with a label that no other metric has.

    A label that is taken gets the name of its source, then that of its table.
    """
    taken, result = labels_of(root), []
    for mart in marts:
        source, measures = title(mart.staged.source), []
        for measure in mart.measures:
            longer = f"{measure.label}, {source}"
            candidates = (measure.label, longer, f"{longer} {title(mart.staged.name).lower()}")
            label = next((text for text in candidates if text not in taken), measure.name)
            taken.add(label)
            measures.append(replace(measure, label=label))
        result.append(replace(mart, measures=tuple(measures)))
    return result
