"""Removes and restores relations in a session's file, and reads the rows of a failing test."""

from collections.abc import Collection, Mapping
from contextlib import suppress

import duckdb

from proto_loc.sql import identifier

Name = tuple[str, str]
"""Schema and name of a relation, in lower case, as DuckDB compares them."""

ROWS, WIDTH = 10, 300
"""How many rows of a failing test are shown, and how many characters of each."""


def remove(
    con: duckdb.DuckDBPyConnection, *, keep: Collection[Name], rebuild: Collection[Name]
) -> list[str]:
    """Drop each table and view that is not in ``keep`` or is in ``rebuild``, then empty schemas.

    Returns:
        ``schema.name`` of those that were not in ``keep``.
    """
    existing = con.execute(
        "select schema_name, view_name, 'view' from duckdb_views() where not internal and"
        " database_name = current_database() union all select schema_name, table_name, 'table' from"
        " duckdb_tables() where not internal and database_name = current_database() order by all"
    ).fetchall()
    keys = {row: (row[0].lower(), row[1].lower()) for row in existing}
    old = [row for row in existing if keys[row] not in keep]
    _drop(con, [*old, *(row for row in existing if keys[row] in rebuild)])
    for (schema,) in con.execute(
        "select schema_name from duckdb_schemas() where not internal and schema_name <> 'main' "
        "and database_name = current_database()"
    ).fetchall():
        with suppress(duckdb.DependencyException):  # it is not empty
            con.execute(f"drop schema {identifier(schema)}")
    return [f"{schema}.{name}" for schema, name, _ in old]


def _drop(con: duckdb.DuckDBPyConnection, relations: list[tuple[str, str, str]]) -> None:
    """Drop relations; a table that a foreign key points to goes after the table with the key."""
    while relations:
        remaining = []
        for schema, name, kind in relations:
            try:
                con.execute(f"drop {kind} {identifier(schema, name)}")
            except duckdb.CatalogException:
                if len(relations) == 1:
                    raise
                remaining.append((schema, name, kind))
        if len(remaining) == len(relations):
            raise duckdb.CatalogException(f"tables that refer to each other: {remaining}")
        relations = remaining


def views(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """``schema.name`` of each view → the statement that makes it."""
    rows = con.execute(
        "select schema_name || '.' || view_name, sql from duckdb_views() "
        "where not internal and database_name = current_database() order by 1"
    ).fetchall()
    return dict(rows)


def restore(con: duckdb.DuckDBPyConnection, statements: Mapping[str, str]) -> None:
    """Recreate the views that a published file cannot hold, for a build or test of some models.

    A view whose tables no longer exist is left out; dbt names it if a model needs it.
    """
    waiting = [sql for name, sql in statements.items() if name not in views(con)]
    while waiting:
        remaining = []
        for sql in waiting:
            try:
                con.execute(sql)
            except duckdb.Error:  # it may read a view that comes later
                remaining.append(sql)
        if len(remaining) == len(waiting):
            return
        waiting = remaining


def failing_rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """The first rows that a test's SQL finds, one line per row; empty if the SQL fails."""
    try:
        result = con.execute(f"select * from (\n{sql}\n) limit {ROWS}")
        names = [column[0] for column in result.description]
        rows = result.fetchall()
    except duckdb.Error:
        return []
    lines = (
        ", ".join(f"{n}: {'null' if v is None else v}" for n, v in zip(names, row, strict=True))
        for row in rows
    )
    return [
        printable(line if len(line) <= WIDTH else f"{line[:WIDTH]}…", keep="") for line in lines
    ]


def printable(text: str, keep: str = "\n") -> str:
    """Text with control characters and marks of the writing direction escaped.

    Args:
        keep: characters that stay as they are.
    """
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )
