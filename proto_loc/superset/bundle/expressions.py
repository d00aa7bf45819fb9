"""Finds the columns in a SQL expression of a chart or a dataset."""

from proto_loc.warehouse import guard


def columns(expression: str) -> set[str]:
    """Find the columns that an expression names.

    Raises:
        guard.Refused: it is not an expression, or it may not run in Superset.
    """
    own, inner = set(), set()
    stack: list = [guard.tree(f"SELECT {expression}\nFROM t")]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if node.get("class") == "COLUMN_REF":
                own.add(node["column_names"][-1])
            if node.get("class") == "LAMBDA":
                inner |= {name for reference in _refs(node.get("lhs")) for name in reference}
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return own - inner


def _refs(node: object) -> list[list[str]]:
    """The parameters of a lambda, from the left of its arrow."""
    if isinstance(node, dict):
        own = [node["column_names"]] if node.get("class") == "COLUMN_REF" else []
        return own + [reference for value in node.values() for reference in _refs(value)]
    return (
        [reference for value in node for reference in _refs(value)]
        if isinstance(node, list)
        else []
    )
