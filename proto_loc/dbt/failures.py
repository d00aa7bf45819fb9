"""Explains a failed build with dbt's messages and the project's files."""

import json
import os
import re
from collections.abc import Sequence

from proto_loc.dbt import program, relations
from proto_loc.errors import LocError
from proto_loc.settings import settings


class BuildFailed(LocError):
    """dbt did not build, or a test failed; nothing was published."""

    results: Sequence[dict] = ()
    """Results of the nodes that ran, as in :attr:`Run.results`."""


def failure(results: list[dict], lines: list[str]) -> BuildFailed:
    """The error of a run of dbt: its failed nodes, or the end of its log where none ran.

    Args:
        results: as in :attr:`Run.results`.
        lines: of dbt's log.
    """
    failed = [
        result for result in results if result["status"] in ("error", "fail", "runtime error")
    ]
    if not failed:
        return BuildFailed(
            "dbt failed.",
            "\n".join(lines[-20:]),
            f"See {settings().run / 'dbt' / 'logs' / 'dbt.log'}.",
        )
    manifest = json.loads((program.target_path("prod") / "manifest.json").read_text())
    lines = []
    for result in failed:
        lines.append(
            f"  {_label(result['unique_id'], manifest)}:"
            f" {_summary(result['message'] or result['status'])}"
        )
        rows = result.get("rows", [])
        if len(rows) < (result["failures"] or 0):
            rows = [f"the first {len(rows)} of {result['failures']:,} rows:", *rows] if rows else []
        lines += [f"      {row}" for row in rows]
    return BuildFailed(
        f"{len(failed)} of {len(results)} dbt nodes failed:",
        "\n" + relations.printable("\n".join(lines)) + "\n",
        "Nothing was published, prod is as it was. Mend the model or the data, then run it again.",
    )


def _summary(message: str) -> str:
    """dbt's message; for a Python model, its error and line in place of a traceback.

    dbt runs a copy of the model's file, with the same line numbers.
    """
    _, python, traceback = message.rpartition("Traceback (most recent call last):\n")
    places = re.findall(r'File "[^"]*[/\\]tmp\w+\.py", line (\d+)', traceback)
    error = re.search(r"^ {0,2}\S.*", traceback, re.MULTILINE | re.DOTALL)
    if not (python and places and error):
        return message.strip()
    return f"line {places[-1]}: {error[0].strip()}"


def _label(unique_id: str, manifest: dict) -> str:
    """Name and file of a node of any kind."""
    kinds = ("nodes", "unit_tests", "functions", "saved_queries", "exposures", "sources")
    node = next(
        (manifest[kind][unique_id] for kind in kinds if unique_id in manifest.get(kind, {})), None
    )
    if node is None:
        return unique_id
    own = node["package_name"] == manifest["metadata"]["project_name"]
    folder = (
        program.PROJECT.name
        if own
        else f"{program.PROJECT.name}/dbt_packages/{node['package_name']}"
    )
    file = os.path.normpath(f"{folder}/{node['original_file_path']}")
    return f"{node['name']} ({file})"
