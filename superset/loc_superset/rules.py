"""A second look at the rules of row-level security, at the statement that is about to run.

Superset 6.1 writes a person's rules into their SQL where it finds the table by exactly the name of its dataset. DuckDB
reads the same table by other names too (``marts.MART_TAXI_TRIPS``, ``prod.marts.mart_taxi_trips``), and there are
statements that Superset's parser does not look into (PIVOT, SUMMARIZE). So DuckDB's own parse tree decides: where a
statement reads a table that has rules for the person who asks, they must stand there.
"""

from collections.abc import Iterator
from functools import lru_cache

from flask import g

from proto_loc import guard


def hold(statement: str) -> None:
    """Raise where it reads a table without the rules that the person who asks has for it.

    Raises:
        guard.Refused: it does, or may not run at all.
    """
    wanted = _of_the_person()
    if not wanted:
        return
    stack: list = [guard.tree(statement)]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        if not isinstance(node, dict):
            continue
        if node.get("type") == "SHOW_REF" and node.get("show_type") == "DESCRIBE":
            continue  # it says columns, and reads no row
        if (name := _table(node)) in wanted:
            raise guard.Refused(
                f"You may read only some rows of {name}.",
                "A rule says which ones, and it cannot be put into this form of query.",
                f"Write SELECT ... FROM with the table's name as it is in the list of tables: {name}.",
            )
        source = node.get("from_table")
        if isinstance(source, dict) and _table(source) in wanted and not source.get("column_name_alias"):
            there = _parts(node.get("where_clause"))
            if all(any(form <= there for form in forms) for forms in wanted[_table(source)]):
                node = {key: value for key, value in node.items() if key != "from_table"}
        stack.extend(node.values())


def _table(node: dict) -> str | None:
    """The name of the table that a node of the tree reads, in small letters; in whichever schema."""
    return str(node.get("table_name")).lower() if node.get("type") == "BASE_TABLE" else None


def _of_the_person() -> dict[str, list[list[frozenset[str]]]]:
    """By table, for each rule that must hold, the conditions that it comes to, in each form that it may have."""
    user = getattr(g, "user", None) if g else None
    if user is None:
        return {}  # no person asks, as in provisioning
    known = g.setdefault("loc_rules", {})  # by person: Superset can act as another one within a request
    name = getattr(user, "username", "")
    if name not in known:
        known[name] = {table: [forms(clause) for clause in clauses] for table, clauses in _clauses().items()}
    return known[name]


def _clauses() -> dict[str, list[str]]:
    from superset.connectors.sqla.models import RLSFilterTables, SqlaTable
    from superset.extensions import db

    ruled = db.session.query(RLSFilterTables.c.table_id)
    found: dict[str, list[str]] = {}
    for table in db.session.query(SqlaTable).filter(SqlaTable.id.in_(ruled)):
        clauses = [
            str(clause.compile(compile_kwargs={"literal_binds": True})) for clause in table.get_sqla_row_level_filters()
        ]
        if clauses and not table.sql:
            found.setdefault(table.table_name.lower(), []).extend(clauses)
    return found


@lru_cache(maxsize=256)
def forms(clause: str) -> list[frozenset[str]]:
    """The conditions that a rule comes to, as it was written, and as Superset's parser writes it.

    Raises:
        guard.Refused: DuckDB does not read it as a condition.
        superset.exceptions.SupersetParseError: Superset does not.
    """
    from superset.sql.parse import SQLStatement

    statement = f"SELECT 1 WHERE {clause}"
    texts = {statement, SQLStatement(statement, "duckdb").format()}
    return [_parts(guard.tree(text)["node"].get("where_clause")) for text in texts]


def _parts(condition: dict | None) -> frozenset[str]:
    """The conditions that all must hold, as texts to compare."""
    return frozenset(map(_text, _all(condition))) if condition else frozenset()


def _all(condition: dict) -> Iterator[dict]:
    if condition.get("type") == "CONJUNCTION_AND":
        for part in condition["children"]:
            yield from _all(part)
    else:
        yield condition


def _text(node: object) -> str:
    if isinstance(node, dict):
        kept = sorted((key, _text(value)) for key, value in node.items() if key not in ("query_location", "alias"))
        return str(kept)
    return str([_text(each) for each in node]) if isinstance(node, list) else repr(node)
