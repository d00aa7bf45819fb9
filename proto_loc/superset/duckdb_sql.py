"""Reads DuckDB's SQL with DuckDB's own parser; implements :class:`proto_loc.superset.doors.Sql`."""

from proto_loc.superset.doors import Rules
from proto_loc.warehouse import guard, row_rules

split = guard.split
parse = guard.tree
same = guard.same
tables = row_rules.tables
put = row_rules.put


def keeps(pretty: str, sql: str) -> bool:
    """Whether DuckDB parses both to the same tree."""
    try:
        return same(parse(pretty), parse(sql))
    except guard.Refused:
        return False


def functions(tree: dict) -> set[str]:
    return {str(node.get("function_name")).lower() for node in guard.nodes(tree)}


def has_subquery(tree: dict) -> bool:
    return any(node.get("class") == "SUBQUERY" for node in guard.nodes(tree))


def has_from(tree: dict) -> bool:
    return tree["node"].get("from_table", {}).get("type") != "EMPTY"


def limit(tree: dict) -> int | None:
    """The number of the LIMIT at the end of a statement."""
    (*_, last) = tree["node"].get("modifiers") or [{}]
    value = ((last.get("limit") or {}).get("value") or {}).get("value")
    return value if last.get("type") == "LIMIT_MODIFIER" and isinstance(value, int) else None


def limited(sql: str, rows: int) -> str:
    """The statement with a LIMIT at its end or around it, unless it is an EXPLAIN."""
    try:
        tree = parse(sql)
    except guard.Refused:
        return sql
    written = limit(tree)
    if guard.explain(sql) or (written is not None and written <= rows):
        return sql
    # The line breaks are needed because a comment may end the text.
    for text, inside in (
        (f"{sql}\nLIMIT {rows}", _without_limit),
        (f"SELECT * FROM (\n{sql}\n) LIMIT {rows}", _wrapped),
    ):
        try:
            if limit(bounded := parse(text)) == rows and same(inside(bounded), tree["node"]):
                return text
        except guard.Refused:
            continue
    return sql


def ready(sql: str, rules: Rules) -> str:
    """The statement as it is.

    Raises:
        guard.Refused: it reads a table without its rules, or is not allowed at all.
    """
    row_rules.hold(sql, rules)
    return sql


def _without_limit(tree: dict) -> dict:
    """Return the tree without the LIMIT at the end of the statement."""
    node = dict(tree["node"])
    node["modifiers"] = node["modifiers"][:-1]
    if node["modifiers"] or "offset" in tree["node"]["modifiers"][-1]:
        return node
    del node["modifiers"]
    return node


def _wrapped(tree: dict) -> dict | None:
    """The statement inside ``SELECT * FROM (...) LIMIT n``."""
    return (tree["node"]["from_table"].get("subquery") or {}).get("node")
