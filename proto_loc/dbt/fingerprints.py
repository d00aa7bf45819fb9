"""Hashes the whole dbt project, and for each relation everything that its rows depend on."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from proto_loc import sources
from proto_loc.dbt import program
from proto_loc.dbt.nodes import is_relation
from proto_loc.dbt.program import project_files
from proto_loc.settings import ROOT


def fingerprints(manifest: dict) -> dict[str, str]:
    """Hash, for each relation, everything that its rows depend on, except the loads.

    That is the manifest's entries of the relation and its ancestors, the content of seeds, the
    columns of raw tables, and what any node may use.

    Args:
        manifest: the manifest of a parse; a run's manifest depends on the nodes that ran.
    """
    shared = sorted(_shared(manifest))
    return {
        node: (
            hashlib.sha256(
                "\n".join([*shared, *sorted(_ingredients(node, manifest))]).encode()
            ).hexdigest()
        )
        for node, content in manifest["nodes"].items()
        if is_relation(content)
    }


def _shared(manifest: dict) -> Iterator[str]:
    """Yield everything that any node may use although its manifest entry does not show it.

    An example is a macro in a branch that a parse does not take.
    """
    for name, path in project_files():
        if path.name in ("dbt_project.yml", "profiles.yml"):
            yield json.dumps([name, path.read_text(errors="replace")])
    yield json.dumps(_variables())
    for content in (*manifest["macros"].values(), *manifest.get("functions", {}).values()):
        yield _essence(content)


def _ingredients(node: str, manifest: dict) -> Iterator[str]:
    waiting, seen = [node], set()
    while waiting:
        unique_id = waiting.pop()
        content = manifest["nodes"].get(unique_id) or manifest["sources"].get(unique_id)
        if unique_id in seen or content is None:  # seen before, or in _shared
            continue
        seen.add(unique_id)
        yield _essence(content)
        if content["resource_type"] == "source":
            name = f"{content['schema']}.{content['identifier']}"
            yield json.dumps(sources.declared_columns().get(name))
        elif content["resource_type"] == "seed":  # of a large one, dbt hashes only the path
            yield hashlib.sha256(_seed(content, manifest).read_bytes()).hexdigest()
        waiting += content.get("depends_on", {}).get("nodes", [])


DESCRIPTIVE = {
    *("description", "docs", "doc_blocks", "tags", "owner", "group", "access", "patch_path"),
    *("created_at", "root_path", "source_description", "loader", "freshness", "loaded_at_field"),
    *("loaded_at_query", "persist_docs", "checksum", "build_path", "unrendered_config"),
    *("unrendered_config_call_dict", "supported_languages", "static_analysis", "depends_on"),
    *("metrics", "primary_key", "time_spine", "deprecation_date", "full_refresh"),
}
"""Fields of a manifest's entry that do not affect rows."""


def _essence(content: dict) -> str:
    """Write a manifest's entry as text, without its :data:`DESCRIPTIVE` fields."""

    def kept(entry: dict) -> dict:
        config = {"config": kept(entry["config"])} if isinstance(entry.get("config"), dict) else {}
        return {name: value for name, value in entry.items() if name not in DESCRIPTIVE} | config

    columns = content.get("columns") or {}
    return json.dumps(
        kept(content) | {"columns": {n: kept(column) for n, column in columns.items()}},
        sort_keys=True,
    )


def _seed(content: dict, manifest: dict) -> Path:
    """Find a seed's file in the project or in its package's folder, as dbt does."""
    package, file = content["package_name"], content["original_file_path"]
    if package == manifest["metadata"]["project_name"]:
        return program.PROJECT / file
    installed = program.PROJECT / "dbt_packages" / package / file
    return installed if installed.exists() else Path(content["root_path"], file)


def project_hash() -> str:
    """Hash everything that a build depends on, except the loads.

    That is every file of the dbt project and its packages, the environment variables that they
    read, and the lock that pins dbt and DuckDB.
    """
    digest = hashlib.sha256((ROOT / "locks" / "platform.txt").read_bytes())
    for name, path in project_files():
        digest.update(f"\0{name}\0".encode() + path.read_bytes())
    digest.update(json.dumps(_variables()).encode())
    return digest.hexdigest()


_VARIABLE = re.compile(rb"""env_var\s*\(\s*['"]([^'"]+)['"]""")


def _variables() -> dict[str, str | None]:
    """Return the values of the environment variables that the project's files read.

    The platform's own variables are left out, because they only say where a build runs.
    """
    texts = (
        path.read_bytes()
        for _, path in project_files()
        if path.suffix in (".sql", ".yml", ".yaml", ".py")
    )
    names = {name.decode(errors="replace") for text in texts for name in _VARIABLE.findall(text)}
    own = {"LOC_DATA", "LOC_SESSION", "LOC_VERDICTS"}
    return {name: os.environ.get(name) for name in sorted(names - own)}


def marks_after(
    manifest: dict, built: set[str], marks: dict[str, str], known: dict[str, str]
) -> dict[str, str | None]:
    """Map each relation to the fingerprint of the project that built its rows.

    The fingerprint is None if a relation was built from an outdated one: its rows match no state of
    the project, so the next build makes it again.

    Args:
        built: relations that this run built.
        marks: fingerprints of the project as it is now.
        known: fingerprints before this run.
    """
    graph = {
        i: node.get("depends_on", {}).get("nodes", []) for i, node in manifest["nodes"].items()
    }
    current: dict[str, bool] = {}
    done: dict[str, str | None] = {}
    for node in TopologicalSorter(graph).static_order():
        current[node] = all(current[parent] for parent in graph.get(node, []))
        if node in marks:
            done[node] = (
                known.get(node) if node not in built else marks[node] if current[node] else None
            )
            current[node] = done[node] == marks[node]
    return done
