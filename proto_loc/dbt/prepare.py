"""Changes the database file of a write session to match the dbt project before a build."""

import json
import logging
from collections.abc import Sequence

from proto_loc import warehouse
from proto_loc.dbt import program, publication, relations
from proto_loc.dbt.arguments import selection_options
from proto_loc.dbt.failures import BuildFailed
from proto_loc.dbt.session import restore_views

log = logging.getLogger("proto_loc.dbt")


def make_ready(
    session: warehouse.Session, manifest: dict, marks: dict[str, str], arguments: Sequence[str]
) -> list[str]:
    """Make the session's file agree with the project, before dbt builds on it.

    Drop relations that the project no longer has, and tables with a changed definition that dbt
    would keep (:func:`_grows`). For a build of a part, restore the views of staging.

    Args:
        marks: the result of :func:`fingerprints`.
        arguments: the arguments of ``dbt build``.

    Returns:
        Unique ids of those tables that dbt must build in full.
    """
    if not (session.base and session.base.tables):
        return []
    known = session.base.facts.get("models", {})
    names = {
        i: (node["schema"].lower(), node["alias"].lower())
        for i, node in manifest["nodes"].items()
        if i in marks
    }
    old = [
        node
        for node, mark in marks.items()
        if known.get(node) != mark and _grows(manifest["nodes"][node])
    ]
    keep = {*names.values(), *publication.TABLES}
    rebuilt = old
    if selection := selection_options(arguments):
        restore_views(session, keep)
        selected = _selected(selection, session) if old else set()
        rebuilt = [node for node in old if node in selected]
    with session.connect() as con:
        gone = relations.remove(session, con, keep=keep, rebuild={names[node] for node in rebuilt})
    if gone:
        log.warning("no longer in the dbt project, so no longer in prod: %s", ", ".join(gone))
    return [node for node in rebuilt if node in known]


def _grows(node: dict) -> bool:
    """Whether dbt keeps an existing table, so that a changed definition needs a full build.

    An example is a seed, whose table keeps its columns. A snapshot is left out, because it cannot
    be built again.
    """
    return node["resource_type"] != "snapshot" and node["config"]["materialized"] not in (
        "view",
        "table",
    )


def _selected(selection: list[str], session: warehouse.Session) -> set[str]:
    """Return the unique ids of the nodes that a build with these options selects.

    Raises:
        BuildFailed: dbt refuses the options.
    """
    command = [program.DBT, "--quiet", "--no-use-colors", "ls", "--target", "prod"]
    output = ["--output", "json", "--output-keys", "unique_id"]
    variables = program.environment("prod", session=session)
    done = session.run(
        [*command, *output, *selection],
        cwd=session.folder,
        env=variables,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        output = relations.printable((done.stdout + done.stderr).strip())
        raise BuildFailed(
            "dbt cannot tell what to build.", output, "Nothing was published, prod is as it was."
        )
    return {
        json.loads(line)["unique_id"] for line in done.stdout.splitlines() if line.startswith("{")
    }
