"""Columns of the tables that dlt fetches, and their DuckDB types."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace as changed
from functools import cache

import duckdb

from proto_loc.errors import LocError
from proto_loc.sources import Table
from proto_loc.sources.dlt.declaration import DltTable
from proto_loc.sources.dlt.state import State
from proto_loc.sql import open_duckdb

IDS = {"_dlt_id": "VARCHAR", "_dlt_parent_id": "VARCHAR", "_dlt_list_idx": "BIGINT"}
"""Columns that join a table with the lists in its rows: a row's own id, the id of its parent row,
and its position in the list, from 0."""

ADDED = {"_load_id": "BIGINT", "_loaded_at": "TIMESTAMP"}
"""Columns that the lake adds: the load, and the time (UTC) when the row was fetched."""


@cache
def canonical(kind: str) -> str:
    """DuckDB's own name of a type, such as ``TIMESTAMP WITH TIME ZONE`` for ``timestamptz``.

    Raises:
        duckdb.Error: DuckDB has no such type.
    """
    with open_duckdb() as con:
        return con.execute(f"select typeof(null::{kind})").fetchone()[0]


def family_tables(declared: Sequence[DltTable], last: State) -> dict[str, DltTable]:
    """The declared tables with the columns that evolved, and the lists that evolved, by name."""
    tables = {}
    for table in declared:
        columns = _canonical(table) | last.columns.get(table.name, {})
        tables[table.name] = changed(table, columns=columns)
    for name, parent in last.parents.items():
        if name not in tables:
            tables[name] = DltTable(name, last.columns.get(name, {}), parent=parent, min_rows=0)
    return tables


def stored_tables(declared: Sequence[DltTable], last: State) -> list[Table]:
    """The tables as the lake stores them, with the columns that join them and those it adds."""
    tables = family_tables(declared, last)
    parents = {table.parent for table in tables.values()}
    return [
        Table(
            table.name,
            {**table.columns, **_ids(table, table.name in parents), **ADDED},
            key=table.key,
            partition="file" if root_of(table, tables).mode == "append" else table.partition,
            min_rows=table.min_rows,
            fresh_within=table.fresh_within,
            description=table.description,
        )
        for table in tables.values()
    ]


def root_of(table: DltTable, tables: Mapping[str, DltTable]) -> DltTable:
    """The table at the top of a table's family."""
    while table.parent:
        table = tables[table.parent]
    return table


def _ids(table: DltTable, is_parent: bool) -> dict[str, str]:
    names = ["_dlt_id"] if is_parent else []
    names += ["_dlt_parent_id", "_dlt_list_idx"] if table.parent else []
    return {name: kind for name, kind in IDS.items() if name in names}


def _canonical(table: DltTable) -> dict[str, str]:
    columns = {}
    for column, kind in table.columns.items():
        try:
            columns[column] = canonical(kind)
        except duckdb.Error as error:
            raise LocError(
                f"table {table.name}, column {column}: {kind!r} is no type of DuckDB.",
                str(error).splitlines()[0],
                "Mend the declaration in pipelines/.",
            ) from error
        if re.match("BIT|ENUM|TIMESTAMP_S", columns[column]):  # HUGEINT: see Table
            raise LocError(
                f"table {table.name}, column {column}: the lake cannot hold {kind}.",
                "Its files are Parquet, which has no such type.",
                "Declare another one in pipelines/.",
            )
    return columns
