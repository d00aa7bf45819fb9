"""Finds the marts among the relations in dbt's manifest."""

from collections.abc import Iterable


def marts(manifest: dict) -> set[str]:
    """Return the unique ids of the marts: in a folder or schema ``marts``, or used by a metric."""
    return measured(manifest) | {
        unique_id
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] in ("model", "seed", "snapshot")
        and "marts" in (node["schema"], *node["fqn"][1:-1])
    }


def measured(manifest: dict) -> set[str]:
    """Return the unique ids of the models that semantic models use."""
    return {
        unique_id
        for content in manifest["semantic_models"].values()
        for unique_id in content["depends_on"]["nodes"]
    }


def tables(manifest: dict, unique_ids: Iterable[str]) -> set[str]:
    """Return the names of relations as ``schema.table``."""
    nodes = [manifest["nodes"][unique_id] for unique_id in unique_ids]
    return {f"{node['schema']}.{node['alias']}" for node in nodes}
