"""What a session's file of ``prod`` holds besides what dbt builds now: what is old, what is gone,
what a test finds.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress

import duckdb

from proto_loc.sql import identifier

Name = tuple[str, str]
"""Schema and name of a relation, in lower case, as DuckDB compares them."""

ROWS, WIDTH = 10, 300
"""Rows of a failing test that are shown, and characters of each."""


def remove(
    con: duckdb.DuckDBPyConnection, *, keep: Collection[Name], rebuild: Collection[Name]
) -> list[str]:
    """Drop each table and view that is none of ``keep``, or is one of ``rebuild``; schemas that are
    empty then, too.

    Returns:
        ``schema.name`` of those that were none of ``keep``.
    """
    existing = con.execute(
        "select schema_name, view_name, 'view' from duckdb_views() where not internal and"
        " database_name = current_database() union all select schema_name, table_name, 'table' from"
        " duckdb_tables() where not internal and database_name = current_database() order by all"
    ).fetchall()
    old = [
        (schema, name, kind)
        for schema, name, kind in existing
        if (schema.lower(), name.lower()) not in keep
    ]
    again = [
        (schema, name, kind)
        for schema, name, kind in existing
        if (schema.lower(), name.lower()) in rebuild
    ]
    _drop(con, [*old, *again])
    for (schema,) in con.execute(
        "select schema_name from duckdb_schemas() where not internal and schema_name <> 'main' "
        "and database_name = current_database()"
    ).fetchall():
        with suppress(duckdb.DependencyException):  # it holds something
            con.execute(f"drop schema {identifier(schema)}")
    return [f"{schema}.{name}" for schema, name, _ in old]


def _drop(con: duckdb.DuckDBPyConnection, relations: list[tuple[str, str, str]]) -> None:
    """Drop relations, a table that a foreign key of another one points to after that one."""
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
    """Make the views again that a published file cannot hold, for a build or test of a part of the
    models.

    One whose tables are there no more is left out: dbt names it where it is needed.
    """
    waiting = [sql for name, sql in statements.items() if name not in views(con)]
    while waiting:
        remaining = []
        for sql in waiting:
            try:
                con.execute(sql)
            except duckdb.Error:  # it may read one that comes after it
                remaining.append(sql)
        if len(remaining) == len(waiting):
            return
        waiting = remaining


def failing_rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """The first rows that a test's SQL finds, a line each; none where it cannot be run."""
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
    """Text with escapes in place of control characters and of those that change the direction
    of writing.
    """
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )
