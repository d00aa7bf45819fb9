"""Semantic models, dimensions, metrics and access rules as plain data."""

from dataclasses import dataclass

from proto_loc.metrics.expressions import Column, Expression, Sql
from proto_loc.metrics.formats import Format


@dataclass(frozen=True)
class MartColumn:
    """A column of the mart, as its contract declares it."""

    name: str
    type: str
    """DuckDB's type, in capitals."""
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
    """A column or expression that figures are grouped and filtered by."""

    name: str
    label: str
    description: str
    of: Sql
    grain: str = ""
    """The finest grain of a time dimension; empty for the others."""

    @property
    def column(self) -> str | None:
        """Name of the mart's column; None for an expression."""
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
    """A rule that limits rows: a viewer's claim lists the values of a column that they may see."""

    claim: str
    column: str
    """A column of the mart."""
    dimension: str
    """Name of the dimension on this column."""


@dataclass(frozen=True)
class SemanticModel:
    """A wide mart, with its dimensions and metrics."""

    name: str
    label: str
    description: str
    file: str
    """Path of its definition from the root of the clone."""
    node: str
    """dbt's unique id of the mart."""
    schema: str
    table: str
    columns: tuple[MartColumn, ...]
    dimensions: tuple[Dimension, ...]
    metrics: tuple[Metric, ...]
    time: Dimension
    """The time dimension that gives a figure's month."""
    record_by: tuple[Dimension, ...]
    """Dimensions by which a publish records the metrics, in addition to the month."""
    access: tuple[AccessRule, ...] = ()
    """Rules of the mart's ``config.meta.access``; without one, everyone sees all rows."""

    def type_of(self, dimension: Dimension) -> MartColumn | None:
        """The mart's column of a dimension; None for an expression."""
        return next((column for column in self.columns if column.name == dimension.column), None)
