"""Reads how many rows of each load were accepted or rejected, and why.

The figures come from the one model that declares ``config.meta.load_outcomes``.
"""

from dataclasses import dataclass

import duckdb

from proto_loc import warehouse
from proto_loc.dbt.failures import BuildFailed
from proto_loc.metrics.read import place
from proto_loc.sql import identifier

KEYS = ("load_id", "outcome", "rows")
"""Keys of a declaration; each names a column of the model."""


@dataclass(frozen=True)
class LoadOutcomes:
    """A model with one row per load and outcome, and its columns in the order of :data:`KEYS`."""

    relation: tuple[str, str]
    columns: tuple[str, ...]


def declaration(manifest: dict) -> LoadOutcomes | None:
    """Return the declaration of the project; None if no model has one.

    Raises:
        BuildFailed: two models declare it, or it is malformed; the message has file and line.
    """
    models = [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and "load_outcomes" in node["config"]["meta"]
    ]
    if len(models) > 1:
        places = sorted(f"{node['name']} ({place(node, 'load_outcomes')})" for node in models)
        raise BuildFailed(
            f"{len(models)} models declare config.meta.load_outcomes.",
            f"They are {', '.join(places)}.",
            "Leave it at the one that has a row for every load and outcome.",
        )
    if not models:
        return None
    (node,) = models
    columns = node["config"]["meta"]["load_outcomes"]
    if not isinstance(columns, dict) or set(columns) != set(KEYS):
        raise _refused(node, f"It must be a mapping of {', '.join(KEYS)} to columns.")
    if unknown := [name for name in columns.values() if str(name) not in node["columns"]]:
        raise _refused(node, f"{node['name']} describes no column {unknown[0]!r}.")
    return LoadOutcomes((node["schema"], node["alias"]), tuple(columns[key] for key in KEYS))


def read_outcomes(session: warehouse.Session, declared: LoadOutcomes) -> dict[str, dict[str, int]]:
    """Number of rows by load and outcome, for the history and the closing table."""
    load_id, outcome, rows = map(identifier, declared.columns)
    table = ".".join(map(identifier, declared.relation))
    query = (
        f"select {load_id}, {outcome}, sum({rows})::bigint from {table} group by all order by all"
    )
    outcomes: dict[str, dict[str, int]] = {}
    with session.connect() as con:
        try:
            result = con.execute(query).fetchall()
        except duckdb.CatalogException:
            return {}  # no build has made this model yet
        except duckdb.Error as error:
            raise BuildFailed(
                f"The load outcomes of {'.'.join(declared.relation)} cannot be read.",
                f"DuckDB says: {error}".rstrip(".") + ".",
                "Mend its config.meta.load_outcomes. Nothing was published, prod is as it was.",
            ) from None
    for load, verdict, count in result:
        outcomes.setdefault(str(load), {})[verdict] = count
    return outcomes


def _refused(node: dict, why: str) -> BuildFailed:
    return BuildFailed(
        f"config.meta.load_outcomes in {place(node, 'load_outcomes')} is not usable.",
        why,
        "Write it as {load_id: COLUMN, outcome: COLUMN, rows: COLUMN}.",
    )
