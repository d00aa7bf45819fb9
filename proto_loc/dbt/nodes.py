"""What the nodes of dbt's manifest are: relations, tests."""


def names_test(node: str) -> bool:
    return node.startswith(("test.", "unit_test."))


def is_relation(node: dict) -> bool:
    """Whether a node of dbt's manifest becomes a table or a view: a model that is not
    ephemeral, seed, snapshot.
    """
    return (
        node["resource_type"] in ("model", "seed", "snapshot")
        and node["config"]["materialized"] != "ephemeral"
    )


def is_test(node: dict) -> bool:
    """Whether dbt runs a node of its manifest as a test; it keeps those of a disabled model,
    and leaves them out.
    """
    return node["resource_type"] in ("test", "unit_test") and node["config"].get("enabled", True)


def build_nodes(manifest: dict) -> set[str]:
    """What a full build runs: every relation and test."""
    nodes = manifest["nodes"] | manifest["unit_tests"]
    return {unique_id for unique_id, node in nodes.items() if is_relation(node) or is_test(node)}
