"""Row-level security in SQL that people write, by :mod:`proto_loc.warehouse.row_rules`.

Superset 6.1 writes a person's rules into their SQL where it finds the table by exactly the name of
its dataset; DuckDB reads the same table by other names too.
"""

from flask import g

from proto_loc.warehouse import row_rules
from proto_loc.warehouse.row_rules import tables

__all__ = ["hold", "put", "tables"]


def put(statement: str) -> str:
    """The statement, with the rules for the person who asks in place of each table that has some.

    Raises:
        guard.Refused: they cannot be put there, or it may not run at all.
    """
    return row_rules.put(statement, _of_the_person())


def hold(statement: str) -> None:
    """Raise where it reads a table without the rules that the person who asks has for it.

    Raises:
        guard.Refused: it does, or may not run at all.
    """
    row_rules.hold(statement, _of_the_person())


def _of_the_person() -> dict[str, list[str]]:
    """By table, the conditions of the rules that must all hold."""
    user = getattr(g, "user", None) if g else None
    if user is None:
        return {}  # no person asks, as in provisioning
    known = g.setdefault(
        "loc_rules", {}
    )  # by person: Superset can act as another one within a request
    name = getattr(user, "username", "")
    if name not in known:
        known[name] = _clauses()
    return known[name]


def _clauses() -> dict[str, list[str]]:
    from superset.connectors.sqla.models import RLSFilterTables, SqlaTable
    from superset.extensions import db

    ruled = db.session.query(RLSFilterTables.c.table_id)
    by_table: dict[str, list[str]] = {}
    for table in db.session.query(SqlaTable).filter(SqlaTable.id.in_(ruled)):
        clauses = [
            str(clause.compile(compile_kwargs={"literal_binds": True}))
            for clause in table.get_sqla_row_level_filters()
        ]
        if clauses and not table.sql:
            by_table.setdefault(table.table_name.lower(), []).extend(clauses)
    return by_table
