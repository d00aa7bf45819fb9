"""Keeps the tables of snapshots, whose history no build can make again."""

import json
from collections.abc import Collection

from proto_loc import warehouse
from proto_loc.dbt import relations
from proto_loc.dbt.failures import BuildFailed
from proto_loc.errors import UsageError
from proto_loc.metrics.read import file_of, place
from proto_loc.settings import ROOT
from proto_loc.sql import identifier
from proto_loc.warehouse.engine import Connection


def keep_histories(
    session: warehouse.Session, manifest: dict, forget: Collection[str] = ()
) -> None:
    """Move the tables of renamed snapshots, and refuse a build that would drop another one.

    A snapshot names its former table in ``config.meta.formerly``, as ``schema.table``.

    Args:
        forget: tables, as ``schema.table``, whose history may go.

    Raises:
        BuildFailed: the project no longer has a snapshot that the published version has.
        UsageError: a table of ``forget`` is not one of those.
    """
    published = set(_published(session.base))
    current = {_relation(node): node for node in _snapshots(manifest)}
    with session.connect() as con:
        for relation, node in current.items():
            former = node["config"]["meta"].get("formerly")
            if former is None:
                continue
            if not isinstance(former, str) or former.count(".") != 1:
                raise BuildFailed(
                    f"config.meta.formerly in {place(node, 'formerly')} is not usable.",
                    "It is the table that the snapshot had.",
                    "Write it as formerly: SCHEMA.TABLE.",
                )
            old = tuple(former.lower().split("."))
            if old in published and old not in current and relation not in published:
                _move(con, old, (node["schema"], node["alias"]))
                published.discard(old)
    lost = {".".join(relation) for relation in published - current.keys()}
    if unknown := sorted({name.lower() for name in forget} - lost):
        raise UsageError(
            f"{unknown[0]} cannot be forgotten.",
            "It is not the table of a snapshot that the project no longer has; such tables are:"
            f" {', '.join(sorted(lost)) or 'none'}.",
            "Leave it out.",
        )
    if gone := sorted(lost - {name.lower() for name in forget}):
        raise BuildFailed(
            f"The dbt project has no snapshot for {gone[0]} any more.",
            "prod holds its history, which no build can make again. Nothing was published, prod is"
            " as it was.",
            f"Put the snapshot back; or, after a rename, write `meta: {{formerly: {gone[0]}}}` into"
            f" its config; or give the history up: `loc dbt --forget {gone[0]} -- build --target"
            " prod`.",
        )


def declared_in(files: Collection[str]) -> list[str]:
    """Tables of the published snapshots that these files declared, where the files are gone.

    Args:
        files: paths from the root of the repository.
    """
    gone = {name for name in files if not (ROOT / name).exists()}
    snapshots = _published(warehouse.current("prod"))
    return [".".join(name) for name, node in snapshots.items() if file_of(node) in gone]


def snapshot_tables(version: warehouse.Version) -> list[tuple[str, str]]:
    """Schema and name of each snapshot's table in a version, sorted."""
    return sorted(_published(version))


def _published(version: warehouse.Version | None) -> dict[relations.Name, dict]:
    """The snapshots of a version by their tables."""
    if version is None:
        return {}
    file = version.folder / "dbt" / "manifest.json"
    if not file.exists():
        return {}
    tables = {name.lower() for name in version.tables}
    snapshots = {_relation(node): node for node in _snapshots(json.loads(file.read_text()))}
    return {name: node for name, node in snapshots.items() if ".".join(name) in tables}


def _snapshots(manifest: dict) -> list[dict]:
    return [node for node in manifest["nodes"].values() if node["resource_type"] == "snapshot"]


def _relation(node: dict) -> relations.Name:
    return node["schema"].lower(), node["alias"].lower()


def _move(con: Connection, old: relations.Name, new: tuple[str, str]) -> None:
    con.execute(f"create schema if not exists {identifier(new[0])}")
    con.execute(f"create table {identifier(*new)} as select * from {identifier(*old)}")
    con.execute(f"drop table {identifier(*old)}")
