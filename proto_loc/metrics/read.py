"""Reads the metrics from dbt's manifest; refuses what some interfaces cannot serve."""

import keyword
import os
import re
from collections.abc import Iterator
from contextlib import suppress

from proto_loc.metrics import formats
from proto_loc.metrics.definitions import (
    AccessRule,
    Dimension,
    MartColumn,
    Metric,
    SemanticModel,
)
from proto_loc.metrics.errors import MetricError
from proto_loc.metrics.expressions import (
    FUNCTIONS,
    Aggregate,
    Derived,
    Expression,
    Ratio,
    Sql,
    column,
    joined,
    sql,
)
from proto_loc.settings import ROOT

FIX = (
    "Define it in another way, or by hand in cube/model/; docs/metrics.md lists what is supported."
)
KINDS = ("simple", "ratio", "derived")
COUNTS = ("count", "count_distinct")
NO_CLAIMS = ("all_rows", "iat", "exp", "nbf", "iss", "aud", "sub", "jti")
"""Names that have another meaning in a token."""

_REFERENCE = re.compile(
    r"""\{\{\s*(?P<kind>Dimension|TimeDimension)\(\s*(?P<q>['"])(?P<path>[a-z0-9_]+)(?P=q)\s*"""
    r"""(?:,\s*(?P<r>['"])(?P<grain>[a-z]+)(?P=r)\s*)?\)\s*\}\}"""
)


def read(manifest: dict) -> list[SemanticModel]:
    """The semantic models with their metrics, sorted by name.

    Args:
        manifest: dbt's manifest of a parse.

    Raises:
        MetricError: a definition is not supported, or two contradict each other.
    """
    models = [
        _Reader(content, manifest).model() for content in manifest["semantic_models"].values()
    ]
    tables: dict[str, str] = {}
    for model in models:
        if model.node in tables:
            raise MetricError(
                f"The semantic models {tables[model.node]} and {model.name} are on the one table"
                f" {model.table}.",
                "Superset has one dataset per table, and Cube one cube per semantic model.",
                f"Make them one, in {model.file}.",
            )
        tables[model.node] = model.name
    for node in manifest["nodes"].values():
        if node["config"].get("meta", {}).get("access") and node["unique_id"] not in tables:
            raise MetricError(
                f"The model {node['name']} in {place(node, 'access')} has access rules that nothing"
                " applies.",
                "Rules are read from a mart that has a semantic model.",
                "Give it one, or move its config.meta.access to the mart that people read.",
            )
    defined = {metric.name for model in models for metric in model.metrics}
    for content in manifest["metrics"].values():
        if content["type"] not in KINDS:
            raise _refused("metric", content, _kinds(content))
        if content["name"] not in defined:
            measures = ", ".join(
                sorted(measure["name"] for measure in content["type_params"]["input_measures"])
            )
            raise _refused(
                "metric",
                content,
                f"Its measures ({measures or 'none'}) are not all of one semantic model, and there"
                " are no joins.",
            )
    return sorted(models, key=lambda model: model.name)


def _refused(what: str, content: dict, why: str, fix: str = FIX) -> MetricError:
    return MetricError(
        f"The {what} {content['name']} in {file_of(content)} is not supported.", why, fix
    )


def _kinds(content: dict) -> str:
    return f"It is of type {content['type']}; supported are {', '.join(KINDS)}."


def file_of(content: dict) -> str:
    """Return the file of a manifest's entry, relative to the repository."""
    return os.path.normpath(f"dbt/{content['original_file_path']}")


def place(node: dict, key: str) -> str:
    """Find file and line of a key in a model's declaration; only the file if no line has it."""
    path = (node["patch_path"] or node["original_file_path"]).rpartition("://")[2]
    file = os.path.normpath(f"dbt/{path}")
    own = False
    with suppress(OSError):  # the file of a published model may be gone
        for number, line in enumerate((ROOT / file).read_text().splitlines(), 1):
            name = line.strip().removeprefix("- name:").strip(" \"'")
            own = own or name == node["name"]
            if own and re.match(rf"[^#]*\b{key}\W*:", line):
                return f"{file}:{number}"
    return file


class _Reader:
    """One semantic model being read."""

    def __init__(self, content: dict, manifest: dict) -> None:
        self.content = content
        # Sorted, because the order of a manifest depends on what dbt has parsed before.
        self.metrics = {
            m["name"]: m for m in sorted(manifest["metrics"].values(), key=lambda m: m["name"])
        }
        (self.node,) = content["depends_on"]["nodes"]
        if not self.node.startswith("model."):
            raise self._no(
                f"It is on {self.node}, which is not a model.",
                "Make a mart of it, with a contract.",
            )
        self.mart = manifest["nodes"][self.node]
        self.measures = {measure["name"]: measure for measure in content["measures"]}
        self.columns = tuple(self._columns())
        self.dimensions: dict[str, Dimension] = {}

    def model(self) -> SemanticModel:
        content = self.content
        for entity in content["entities"]:
            if entity["type"] == "foreign":
                raise self._no(
                    f"Its entity {entity['name']} is a foreign key, and there are no joins: a mart"
                    " is wide."
                )
        self.dimensions = {entry["name"]: self._dimension(entry) for entry in content["dimensions"]}
        for measure in self.measures.values():
            self._check_measure(measure)
        default = (content["defaults"] or {}).get("agg_time_dimension")
        if default not in self.dimensions or not self.dimensions[default].grain:
            raise self._no("It has no time dimension that defaults.agg_time_dimension names.")
        record_by = content["config"]["meta"].get("record_by", [])
        for name in record_by if isinstance(record_by, list) else [record_by]:
            if not isinstance(name, str) or name not in self.dimensions:
                raise self._no(
                    f"Its config.meta.record_by lists {name!r}, which is not one of its dimensions."
                )
        metrics = tuple(
            self._metric(entry) for entry in self.metrics.values() if self._is_own(entry)
        )
        self._check_names(metrics)
        return SemanticModel(
            name=content["name"],
            label=_flat(content["label"]) or _title(content["name"]),
            description=_flat(content["description"]),
            file=file_of(content),
            node=self.node,
            schema=self.mart["schema"],
            table=self.mart["alias"],
            columns=self.columns,
            dimensions=tuple(self.dimensions.values()),
            metrics=metrics,
            time=self.dimensions[default],
            record_by=tuple(self.dimensions[name] for name in record_by),
            access=tuple(self._access()),
        )

    def _no(self, why: str, fix: str = FIX) -> MetricError:
        return _refused("semantic model", self.content, why, fix)

    def _access(self) -> Iterator[AccessRule]:
        """The rules of the mart's ``config.meta.access``, claim by claim."""
        rules = self.mart["config"].get("meta", {}).get("access", {})
        where = f"config.meta.access of {self.mart['name']} ({place(self.mart, 'access')})"
        if not isinstance(rules, dict):
            raise self._no(f"{where} must be a mapping.", "Write it as {claim: column}.")
        for claim, name in rules.items():
            if not re.fullmatch(r"[a-z_]\w*", str(claim)) or claim in NO_CLAIMS:
                raise self._no(f"{where} has the claim {claim!r}.", "Choose another name for it.")
            kinds = {column.name: column.type for column in self.columns}
            if kinds.get(name) != "VARCHAR":
                raise self._no(
                    f"{where} names {name!r} for the claim {claim}, which is not a column of text.",
                    "Choose from: "
                    + ", ".join(name for name, kind in kinds.items() if kind == "VARCHAR")
                    + ".",
                )
            dimension = next((d.name for d in self.dimensions.values() if d.column == name), None)
            if dimension is None:
                raise self._no(
                    f"{where} names the column {name}, and no dimension is that column.",
                    "Add the dimension to the semantic model: Cube limits rows by it.",
                )
            yield AccessRule(claim, name, dimension)

    def _columns(self) -> Iterator[MartColumn]:
        mart = f"{self.mart['name']} ({file_of(self.mart)})"
        if not self.mart["config"].get("contract", {}).get("enforced"):
            raise self._no(
                f"Its model {mart} has no enforced contract, so the types of its columns are not"
                " known.",
                "Give each column a data_type there, and the model `config: {contract: {enforced:"
                " true}}`.",
            )
        for declared in self.mart["columns"].values():
            yield MartColumn(
                declared["name"], declared["data_type"].upper(), _flat(declared["description"])
            )

    def _dimension(self, content: dict) -> Dimension:
        name, expr = content["name"], content["expr"]
        params = content["type_params"] or {}
        if content["is_partition"] or params.get("validity_params"):
            raise self._no(f"Its dimension {name} has is_partition or validity_params.")
        of = self._sql(column, expr or name, f"the expr of its dimension {name}")
        made = Dimension(
            name=name,
            label=_flat(content["label"]) or _title(name),
            description=_flat(content["description"]),
            of=of,
            grain=params.get("time_granularity", "") if content["type"] == "time" else "",
        )
        columns = {column.name for column in self.columns}
        if made.column is not None and made.column not in columns:
            raise self._no(
                f"Its dimension {name} is the column {made.column}, which {self.mart['name']} does"
                " not have."
            )
        if made.column != name and name in columns:
            raise self._no(
                f"Its dimension {name} has the name of a column, and is not that column."
            )
        return made

    def _check_measure(self, measure: dict) -> None:
        def no(why: str) -> MetricError:
            return self._no(f"Its measure {measure['name']} {why}.")

        if measure["agg"] not in FUNCTIONS:
            raise no(f"aggregates by {measure['agg']}; supported are {', '.join(FUNCTIONS)}")
        kinds = {column.name: column for column in self.columns}
        of = kinds.get(str(measure["expr"] or measure["name"]))
        if of and not of.is_number and measure["agg"] not in COUNTS:
            raise no(f"is of the column {of.name}, {of.type}: a figure is a number")
        if measure["non_additive_dimension"]:
            raise no("has a non_additive_dimension")
        if measure["agg_time_dimension"] not in (
            None,
            (self.content["defaults"] or {}).get("agg_time_dimension"),
        ):
            raise no("has an agg_time_dimension of its own")

    def _check_names(self, metrics: tuple[Metric, ...]) -> None:
        for item in (*metrics, *self.dimensions.values()):
            if keyword.iskeyword(item.name):
                raise self._no(
                    f"{item.name} is a keyword of Python, the language of Cube's references."
                )
        for metric in metrics:
            if metric.name in self.dimensions:
                raise self._no(
                    f"{metric.name} is a metric and a dimension, and a name is unique in Cube."
                )

    def _is_own(self, content: dict) -> bool:
        needed = {measure["name"] for measure in content["type_params"]["input_measures"]}
        return needed <= self.measures.keys() if needed else False

    def _metric(self, content: dict) -> Metric:
        try:
            shown = formats.parse(content["config"]["meta"])
        except ValueError as error:
            raise _refused("metric", content, f"{error}.") from None
        return Metric(
            name=content["name"],
            label=_flat(content["label"]) or _title(content["name"]),
            description=_flat(content["description"]),
            kind=content["type"],
            format=shown,
            expression=self._expression(content, ()),
        )

    def _expression(self, content: dict, filters: tuple[Sql, ...]) -> Expression:
        """Make an expression of a metric; ``filters`` come from the metrics that use it."""
        params = content["type_params"]
        filters = (*filters, *self._filters(content["filter"], content))
        if content["type"] == "simple":
            return self._aggregate(content, params["measure"], filters)
        if content["type"] == "ratio":
            return Ratio(
                *(
                    self._input(content, params[part], filters)
                    for part in ("numerator", "denominator")
                )
            )
        if content["type"] == "derived":
            inputs = {
                entry["alias"] or entry["name"]: (self._input(content, entry, filters),)
                for entry in params["metrics"]
            }
            return Derived(self._sql(sql, params["expr"], "its expr", content, inputs.get))
        raise _refused("metric", content, _kinds(content))

    def _aggregate(self, metric: dict, measure_input: dict, filters: tuple[Sql, ...]) -> Aggregate:
        if measure_input["join_to_timespine"] or measure_input["fill_nulls_with"] is not None:
            raise _refused("metric", metric, "It has join_to_timespine or fill_nulls_with.")
        measure = self.measures[measure_input["name"]]
        of = self._sql(
            column,
            str(measure["expr"] or measure["name"]),
            f"the expr of its measure {measure['name']}",
        )
        filters = (*filters, *self._filters(measure_input["filter"], metric))
        if filters and measure["agg"] in COUNTS:
            raise _refused(
                "metric",
                metric,
                f"It counts under a filter ({measure['name']}): where nothing passes it, MetricFlow"
                " has no figure, and SQL and Cube have 0.",
                "Give it a measure with `agg: sum` and `expr: case when <condition> then 1 end`,"
                " and no filter.",
            )
        return Aggregate(measure["name"], measure["agg"], of, tuple(dict.fromkeys(filters)))

    def _input(self, metric: dict, measure_input: dict, filters: tuple[Sql, ...]) -> Expression:
        if measure_input["offset_window"] or measure_input["offset_to_grain"]:
            raise _refused(
                "metric", metric, f"Its input {measure_input['name']} has an offset in time."
            )
        return self._expression(
            self.metrics[measure_input["name"]],
            (*filters, *self._filters(measure_input["filter"], metric)),
        )

    def _filters(self, holder: dict | None, metric: dict) -> Iterator[Sql]:
        for where_filter in (holder or {}).get("where_filters", []):
            template = where_filter["where_sql_template"]
            parts, end = [], 0
            for match in _REFERENCE.finditer(template):
                parts += [template[end : match.start()], self._reference(match, metric)]
                end = match.end()
            parts.append(template[end:])
            # The filter is checked as a whole, with a placeholder for each dimension, because a
            # quote may open before a dimension and close after it.
            names = {
                f"dimension_{i}": part for i, part in enumerate(parts) if not isinstance(part, str)
            }
            text = "".join(
                part if isinstance(part, str) else f"dimension_{i}" for i, part in enumerate(parts)
            )
            yield self._sql(sql, text, f"its filter {template!r}", metric, names.get)

    def _reference(self, match: re.Match, metric: dict) -> Sql:
        """SQL of a ``{{ Dimension(...) }}`` or ``{{ TimeDimension(...) }}`` in a filter."""

        def no(why: str) -> MetricError:
            return _refused("metric", metric, f"Its filter has {match[0]}, and {why}.")

        path, grain = match["path"], match["grain"]
        if path == "metric_time":
            name = self.content["defaults"]["agg_time_dimension"]
        else:
            entity, _, name = path.rpartition("__")
            own = {entry["name"] for entry in self.content["entities"]} | {
                self.content["primary_entity"]
            }
            if entity not in own or name not in self.dimensions:
                raise no(
                    f"the semantic model {self.content['name']} has no such dimension: there are no"
                    " joins"
                )
        dimension = self.dimensions[name]
        if match["kind"] == "Dimension":
            if dimension.grain or grain:
                raise no(f"{name} is a time dimension: write TimeDimension, with a grain")
            return dimension.of
        if not dimension.grain:
            raise no(f"{name} is not a time dimension")
        return joined([f"date_trunc('{grain or dimension.grain}', ", *dimension.of, ")"])

    def _sql(self, reader, text: str, where: str, content: dict | None = None, *more) -> Sql:
        try:
            return reader(text, *more)
        except ValueError as error:
            raise _refused(
                "metric" if content else "semantic model",
                content or self.content,
                f"In {where}: {error}.",
            ) from None


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _flat(text: str | None) -> str:
    return " ".join((text or "").split())
