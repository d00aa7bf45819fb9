"""What a look at new data finds: the declaration to propose, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proto_loc.sources import Table


@dataclass(frozen=True)
class ColumnFacts:
    """What the values of a column show."""

    distinct: int
    """Number of different values, null apart."""
    nulls: int
    minimum: object = None
    maximum: object = None
    samples: tuple[str, ...] = ()
    """Up to five values, as text."""


@dataclass(frozen=True)
class Inspection:
    """The proposal for a source, as ``loc source add`` shows and writes it."""

    tables: tuple[Table, ...]
    rows: Mapping[str, int]
    """Table → number of rows that were read."""
    columns: Mapping[str, Mapping[str, ColumnFacts]]
    """Table → column → facts."""
    notes: tuple[str, ...] = ()
    """What was assumed or is ambiguous, each a sentence for the person who confirms."""
    questions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Question → possible answers, the proposed one first, where the data leaves it open."""
    code: str = ""
    """Text of ``pipelines/NAME/__init__.py``; empty where a ``FileSource`` of the tables does."""
