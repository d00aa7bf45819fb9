"""What a source that dlt fetches declares: its tables, their modes, and where its rows are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proto_loc.sources import Table

MODES = ("append", "replace", "upsert")
POLICIES = ("evolve", "freeze", "discard")


@dataclass(frozen=True)
class DltTable(Table):
    """A ``Table`` that dlt fetches; its name and columns are as dlt writes them (snake_case)."""

    mode: str = "replace"
    """``append``: each fetch adds its rows. ``replace``: each fetch is the whole table.
    ``upsert``: of the rows with one key, the newest stays."""
    newest: str = ""
    """With ``upsert``, the column whose largest value makes a row the newest; else the row that
    came last."""
    deleted: str = ""
    """With ``upsert``, the column that marks a deleted row: true, or any value of another type.
    Such a row takes the row with its key away."""
    parent: str = ""
    """The table in whose rows dlt found this one's, as a list; it follows the parent's mode."""

    def __post_init__(self) -> None:
        """Check the mode and the columns that it needs.

        Raises:
            ValueError: a mode is unknown, or a column that it needs is not declared.
        """
        super().__post_init__()
        if self.mode not in MODES:
            raise ValueError(f"table {self.name}: mode {self.mode!r} is none of {MODES}")
        if self.mode == "upsert" and not self.key and not self.parent:
            raise ValueError(f"table {self.name}: an upsert needs a key")
        if self.partition and (self.mode != "upsert" or self.partition == "file"):
            raise ValueError(
                f"table {self.name}: only an upsert has partitions, by month:COLUMN or day:COLUMN"
            )
        for column in (*self.key, *filter(None, (self.newest, self.deleted))):
            if column not in self.columns:
                raise ValueError(f"table {self.name}: it has no column {column!r}")


@dataclass(frozen=True)
class Sql:
    """Tables of an SQL database, read as Arrow."""

    dsn: str
    """Name of the secret with the database's SQLAlchemy URL."""
    tables: Mapping[str, str] = field(default_factory=dict)
    """Table of the database → the column by which only new and changed rows are fetched, or an
    empty text for all rows."""
    schema: str = ""
    """Schema of the tables; empty for the database's default."""


@dataclass(frozen=True)
class Rest:
    """Endpoints of a REST API, fetched by dlt's ``rest_api``."""

    url: str
    """The URL that all paths are relative to."""
    resources: tuple[Mapping[str, object], ...]
    """Endpoints as dlt's ``rest_api`` declares them: ``name``, ``endpoint`` and more."""
    token: str = ""
    """Name of the secret that is sent as a bearer token; empty if the API needs none."""
    auth: Mapping[str, object] = field(default_factory=dict)
    """Another way to authenticate, as dlt's ``rest_api`` declares it; a value ``secret:NAME``
    stands for that secret."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of every request."""


@dataclass(frozen=True)
class Code:
    """A ``@dlt.source`` or ``@dlt.resource`` in a module of its own, which may import dlt."""

    function: str
    """``MODULE:FUNCTION``, such as ``pipelines.shop.resources:shop``."""
    arguments: Mapping[str, object] = field(default_factory=dict)
    """Arguments of the function, as JSON can hold them."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Argument of the function → name of the secret that it gets."""
