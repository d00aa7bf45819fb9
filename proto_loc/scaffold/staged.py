"""Tables of a source with the columns of their staging models: plain names and types."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from proto_loc.scaffold.names import clean, unique
from proto_loc.sources import Table
from proto_loc.sources.inspection import ColumnFacts, Inspection

LOADED = "_loaded_at"
"""Column that the lake adds: when the row was loaded, UTC."""
FILE = "_source_file"
"""Column that the lake adds to rows of files."""

WIDER = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "UTINYINT", "USMALLINT"), "INTEGER"),
    "UINTEGER": "BIGINT",
    "UBIGINT": "DECIMAL(20, 0)",
}
"""Whole numbers that DuckDB alone has, and a type of Trino and Iceberg for them."""

MANY = 10_000
"""The most values of a text that is a dimension of the metrics."""


@dataclass(frozen=True)
class Column:
    """A column of a staging model or mart."""

    name: str
    type: str
    """DuckDB's type, in capitals."""
    description: str
    expression: str = ""
    """SQL that makes it from the table before; empty for a column of the same name."""
    facts: ColumnFacts = field(default_factory=lambda: ColumnFacts(0, 0))

    @property
    def is_text(self) -> bool:
        return self.type == "VARCHAR"

    @property
    def is_time(self) -> bool:
        return self.type in ("DATE", "TIMESTAMP")

    @property
    def is_whole(self) -> bool:
        return "INT" in self.type or bool(re.fullmatch(r"DECIMAL\(\d+, ?0\)", self.type))

    @property
    def is_number(self) -> bool:
        return bool(re.match(r"U?(TINY|SMALL|BIG)?INT|DECIMAL|DOUBLE", self.type))


@dataclass(frozen=True)
class Staged:
    """A table of the source with its staging model."""

    source: str
    table: Table
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    rows: int
    lake: tuple[str, ...]
    """Columns of the lake that it has, of :data:`LOADED` and :data:`FILE`."""

    @property
    def model(self) -> str:
        return f"stg_{self.source}__{self.name}"

    @property
    def alias(self) -> str:
        """Name of its CTE."""
        return f"{self.name}_rows" if self.name == "final" else self.name

    @property
    def grain(self) -> str:
        """What a row is, as a sentence."""
        key = " and ".join(self.key)
        return f"One row per {key}." if key else f"One row per record of {self.table.name}."

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


def cleaned(table: Table) -> Table:
    """Give the columns of a table of files clean names; the files keep their headers."""
    names = dict(zip(table.columns, unique(map(clean, table.columns)), strict=True))
    if all(old == new for old, new in names.items()):
        return table
    form = table.format
    known = {column: header for header, column in form.headers.items()}
    headers = {known.get(old, old): new for old, new in names.items()}
    unit, separator, column = table.partition.partition(":")
    return replace(
        table,
        columns={names[old]: kind for old, kind in table.columns.items()},
        key=tuple(names[old] for old in table.key),
        partition=f"{unit}{separator}{names.get(column, column)}",
        format=replace(
            form,
            headers={header: name for header, name in headers.items() if header != name},
            dates={names[old]: pattern for old, pattern in form.dates.items()},
        ),
    )


def stage(name: str, inspection: Inspection) -> list[Staged]:
    """The tables with their staging models, in the order of the inspection."""
    of_files = not inspection.code
    tables = [table for table in inspection.tables if not table.name.startswith("_dlt")]
    short = unique(clean(table.name, "table") for table in tables)
    short_of = dict(zip((table.name for table in tables), short, strict=True))
    staged = []
    for table, table_name in zip(tables, short, strict=True):
        facts = inspection.columns.get(table.name, {})
        old = list(table.columns)
        table = cleaned(table) if of_files else table
        raw = [column for column in table.columns if not column.startswith("_dlt_")]
        names = dict(zip(raw, unique(map(clean, raw), ("loaded_at", "source_file")), strict=True))
        facts_of = dict(zip(table.columns, (facts.get(column) for column in old), strict=True))
        headers = {column: header for header, column in table.format.headers.items()}
        columns = tuple(
            _staged(column, names[column], table, facts_of[column], headers.get(column, column))
            for column in raw
        )
        columns += tuple(_rows(table, short_of, tables))
        key = tuple(names[column] for column in table.key if column in names)
        staged.append(
            Staged(
                name, table, table_name, columns,
                key if len(key) == len(table.key) else (),
                inspection.rows.get(table.name, 0),
                (LOADED, FILE) if of_files else (LOADED,),
            )
        )  # fmt: skip
    return staged


def _staged(raw: str, name: str, table: Table, facts: ColumnFacts | None, header: str) -> Column:
    kind = table.columns[raw].upper()
    written = raw if re.fullmatch(r"[a-z_][a-z0-9_]*", raw) and raw == clean(raw) else f'"{raw}"'
    words, expression = "", written if written != name else ""
    if kind.endswith("WITH TIME ZONE") or kind == "TIMESTAMPTZ":
        zone = table.format.time_zone or "UTC"
        kind, expression = "TIMESTAMP", f"cast({written} at time zone '{zone}' as timestamp)"
        words = f", in the time of {zone}"
    elif kind.startswith("TIMESTAMP") or kind == "DATETIME":
        kind, expression = (
            "TIMESTAMP",
            expression if kind == "TIMESTAMP" else _cast(written, "TIMESTAMP"),
        )
    elif kind in ("FLOAT", "REAL"):
        kind, expression = "DOUBLE", _cast(written, "DOUBLE")
    elif wide := WIDER.get(kind):
        kind, expression = wide, _cast(written, wide)
    elif kind.startswith(("STRUCT", "MAP")) or kind.endswith("]"):
        kind, expression = "VARCHAR", f"{{{{ loc_json({_in_jinja(written)}) }}}}"
        words = ", as JSON"
    elif kind in ("JSON", "UUID") or kind.startswith("ENUM"):
        kind, expression = "VARCHAR", _cast(written, "VARCHAR")
    elif kind == "BLOB":
        kind, expression = "VARCHAR", f"to_base64({written})"
        words = ", in base 64"
    kind = {"INT": "INTEGER", "TEXT": "VARCHAR", "BOOL": "BOOLEAN"}.get(kind, kind)
    description = f"Column {header!r} of {table.name}, as loaded{words}."
    return Column(name, kind, description, expression, facts or ColumnFacts(0, 0))


def _cast(column: str, kind: str) -> str:
    return f"cast({column} as {kind.lower()})"


def _in_jinja(text: str) -> str:
    """A text as a string of Jinja."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _rows(table: Table, short: Mapping[str, str], tables: Iterable[Table]) -> Iterable[Column]:
    """The columns that join a table with the lists that dlt found in its rows."""
    many = ColumnFacts(MANY + 1, 0)
    if any(getattr(other, "parent", "") == table.name for other in tables):
        yield Column(
            f"{short[table.name]}_row", "VARCHAR", "The row, as dlt numbers it.", "_dlt_id", many
        )
    if parent := short.get(getattr(table, "parent", "")):
        text = f"The row of {parent} that this one is of."
        yield Column(f"{parent}_row", "VARCHAR", text, "_dlt_parent_id", many)
