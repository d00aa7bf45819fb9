"""Runs MetricFlow on a published version, read-only, with the definitions that it was built from.

dbt's semantic manifest of a version names the tables of the session that built it, and MetricFlow
writes the expression of a derived metric as it stands, so that Trino would divide whole numbers as
such. :func:`manifest` changes both; what MetricFlow makes of it runs on each engine with the same
result.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from proto_loc import files
from proto_loc.errors import LocError
from proto_loc.metrics.expressions import sql, written
from proto_loc.settings import private_folder, settings
from proto_loc.sql import identifier
from proto_loc.warehouse.store import Version

PROFILES = Path(__file__).parent / "profiles"
PROJECT = """\
name: published
profile: metricflow
flags: {send_anonymous_usage_stats: false}
"""


def manifest(version: Version) -> str:
    """The semantic manifest of a version, for queries on it.

    Raises:
        LocError: the version was published without dbt.
    """
    file = version.folder / "dbt" / "semantic_manifest.json"
    if not file.exists():
        raise LocError(
            f"Version {version.id} of {version.database} holds no metrics.",
            f"There is no {file}.",
            "Run `loc refresh`; docs/metrics.md shows how to define a metric.",
        )
    content = json.loads(file.read_text())
    spines = content["project_configuration"]["time_spines"]
    for node in (*content["semantic_models"], *spines):
        relation = node["node_relation"]
        relation["relation_name"] = identifier(relation["schema_name"], relation["alias"])
    for metric in content["metrics"]:
        if metric["type"] == "derived":
            metric["type_params"] = _divided(metric["type_params"])
    return json.dumps(content)


def _divided(parameters: dict) -> dict:
    """Let a derived metric that divides do so with doubles, as DuckDB does."""
    if "/" not in parameters["expr"]:
        return parameters
    names = {metric["alias"] or metric["name"] for metric in parameters["metrics"]}
    text = written(
        sql(
            parameters["expr"],
            lambda name: (f"cast({name} as double)",) if name in names else None,
        )
    )
    return parameters | {"expr": text}


def run(version: Version, arguments: list[str]) -> int:
    """Run the program ``mf`` on a version; return its exit code.

    Raises:
        LocError: see :func:`manifest`.
    """
    text = manifest(version)
    folder = private_folder(settings().run / "metricflow")
    private_folder(folder / "target")
    files.replace(folder / "dbt_project.yml", PROJECT)
    files.replace(folder / "target" / "semantic_manifest.json", text)
    own = {
        "DBT_PROFILES_DIR": str(PROFILES),
        "DBT_PROJECT_DIR": str(folder),
        "LOC_METRICFLOW_OUTPUT": version.engine,
        "DO_NOT_TRACK": "1",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DBT_")}
    program = Path(sys.executable).parent / "mf"
    environment = kept | own | version.keeper.dbt_reader(version)
    return subprocess.run([program, *arguments], cwd=folder, env=environment).returncode
