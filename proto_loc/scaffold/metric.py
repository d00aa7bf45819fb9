"""Adds a metric to the file of a semantic model; every other line of the file stays."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from proto_loc.errors import LocError
from proto_loc.scaffold.models import quoted, quoted_in_flow


@dataclass(frozen=True)
class NewMetric:
    """A metric of type ``simple``, by its aggregation, or ``ratio``, by two metrics."""

    name: str
    label: str
    description: str
    aggregation: str = ""
    expression: str = ""
    ratio: tuple[str, str] | None = None
    shown: str = "{format: number}"
    """The content of ``config.meta``, as YAML."""


def with_metric(file: Path, model: str, metric: NewMetric) -> str:
    """The text of the file with the metric, and with a measure where none fits.

    Args:
        model: name of the semantic model, which the file defines.

    Raises:
        LocError: the file has another layout; the message has the lines to add by hand.
    """
    text = file.read_text()
    root = yaml.compose(text)
    models = _value(root, "semantic_models")
    entry = next((node for node in _items(models) if _text(node, "name") == model), None)
    measures, metrics = _value(entry, "measures"), _value(root, "metrics")
    block, measure = _block(metric), ""
    lines, additions = text.splitlines(), {}
    if not metric.ratio:
        measure = next(_fitting(measures, metric), "")
        if not measure:
            measure = f"{metric.name}_rows"
            of = quoted_in_flow(metric.expression)
            line = f"- {{name: {measure}, agg: {metric.aggregation}, expr: {of}}}"
            if not _is_block(measures):
                raise _by_hand(file, [f"under measures: {line}", *block])
            additions[_last_line(measures)] = [" " * measures.start_mark.column + line]
        block.insert(4, f"  type_params: {{measure: {measure}}}")
    if metrics is None:
        additions.setdefault(len(lines) - 1, []).extend(["", "metrics:", *_indented(block, 2)])
    elif _is_block(metrics):
        inside = _indented(block, metrics.start_mark.column)
        additions.setdefault(_last_line(metrics), []).extend(["", *inside])
    else:
        raise _by_hand(file, block)
    made = []
    for number, line in enumerate(lines):
        made += [line, *additions.get(number, [])]
    return "\n".join(made) + "\n"


def _block(metric: NewMetric) -> list[str]:
    """The lines of a metric; those of a simple one lack its measure."""
    lines = [
        f"- name: {metric.name}",
        f"  label: {quoted(metric.label)}",
        f"  description: {quoted(metric.description)}",
        f"  type: {'ratio' if metric.ratio else 'simple'}",
    ]
    if metric.ratio:
        over, under = metric.ratio
        lines.append(f"  type_params: {{numerator: {over}, denominator: {under}}}")
    return [*lines, f"  config: {{meta: {metric.shown}}}"]


def _indented(lines: list[str], spaces: int) -> list[str]:
    return [" " * spaces + line for line in lines]


def _by_hand(file: Path, lines: list[str]) -> LocError:
    return LocError(
        f"The metric cannot be added to {file}.",
        "Its lists are not written one entry a line.",
        "Add these lines by hand:\n" + "\n".join(lines),
    )


def _fitting(measures: yaml.Node | None, metric: NewMetric) -> Iterator[str]:
    """The measures that are what the metric needs."""
    for node in _items(measures):
        if (_text(node, "agg"), _text(node, "expr")) == (metric.aggregation, metric.expression):
            yield _text(node, "name")


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _text(node: yaml.Node | None, key: str) -> str:
    value = _value(node, key)
    return value.value if isinstance(value, yaml.ScalarNode) else ""


def _items(node: yaml.Node | None) -> list[yaml.Node]:
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _is_block(node: yaml.Node | None) -> bool:
    return isinstance(node, yaml.SequenceNode) and not node.flow_style and bool(node.value)


def _last_line(node: yaml.Node) -> int:
    """The last line that a node is on; the end of a block is after the empty lines behind it."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style:
        end = node.end_mark.line
        return end - 1 if end > node.start_mark.line and node.end_mark.column == 0 else end
    parts = [part for item in node.value for part in (item if isinstance(item, tuple) else [item])]
    return max((_last_line(part) for part in parts), default=node.start_mark.line)
