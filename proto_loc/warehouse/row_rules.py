"""Writes rules of which rows a person sees into SQL, and looks for them before it runs.

DuckDB reads one table by several names (``marts.ORDERS``, ``prod.marts.orders``), and in forms that
parsers of SQL do not look into (PIVOT, SUMMARIZE). So DuckDB's own parse tree decides. ``put``
replaces each name of a table that has rules by a subquery with them, and leaves the rest of the
text as it is. ``hold`` is the second look: where a statement reads such a table, its rules must
stand there. Both take, by the table's name in small letters, the conditions that must all hold.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from proto_loc.sql import identifier
from proto_loc.warehouse import guard

_PART = rb'(?:"(?:[^"]|"")+"|[\w$\x80-\xff]+)'
_GAP = rb"(?:\s|/\*.*?\*/|--[^\r\n]*[\r\n])*"
_NAME = re.compile(_PART + rb"(?:" + _GAP + rb"\." + _GAP + _PART + rb")*", re.DOTALL)
"""The name of a table, at its place in the text."""
_OF_A_TABLE = ("type", "alias", "catalog_name", "schema_name", "table_name", "query_location")
"""What a node of the tree that reads a table has, and one that reads a subquery has not, or
differently.
"""


def tables(tree: object) -> set[tuple[str | None, str]]:
    """The tables that a statement reads: schema, if one is written, and name; CTEs are none."""
    names = ctes(tree)
    return {
        (node.get("schema_name"), node["table_name"])
        for node in guard.nodes(tree)
        if _table(node) and (node.get("schema_name") or _table(node) not in names)
    }


def put(statement: str, clauses: dict[str, list[str]]) -> str:
    """The statement, with its rules in place of each table that has some.

    Raises:
        guard.Refused: they cannot be put there and all else stay as it is; or it may not run at
            all.
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
    """The nodes that read rows of a table that has rules."""
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
    """Whether the one tree is the other one, but for the rules."""
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
    """The names that WITH clauses define, in small letters."""
    maps = (node["cte_map"].get("map", ()) for node in guard.nodes(tree) if "cte_map" in node)
    return {str(entry["key"]).lower() for entries in maps for entry in entries}


def _cannot(name: str) -> guard.Refused:
    return guard.Refused(
        f"You may read only some rows of {name}.",
        "A rule says which ones, and it cannot be put into this form of query.",
        f"Write SELECT ... FROM with the table's name as it is in the list of tables: {name}.",
    )


def hold(statement: str, clauses: dict[str, list[str]]) -> None:
    """Raise where it reads a table without the rules that there are for it.

    Raises:
        guard.Refused: it does, or may not run at all.
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
    """The name of the table that a node of the tree reads, in small letters; in whichever
    schema.
    """
    return str(node.get("table_name")).lower() if node.get("type") == "BASE_TABLE" else None


def _describes(node: dict) -> bool:
    """Whether it says columns, and reads no row."""
    return node.get("type") == "SHOW_REF" and node.get("show_type") == "DESCRIBE"


@lru_cache(maxsize=256)
def conditions(clause: str) -> frozenset[str]:
    """The conditions that a rule comes to.

    Raises:
        guard.Refused: DuckDB does not read it as a condition.
    """
    guard.check(f"SELECT 1 WHERE {clause}")  # with its own parentheses in balance
    return _parts(guard.tree(f"SELECT 1 WHERE ({clause})")["node"].get("where_clause"))


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
        kept = sorted(
            (key, _text(value))
            for key, value in node.items()
            if key not in ("query_location", "alias")
        )
        return str(kept)
    return str([_text(item) for item in node]) if isinstance(node, list) else repr(node)
