"""Reads the dbt project that a version of ``prod`` was built from."""

import json
from pathlib import Path

import duckdb

from proto_loc.metrics.marts import marts


def number_of_tests(folder: Path) -> int:
    """Return how many tests, also unit tests, the project has.

    Args:
        folder: the folder of a version of ``prod``.
    """
    manifest = json.loads((folder / "dbt/manifest.json").read_text())
    tests = [node for node in manifest["nodes"].values() if node["resource_type"] == "test"]
    assert tests and manifest["unit_tests"]
    return len(tests) + len(manifest["unit_tests"])


def undescribed_columns(folder: Path) -> list[str]:
    """Return the columns of the marts and seeds, as ``table.column``, without a description in dbt.

    Args:
        folder: the folder of a version of ``prod``.
    """
    manifest = json.loads((folder / "dbt/manifest.json").read_text())
    readable = marts(manifest) | {name for name in manifest["nodes"] if name.startswith("seed.")}
    described = {
        (node["schema"], node["alias"], column["name"].lower())
        for node in manifest["nodes"].values()
        for column in node["columns"].values()
        if column["description"].strip()
    }
    published = {
        (manifest["nodes"][name]["schema"], manifest["nodes"][name]["alias"]) for name in readable
    }
    with duckdb.connect(str(folder / "prod.duckdb"), read_only=True) as con:
        built = con.execute(
            "select schema_name, table_name, lower(column_name) from duckdb_columns()"
            " where not internal"
        ).fetchall()
    assert published <= {row[:2] for row in built}, "a mart was not built"
    return sorted(".".join(row[1:]) for row in set(built) - described if row[:2] in published)
