"""What a piece of SQL in a chart or a dataset names."""

from proto_loc import guard


def columns(expression: str) -> set[str]:
    """The columns of its table that an expression names.

    Raises:
        guard.Refused: it is no expression, or does what may not run in Superset.
    """
    found, inner = set(), set()
    stack: list = [guard.tree(f"SELECT {expression}\nFROM t")]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if node.get("class") == "COLUMN_REF":
                found.add(node["column_names"][-1])
            if node.get("class") == "LAMBDA":
                inner |= {name for each in _refs(node.get("lhs")) for name in each}
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return found - inner


def _refs(node: object) -> list[list[str]]:
    """The names on the left of a lambda's arrow."""
    if isinstance(node, dict):
        own = [node["column_names"]] if node.get("class") == "COLUMN_REF" else []
        return own + [each for value in node.values() for each in _refs(value)]
    return [each for value in node for each in _refs(value)] if isinstance(node, list) else []
