"""Finds the columns in a SQL expression of a chart or a dataset."""

from proto_loc.warehouse import guard


def columns(expression: str) -> set[str]:
    """Find the columns that an expression names.

    Raises:
        guard.Refused: it is not an expression, or it may not run in Superset.
    """
    nodes = list(guard.nodes(guard.tree(f"SELECT {expression}\nFROM t")))
    lambdas = [node for node in nodes if node.get("class") == "LAMBDA"]
    parameters = {
        name for node in lambdas for names in _references(node.get("lhs")) for name in names
    }
    return {names[-1] for names in _references(nodes)} - parameters


def _references(tree: object) -> list[list[str]]:
    """Find the name of each column reference in a tree, split into its parts."""
    return [node["column_names"] for node in guard.nodes(tree) if node.get("class") == "COLUMN_REF"]
