"""The definitions, as every door needs them."""

from dataclasses import dataclass

from proto_loc.metrics.expressions import Column, Expression, Sql
from proto_loc.metrics.formats import Format


@dataclass(frozen=True)
class MartColumn:
    """A column of the mart, by its contract."""

    name: str
    type: str
    """DuckDB's, in capitals."""
    description: str

    @property
    def is_time(self) -> bool:
        return self.type == "DATE" or self.type.startswith("TIMESTAMP")

    @property
    def is_number(self) -> bool:
        words = ("INT", "DECIMAL", "NUMERIC", "DOUBLE", "FLOAT", "REAL")
        return any(word in self.type for word in words) and self.type != "INTERVAL"


@dataclass(frozen=True)
class Dimension:
    """What figures are grouped and filtered by."""

    name: str
    label: str
    description: str
    of: Sql
    grain: str = ""
    """The finest grain of a time dimension; empty for the others."""

    @property
    def column(self) -> str | None:
        """The mart's column that it is; None for an expression."""
        return self.of[0].name if len(self.of) == 1 and isinstance(self.of[0], Column) else None


@dataclass(frozen=True)
class Metric:
    """A figure with a name."""

    name: str
    label: str
    description: str
    kind: str
    """``simple``, ``ratio`` or ``derived``."""
    format: Format
    expression: Expression


@dataclass(frozen=True)
class AccessRule:
    """A rule of who sees which rows: a viewer's claim lists the values that they may see."""

    claim: str
    column: str
    """Of the mart."""
    dimension: str
    """The dimension that is this column."""


@dataclass(frozen=True)
class SemanticModel:
    """A wide mart, with its dimensions and metrics."""

    name: str
    label: str
    description: str
    file: str
    """Where it is defined, from the root of the clone."""
    node: str
    """dbt's unique id of the mart."""
    schema: str
    table: str
    columns: tuple[MartColumn, ...]
    dimensions: tuple[Dimension, ...]
    metrics: tuple[Metric, ...]
    time: Dimension
    """The time dimension that a figure's month is of."""
    record_by: tuple[Dimension, ...]
    """By what a publish records the metrics, beside each whole figure and its months."""
    access: tuple[AccessRule, ...] = ()
    """Who sees which rows, by ``config.meta.access`` of the mart; without a rule, all of them."""

    def type_of(self, dimension: Dimension) -> MartColumn | None:
        """The column that a dimension is; None for an expression."""
        return next((column for column in self.columns if column.name == dimension.column), None)
