"""Which models are marts, read from dbt's manifest."""


def marts(manifest: dict) -> set[str]:
    """Unique ids of the models that readers use: in the folder or schema ``marts``, or measured."""
    return measured(manifest) | {
        unique_id
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and "marts" in (node["schema"], *node["fqn"][1:-1])
    }


def measured(manifest: dict) -> set[str]:
    """Unique ids of the models that a semantic model stands on."""
    return {
        unique_id
        for content in manifest["semantic_models"].values()
        for unique_id in content["depends_on"]["nodes"]
    }
