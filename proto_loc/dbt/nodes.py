"""Separates relations and tests among the nodes of dbt's manifest."""


def names_test(node: str) -> bool:
    """Whether a unique id is that of a test."""
    return node.startswith(("test.", "unit_test."))


def is_relation(node: dict) -> bool:
    """Whether a node becomes a table or view: a seed, a snapshot or a non-ephemeral model."""
    return (
        node["resource_type"] in ("model", "seed", "snapshot")
        and node["config"]["materialized"] != "ephemeral"
    )


def is_test(node: dict) -> bool:
    """Whether dbt runs a node as a test; the manifest also lists tests of disabled models."""
    return node["resource_type"] in ("test", "unit_test") and node["config"].get("enabled", True)


def build_nodes(manifest: dict) -> set[str]:
    """Return the unique ids of every relation and test, which a full build runs."""
    nodes = manifest["nodes"] | manifest["unit_tests"]
    return {unique_id for unique_id, node in nodes.items() if is_relation(node) or is_test(node)}
