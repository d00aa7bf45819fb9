"""The work of ``loc metric add``."""

from collections.abc import Mapping

from proto_loc import files
from proto_loc.cli import _content
from proto_loc.cli._console import out
from proto_loc.errors import UsageError
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.scaffold.labels import labels_of
from proto_loc.scaffold.metric import NewMetric, with_metric
from proto_loc.scaffold.names import clean, title
from proto_loc.settings import ROOT

WORDS = {
    "sum": "Sum of {}.",
    "average": "Average of {}, over the rows that have one.",
    "count": "Rows with {}.",
    "count_distinct": "Different values of {}.",
}


def semantic_models() -> dict[str, SemanticModel]:
    """The semantic models of the project, by the name of their mart."""
    from proto_loc.dbt import parse
    from proto_loc.metrics.read import read

    return {model.node.rpartition(".")[2]: model for model in read(parse.manifest())}


def semantic_model(mart: str) -> SemanticModel:
    """The semantic model on a mart.

    Raises:
        UsageError: there is none; the message lists the marts that have one.
    """
    models = semantic_models()
    if mart not in models:
        raise UsageError(
            f"There is no mart {mart} with metrics.",
            f"There is: {', '.join(sorted(models)) or 'none'}.",
            "Name one of those; docs/metrics.md shows how a mart gets metrics.",
        )
    return models[mart]


def add(
    name: str,
    mart: str,
    options: Mapping[str, str],
    meta: Mapping[str, object],
    *,
    label: str,
    description: str,
) -> None:
    """Add a metric.

    Raises:
        LocError: dbt, Cube or a dashboard does not accept it; the file stays as it was.
        UsageError: the options say none or several, or name no column or metric of the mart.
    """
    chosen = {kind: value for kind, value in options.items() if value}
    if len(chosen) != 1:
        raise UsageError(
            f"{len(chosen) or 'No'} aggregations are given.",
            "A metric has one.",
            "Give one of --sum, --average, --count, --distinct, --ratio.",
        )
    if name != clean(name):
        raise UsageError(
            f"A metric cannot be named {name!r}.",
            "Names have lower-case letters, digits and single underscores, and are no word of SQL.",
            f"Name it {clean(name)}.",
        )
    model = semantic_model(mart)
    for other in semantic_models().values():
        if name in [item.name for item in (*other.metrics, *other.dimensions)]:
            raise UsageError(
                f"There is a metric or dimension {name} already.",
                f"{other.file} defines it.",
                "Choose another name, or edit that file.",
            )
    if (label or title(name)) in labels_of(ROOT):
        raise UsageError(
            f"There is a metric with the label {label or title(name)!r} already.",
            "MetricFlow wants a label of its own for each metric.",
            "Give another one: --label 'TEXT'.",
        )
    ((kind, of),) = chosen.items()
    shown = ", ".join(f"{key}: {value}" for key, value in meta.items() if value not in ("", None))
    metric = NewMetric(
        name,
        label or title(name),
        description or (f"{of}." if kind == "ratio" else WORDS[kind].format(of)),
        "" if kind == "ratio" else kind,
        "" if kind == "ratio" else _column(model, of),
        _ratio(model, of) if kind == "ratio" else None,
        f"{{{shown}}}",
    )
    file = ROOT / model.file
    before = file.read_text()
    with _content.generated_files_return():
        files.replace(file, with_metric(file, model.name, metric))
        try:
            _content.generate()
        except BaseException:
            files.replace(file, before)
            raise
    out.print(f"{model.file} has the metric {name}; `loc refresh` publishes it.", markup=False)


def _column(model: SemanticModel, name: str) -> str:
    columns = [column.name for column in model.columns]
    if name not in columns:
        raise UsageError(
            f"{model.table} has no column {name}.",
            f"Its columns are: {', '.join(columns)}.",
            "Name one of those.",
        )
    return name


def _ratio(model: SemanticModel, text: str) -> tuple[str, str]:
    over, slash, under = text.partition("/")
    known = [metric.name for metric in model.metrics]
    if not slash or not {over, under} <= set(known):
        raise UsageError(
            f"--ratio {text} is no quotient of two metrics.",
            f"{model.table} has: {', '.join(known) or 'none'}.",
            "Write --ratio METRIC/METRIC.",
        )
    return over, under
