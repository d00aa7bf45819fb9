"""Applies Superset's row-level security rules to SQL that people write.

Superset 6.1 applies a person's rules only if a table has exactly the name of its dataset, but
engines accept other spellings too. The door's SQL covers them (:mod:`proto_loc.superset.doors`).
"""

from flask import g

from proto_loc.superset.doors import door


def put(statement: str) -> str:
    """Replace each table that has rules for the user by a subquery with these rules.

    Raises:
        guard.Refused: this is not possible, or the statement may not run.
    """
    return door().sql.put(statement, _of_the_person())


def ready(statement: str) -> str:
    """The statement to run, which reads no table without the user's rules for it.

    Raises:
        guard.Refused: it reads such a table, or it may not run.
    """
    return door().sql.ready(statement, _of_the_person())


def _of_the_person() -> dict[str, list[str]]:
    """The user's rules: table → conditions, which must all hold."""
    user = getattr(g, "user", None) if g else None
    if user is None:
        return {}  # there is no user, as in provisioning
    known = g.setdefault("loc_rules", {})  # by user, as Superset can switch it within a request
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
