"""Finds models that give verdicts on rows of loads, before dbt parses the project.

dbt has to know while it parses what a model reads, and the model of outcomes reads all of them.
"""

from collections.abc import Iterable
from pathlib import Path

import yaml


def names_in(paths: Iterable[Path]) -> set[str]:
    """Names of the models that declare ``config.meta.verdicts`` in these YAML files."""
    return {
        str(model["name"])
        for path in paths
        if path.suffix in (".yml", ".yaml")
        for model in _models(path)
        if _declares(model)
    }


def _models(path: Path) -> list:
    text = path.read_text(errors="replace")
    if "verdicts" not in text:
        return []
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return []  # dbt names the fault
    models = content.get("models") if isinstance(content, dict) else None
    return models if isinstance(models, list) else []


def _declares(model: object) -> bool:
    if not isinstance(model, dict) or "name" not in model:
        return False
    config = model.get("config")
    meta = config.get("meta") if isinstance(config, dict) else None
    return isinstance(meta, dict) and "verdicts" in meta and config.get("enabled") is not False
