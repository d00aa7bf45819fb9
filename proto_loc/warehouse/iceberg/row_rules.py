"""Applies row-level security to SQL of Trino: puts the rules into a statement, and checks them.

It does for Trino what :mod:`proto_loc.warehouse.row_rules` does with DuckDB's own parser. ``put``
replaces the name of each table that has rules by a subquery with them, and keeps the rest of the
text. Two readings must find the same tables, see :mod:`proto_loc.warehouse.iceberg.statements`; a
statement on which they differ is refused. Both functions take a list of conditions per table, by
the table's name in lower case; a row must meet all conditions.
"""

from collections.abc import Iterator
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from proto_loc.sql import identifier
from proto_loc.warehouse.guard import Refused
from proto_loc.warehouse.iceberg import statements

_ALLOWED = {"this", "db", "catalog", "alias"}
"""What the node of a table with rules may have: all else would stand at the subquery."""


def put(statement: str, clauses: dict[str, list[str]]) -> str:
    """Replace each table that has rules by a subquery with them.

    Raises:
        Refused: the statement is not allowed, or has a form that cannot take the rules.
    """
    known = statements.read(statement)
    if not clauses or known.tree is None:
        return known.sql
    if both := known.ctes & clauses.keys():
        name = min(both)
        raise Refused(
            f"A WITH clause names {name}.",
            "You may read only some rows of the table of that name, and the two would be mixed up.",
            "Give what the WITH clause defines another name.",
        )
    if not known.agrees:
        raise _cannot(min(clauses))
    text, places = known.text, [one for one in known.relations if one.name in clauses]
    for place in reversed(places):
        name = text[place.start : place.end]
        alias = "" if place.has_alias else f" AS {identifier(place.name)}"
        filtered = f"(SELECT * FROM {name} WHERE {_joined(clauses[place.name])}){alias}"
        text = text[: place.start] + filtered + text[place.end :]
    if not places:
        return known.sql
    try:
        ruled = statements.read(text)
        is_same = _same_but_rules(known.tree, ruled.tree, clauses)
    except Refused as error:
        raise _cannot(places[0].name) from error
    except RecursionError:
        raise statements.too_deep() from None
    if not is_same:
        raise _cannot(places[0].name)
    return known.explain + ruled.text


def hold(statement: str, clauses: dict[str, list[str]]) -> None:
    """Raise if a statement reads a table without its rules.

    Raises:
        Refused: it reads such a table, or is not allowed at all.
    """
    known = statements.read(statement)
    if not clauses or known.tree is None:
        return
    if both := known.ctes & clauses.keys():
        raise _cannot(min(both))
    named = {one.name for one in known.relations} | {name for _, name in known.tables}
    if not named & clauses.keys():
        return
    if not known.agrees:
        raise _cannot(min(named & clauses.keys()))
    for table in _ruled(known.tree, clauses):
        select = _only_reads(table)
        try:
            present = _conditions(select.args.get("where")) if select is not None else frozenset()
        except RecursionError:
            raise statements.too_deep() from None
        if not all(conditions(clause) <= present for clause in clauses[table.name.lower()]):
            raise _cannot(table.name.lower())


def require_agreement(known: statements.Statement) -> None:
    """Raise if the two readings of a statement find different tables.

    Raises:
        Refused: they do.
    """
    if not known.agrees:
        raise Refused(
            "It is not certain which tables this reads.",
            "You may read only some rows, and two readings of the statement differ.",
            "Write it more simply: SELECT ... FROM with names of tables, without TABLE.",
        )


@lru_cache(maxsize=256)
def conditions(clause: str) -> frozenset[str]:
    """The conditions of a rule, split at AND.

    Raises:
        Refused: it is no condition of Trino's SQL.
    """
    statements.check(f"SELECT 1 WHERE {clause}")  # refuses unbalanced parentheses
    tree = statements.read(f"SELECT 1 WHERE ({clause})").tree
    if any(value for key, value in tree.args.items() if key not in ("expressions", "where")):
        raise Refused("A rule is no condition.", f"It is {clause}.", "Correct the rule.")
    return _conditions(tree.args.get("where"))


def _joined(clauses: list[str]) -> str:
    for clause in clauses:
        conditions(clause)
    return " AND ".join(f"({clause})" for clause in clauses)


def _ruled(tree: exp.Expression, clauses: dict[str, list[str]]) -> Iterator[exp.Table]:
    return (table for table in tree.find_all(exp.Table) if table.name.lower() in clauses)


def _only_reads(table: exp.Table) -> exp.Select | None:
    """The SELECT that reads this table and no other; None if there is another or a column alias."""
    source = table.parent
    select = source.parent if isinstance(source, exp.From) else None
    if not isinstance(select, exp.Select) or _further(table):
        return None
    if any(select.args.get(key) for key in ("joins", "laterals", "pivots", "match")):
        return None
    alias = table.args.get("alias")
    return None if alias is not None and alias.args.get("columns") else select


def _further(table: exp.Table) -> set[str]:
    """What the node of a table has besides its name and alias."""
    return {key for key, value in table.args.items() if value and key not in _ALLOWED}


def _conditions(where: exp.Expression | None) -> frozenset[str]:
    """The conditions that AND combines, as texts to compare."""
    return frozenset(map(_text, _all(where.this))) if where is not None else frozenset()


def _all(condition: exp.Expression) -> Iterator[exp.Expression]:
    if isinstance(condition, exp.And):
        yield from _all(condition.left)
        yield from _all(condition.right)
    elif isinstance(condition, exp.Paren):
        yield from _all(condition.this)
    else:
        yield condition


def _text(node: object) -> str:
    """A node with all of its parts, as a text to compare; names as Trino compares them."""
    if isinstance(node, exp.Identifier):
        return f"Identifier({node.name.lower()!r})"
    if isinstance(node, exp.Expression):
        parts = sorted(
            (key, _text(value))
            for key, value in node.args.items()
            if value not in (None, [], False)
        )
        return f"{type(node).__name__}({parts})"
    return str([_text(item) for item in node]) if isinstance(node, list) else repr(node)


def _same_but_rules(
    written: exp.Expression, ruled: exp.Expression, clauses: dict[str, list[str]]
) -> bool:
    """Whether the second tree is the first one with the rules, and nothing else."""
    expected = written.copy()
    for table in list(_ruled(expected, clauses)):
        if _further(table):
            return False
        name = table.name.lower()
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(name, quoted=True))
        bare = identifier(*(part for part in (table.db, table.name) if part))
        try:
            subquery = sqlglot.parse_one(
                f"SELECT * FROM (SELECT * FROM {bare} WHERE {_joined(clauses[name])})"
                f" AS {identifier('t')}",
                read=statements.DIALECT,
            )
        except SqlglotError:
            return False
        inside = subquery.find(exp.Subquery)
        inside.set("alias", alias.copy())
        if table is expected:
            return False
        table.replace(inside)
    return _text(expected) == _text(ruled)


def _cannot(name: str) -> Refused:
    return Refused(
        f"You may read only some rows of {name}.",
        "A rule says which ones, and it cannot be put into this form of query.",
        f"Write SELECT ... FROM with the table's name as it is in the list of tables: {name}.",
    )
