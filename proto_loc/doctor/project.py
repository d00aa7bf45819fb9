"""Checks of the dbt project against what was made from it."""

import json
from collections.abc import Iterator
from pathlib import Path

from proto_loc import warehouse
from proto_loc.dbt import parse, program
from proto_loc.dbt.fingerprints import fingerprints
from proto_loc.doctor.finding import Finding, ok
from proto_loc.warehouse import engine

SHOWN = 5


def manifest() -> Iterator[Finding]:
    """Compare the dbt project with its manifest, and the manifest with what is published."""
    current = parse.mark(engine.of("prod"))
    folders = [program.target_path(target) for target in ("dagster", "prod")]
    parsed = [folder for folder in folders if (folder / "parsed.json").exists()]
    fresh = [folder for folder in parsed if _stamp(folder) == current]
    if not parsed:
        yield ok("dbt has not read the project yet")
        return
    if not fresh:
        yield Finding(
            "warn",
            "dbt's manifest is older than the dbt project.",
            "A file of dbt/ was changed since. Dagster, Superset and Cube show what the manifest"
            " has.",
            "./loc generate reads the project again; ./loc refresh builds and publishes it too",
            symptom="A change of a model, a metric or a description is seen nowhere",
        )
        return
    version = warehouse.store.current_id("prod")
    if version is None:
        yield ok("dbt's manifest is that of the project; nothing has been built from it yet")
        return
    known = warehouse.store.load("prod", version).facts.get("models", {})
    marks = fingerprints(json.loads((fresh[0] / "parsed.json").read_text()))
    old = sorted(node.split(".", 2)[-1] for node, mark in marks.items() if known.get(node) != mark)
    if old and known:
        others = f" and {len(old) - SHOWN} more" if len(old) > SHOWN else ""
        yield Finding(
            "warn",
            f"prod was built from an earlier definition of {', '.join(old[:SHOWN])}{others}.",
            "The dbt project was changed after the last build.",
            "./loc refresh",
            symptom="A change of a model, a metric or a description is seen nowhere",
        )
    else:
        yield ok("dbt's manifest is that of the project, and so is what is published")


def _stamp(folder: Path) -> str:
    path = folder / "project.sha256"
    return path.read_text() if path.exists() else ""
