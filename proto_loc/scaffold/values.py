"""Finds keys of one table among the values of another, where the columns' names differ."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from proto_loc.scaffold.plan import Join, joins_by_name
from proto_loc.scaffold.staged import Staged
from proto_loc.sources.files import scratch_folder
from proto_loc.sources.reading import read
from proto_loc.sql import identifier, open_duckdb

LARGEST = 200_000
"""The most rows of a table whose key is looked for."""
LONGEST = 64
"""The most characters of a text that may be a key."""
SHARE = 0.9
"""Share of the different values that must be in the key."""


def joins_by_value(
    tables: Sequence[Staged], paths: Mapping[str, Sequence[Path]]
) -> dict[str, list[Join]]:
    """Joins of texts that are keys of another table, by table; ``origin`` in ``airports.faa``.

    Args:
        paths: the files of each table of the declaration.

    Raises:
        LocError: a file cannot be read by its declaration.
    """
    keyed = {
        table.name: table
        for table in tables
        if len(table.key) == 1 < len(table.columns)
        and table.column(table.key[0]).is_text
        and table.rows <= LARGEST
    }
    columns = {table.name: _open_columns(table, tables) for table in tables}
    if not keyed or not any(columns.values()):
        return {}
    needed = {
        table.name: [*columns[table.name], *(table.key if table.name in keyed else ())]
        for table in tables
    }
    values = {
        table.name: _values(table, needed[table.name], paths[table.table.name])
        for table in tables
        if needed[table.name]
    }
    joins: dict[str, list[Join]] = {}
    for table in tables:
        for column in columns[table.name]:
            own = values[table.name][column]
            for other in keyed.values():
                known = values[other.name][other.key[0]]
                if other is table or min(len(own), len(known)) < 2:
                    continue
                if len(own & known) >= SHARE * len(own):
                    alias = f"{column}_{other.name}"
                    on = ((column, other.key[0]),)
                    joins.setdefault(table.name, []).append(Join(other, on, alias))
                    break
    return joins


def _open_columns(table: Staged, tables: Sequence[Staged]) -> list[str]:
    """Texts that may be a key of another table: not the own key, or joined by name already."""
    joins = joins_by_name(table, tables)
    joined = {here for join in joins for here, _ in join.on if len(join.on) == 1}
    return [
        column.name
        for column in table.columns
        if column.is_text
        and (column.name,) != table.key
        and column.name not in joined
        and 1 < column.facts.distinct <= LARGEST
        and all(len(sample) <= LONGEST for sample in column.facts.samples)
    ]


def _values(table: Staged, columns: Sequence[str], paths: Sequence[Path]) -> dict[str, set[str]]:
    """The different values of some columns; each file is read once."""
    raw = dict(zip((c.name for c in table.columns), table.table.columns, strict=False))
    values: dict[str, set[str]] = {column: set() for column in columns}
    for path in paths:
        with scratch_folder() as scratch, open_duckdb(scratch / "rows.duckdb") as con:
            read(con, table.table, path, scratch)
            for column in columns:
                name = identifier(raw[column])
                query = f"select distinct {name} from rows where {name} is not null"
                values[column] |= {value for (value,) in con.execute(query).fetchall()}
    return values
