"""Applies row-level security to SQL: puts the rules into a statement, and checks for them.

A table has several names (``marts.ORDERS``, ``prod.marts.orders``), and other SQL parsers do not
read all forms (PIVOT, SUMMARIZE), so DuckDB's own parse tree is used. ``put`` replaces the name of
each table that has rules by a subquery that applies them, and keeps the rest of the text. ``hold``
checks a statement before it runs: wherever the statement reads such a table, the rules must be
present. Both functions take a list of conditions per table, by the table's name in lower case; a
row must meet all conditions.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from proto_loc.sql import identifier
from proto_loc.warehouse import guard

_PART = rb'(?:"(?:[^"]|"")+"|[\w$\x80-\xff]+)'
_GAP = rb"(?:\s|/\*.*?\*/|--[^\r\n]*[\r\n])*"
_NAME = re.compile(_PART + rb"(?:" + _GAP + rb"\." + _GAP + _PART + rb")*", re.DOTALL)
"""Matches the name of a table in the text."""
_OF_A_TABLE = ("type", "alias", "catalog_name", "schema_name", "table_name", "query_location")
"""Keys of a table's node in the parse tree that a subquery's node lacks or uses differently."""


def tables(tree: object) -> set[tuple[str | None, str]]:
    """The schema (or None) and name of each table that a statement reads, without CTEs."""
    names = ctes(tree)
    return {
        (node.get("schema_name"), node["table_name"])
        for node in guard.nodes(tree)
        if _table(node) and (node.get("schema_name") or _table(node) not in names)
    }


def put(statement: str, clauses: dict[str, list[str]]) -> str:
    """Replace each table that has rules by a subquery with them.

    Raises:
        guard.Refused: the statement is not allowed, or has a form that cannot take the rules.
    """
    tree = guard.tree(statement)
    if not clauses:
        return statement
    if both := ctes(tree) & clauses.keys():
        name = min(both)
        raise guard.Refused(
            f"A WITH clause names {name}.",
            "You may read only some rows of the table of that name, and the two would be mixed up.",
            "Give what the WITH clause defines another name.",
        )
    start = guard.explain(statement)
    text, places = (
        statement[len(start) :].encode(),
        sorted(_places(tree, clauses), key=lambda node: -node.get("query_location", 0)),
    )
    for node in places:
        name = _NAME.match(text, node.get("query_location", 0))
        if name is None:
            raise _cannot(_table(node))
        alias = b"" if node.get("alias") else f" AS {identifier(node['table_name'])}".encode()
        filtered = _filtered(name[0].decode(), clauses[_table(node)]).encode()
        text = text[: name.start()] + b"(" + filtered + b")" + alias + text[name.end() :]
    try:
        ruled = guard.tree(start + text.decode())
    except guard.Refused as error:
        raise _cannot(_table(places[0])) from error
    if not _same_but_rules(tree, ruled, clauses):
        raise _cannot(_table(places[0]))
    return start + text.decode()


def _filtered(name: str, clauses: list[str]) -> str:
    return f"SELECT * FROM {name} WHERE {' AND '.join(f'({clause})' for clause in clauses)}"


def _places(tree: object, clauses: dict[str, list[str]]) -> Iterator[dict]:
    """Find the nodes that read rows of a table with rules."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict) and not _describes(node):
            if _table(node) in clauses:
                yield node
            stack.extend(node.values())


def _same_but_rules(written: object, ruled: object, clauses: dict[str, list[str]]) -> bool:
    """Whether the two trees differ only by the rules."""
    stack = [(written, ruled)]
    while stack:
        one, other = stack.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            if _table(one) in clauses and other.get("type") == "SUBQUERY":
                parts = (one.get(part) for part in ("catalog_name", "schema_name", "table_name"))
                name = identifier(*filter(None, parts))
                subquery = guard.tree(_filtered(name, clauses[_table(one)]))
                own = {key: value for key, value in one.items() if key not in _OF_A_TABLE}
                own |= {
                    "type": "SUBQUERY",
                    "alias": one.get("alias", one["table_name"]),
                    "subquery": subquery,
                }
                if not guard.same(own, other):
                    return False
                continue
            keys = (one.keys() | other.keys()) - {"query_location"}
            if not keys <= one.keys() & other.keys():
                return False
            stack.extend((one[key], other[key]) for key in keys)
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            stack.extend(zip(one, other, strict=True))
        elif one != other:
            return False
    return True


def ctes(tree: object) -> set[str]:
    """The names that WITH clauses define, in lower case."""
    maps = (node["cte_map"].get("map", ()) for node in guard.nodes(tree) if "cte_map" in node)
    return {str(entry["key"]).lower() for entries in maps for entry in entries}


def _cannot(name: str) -> guard.Refused:
    return guard.Refused(
        f"You may read only some rows of {name}.",
        "A rule says which ones, and it cannot be put into this form of query.",
        f"Write SELECT ... FROM with the table's name as it is in the list of tables: {name}.",
    )


def hold(statement: str, clauses: dict[str, list[str]]) -> None:
    """Raise if a statement reads a table without its rules.

    Raises:
        guard.Refused: it reads such a table, or is not allowed at all.
    """
    if not clauses:
        return
    stack: list = [guard.tree(statement)]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        if not isinstance(node, dict):
            continue
        if _describes(node):
            continue
        if (name := _table(node)) in clauses:
            raise _cannot(name)
        source = node.get("from_table")
        if (
            isinstance(source, dict)
            and _table(source) in clauses
            and not source.get("column_name_alias")
        ):
            parts = _parts(node.get("where_clause"))
            if all(conditions(clause) <= parts for clause in clauses[_table(source)]):
                node = {key: value for key, value in node.items() if key != "from_table"}
        stack.extend(node.values())


def _table(node: dict) -> str | None:
    """The name of the table that a node reads, in lower case and without its schema."""
    return str(node.get("table_name")).lower() if node.get("type") == "BASE_TABLE" else None


def _describes(node: dict) -> bool:
    """Whether a node describes columns and reads no rows."""
    return node.get("type") == "SHOW_REF" and node.get("show_type") == "DESCRIBE"


@lru_cache(maxsize=256)
def conditions(clause: str) -> frozenset[str]:
    """The conditions of a rule, split at AND.

    Raises:
        guard.Refused: DuckDB does not parse the rule as a condition.
    """
    guard.check(f"SELECT 1 WHERE {clause}")  # refuses unbalanced parentheses
    return _parts(guard.tree(f"SELECT 1 WHERE ({clause})")["node"].get("where_clause"))


def _parts(condition: dict | None) -> frozenset[str]:
    """The conditions that AND combines, as texts to compare."""
    return frozenset(map(_text, _all(condition))) if condition else frozenset()


def _all(condition: dict) -> Iterator[dict]:
    if condition.get("type") == "CONJUNCTION_AND":
        for part in condition["children"]:
            yield from _all(part)
    else:
        yield condition


def _text(node: object) -> str:
    if isinstance(node, dict):
        kept = sorted(
            (key, _text(value))
            for key, value in node.items()
            if key not in ("query_location", "alias")
        )
        return str(kept)
    return str([_text(item) for item in node]) if isinstance(node, list) else repr(node)
