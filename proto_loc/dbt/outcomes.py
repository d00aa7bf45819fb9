"""Reads how many rows of each load were accepted or rejected, and why.

The platform's model ``load_outcomes`` counts them. Verdicts come from the tables of rejects in
``raw``, and from the models that declare ``config.meta.verdicts``.
"""

import logging

from proto_loc import sources, warehouse
from proto_loc.dbt import program
from proto_loc.dbt.failures import BuildFailed
from proto_loc.metrics.read import place
from proto_loc.sql import identifier

log = logging.getLogger("proto_loc.dbt")

MODEL = "load_outcomes"
KEYS = {"tables", "load_id", "reason", "rows"}
"""Keys of a declaration: the tables of sources that the model judges, and SQL expressions."""
EXAMPLE = "Write it as verdicts: {tables: [SOURCE.TABLE], load_id: COLUMN, reason: COLUMN}."


def check_declarations(manifest: dict) -> None:
    """Check every ``config.meta.verdicts`` of the project.

    Raises:
        BuildFailed: one of them is malformed; the message has file and line.
    """
    known = set(program.verdict_models())
    tables = {f"{source}.{table}" for source, table in sources.declared_tables()}
    for node in manifest["nodes"].values():
        declared = node["config"].get("meta", {}).get("verdicts")
        if declared is None:
            continue
        if node["resource_type"] != "model" or node["name"] not in known:
            raise _refused(node, "Only a YAML file of a model can declare it.")
        if not isinstance(declared, dict) or not {"tables", "load_id"} <= declared.keys() <= KEYS:
            raise _refused(
                node, "It is a mapping with tables and load_id, and may have reason and rows."
            )
        names = declared["tables"]
        if not isinstance(names, list) or not names:
            raise _refused(node, "Its tables are a list of SOURCE.TABLE.")
        if unknown := [str(name) for name in names if name not in tables]:
            raise _refused(
                node,
                f"No source declares a table {unknown[0]}; there is"
                f" {', '.join(sorted(tables)) or 'none'}.",
            )


def read_outcomes(session: warehouse.Session, manifest: dict) -> dict[str, dict[str, int]]:
    """Number of rows by load and outcome, for the history and the closing table.

    Only audited loads are there. The result is in ``facts["outcomes"]`` of a version of ``prod``.
    """
    node = manifest["nodes"].get(f"model.{manifest['metadata']['project_name']}.{MODEL}")
    if node is None:
        log.warning(
            "the rows of loads are not accounted for: dbt/dbt_project.yml leaves out the platform's"
            " models; write `model-paths: [models, ../proto_loc/dbt/models]` there"
        )
        return {}
    with session.connect() as con:
        try:
            result = con.execute(
                "select load_id, outcome, rows from"
                f" {identifier(node['schema'], node['alias'])}"
                " where accepted is not null order by 1, 2, 3"
            ).fetchall()
        except session.engine.missing:
            return {}  # a build of a part came first
    outcomes: dict[str, dict[str, int]] = {}
    for load, outcome, rows in result:
        outcomes.setdefault(str(load), {})[outcome] = rows
    return outcomes


def _refused(node: dict, why: str) -> BuildFailed:
    return BuildFailed(
        f"config.meta.verdicts in {place(node, 'verdicts')} is not usable.", why, EXAMPLE
    )
