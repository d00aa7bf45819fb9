"""Removes relations of a session, and reads the rows of a failing test."""

from collections.abc import Collection
from contextlib import suppress

from proto_loc.sql import identifier
from proto_loc.warehouse.engine import Connection, Relation
from proto_loc.warehouse.session import Session

Name = tuple[str, str]
"""Schema and name of a relation, in lower case, as DuckDB compares them."""

ROWS, WIDTH = 10, 300
"""How many rows of a failing test are shown, and how many characters of each."""


def remove(
    session: Session, con: Connection, *, keep: Collection[Name], rebuild: Collection[Name]
) -> list[str]:
    """Drop each table and view that is not in ``keep`` or is in ``rebuild``, then empty schemas.

    Returns:
        ``schema.name`` of those that were not in ``keep``.
    """
    existing = session.engine.relations(con)
    keys = {row: (row.schema.lower(), row.name.lower()) for row in existing}
    old = [row for row in existing if keys[row] not in keep]
    _drop(session, con, [*old, *(row for row in existing if keys[row] in rebuild)])
    # A schema that is not empty stays.
    for schema in sorted({row.schema for row in existing} - {"main"}):
        with suppress(session.engine.error):
            con.execute(f"drop schema {identifier(schema)}")
    return [f"{schema}.{name}" for schema, name, _ in old]


def _drop(session: Session, con: Connection, relations: list[Relation]) -> None:
    """Drop relations; a table that a foreign key points to goes after the table with the key."""
    while relations:
        remaining = []
        for schema, name, kind in relations:
            try:
                con.execute(f"drop {kind} {identifier(schema, name)}")
            except session.engine.missing:  # DuckDB says so of a table to which a key points
                if len(relations) == 1:
                    raise
                remaining.append((schema, name, kind))
        if len(remaining) == len(relations):
            raise session.engine.missing(f"tables that refer to each other: {remaining}")
        relations = remaining


def failing_rows(con: Connection, sql: str) -> list[str]:
    """The first rows that a test's SQL finds, one line per row.

    Raises:
        Engine.error: the SQL fails.
    """
    result = con.execute(f"select * from (\n{sql}\n) limit {ROWS}")
    names = [column[0] for column in result.description]
    rows = result.fetchall()
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
