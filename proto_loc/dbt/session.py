"""Opens a write session of ``prod`` for dbt: attaches ``raw`` and restores the staging views."""

from collections.abc import Iterator
from contextlib import contextmanager
from graphlib import TopologicalSorter

from proto_loc import sources, warehouse
from proto_loc.dbt import relations
from proto_loc.dbt.failures import BuildFailed
from proto_loc.dbt.run import execute
from proto_loc.settings import settings
from proto_loc.warehouse import lake
from proto_loc.warehouse.engine import Engine


@contextmanager
def open_session(
    who: str, timeout: float | None, onto: Engine | None = None
) -> Iterator[tuple[warehouse.Session, warehouse.Version]]:
    """Open a write session of ``prod``, with the current ``raw`` attached.

    Yields:
        The session, and the version of ``raw``.
    """
    with warehouse.write("prod", who=who, timeout=timeout, onto=onto) as session:
        # It runs under the lock: the build includes loads that ended while this process waited.
        raw = lake.settle(sources.declared_columns())
        session.engine.attach(session, raw)
        try:
            yield session, raw
        except BuildFailed as failed:
            failed.fix += _way_back(session.base, raw)
            raise


def _way_back(base: warehouse.Version | None, raw: warehouse.Version) -> str:
    """Advise how to undo a load that the audit of prod refused; empty without a new load."""
    before = base.facts.get("raw_version") if base else None
    if before in (None, raw.id) or before not in warehouse.store.versions("raw"):
        return ""
    return (
        " What was loaded since stays in raw, and the next refresh builds it; `loc db rollback"
        f" {before} --database raw` takes it out (first move its file out of {settings().landing})."
    )


def restore_views(session: warehouse.Session, keep: set[relations.Name] | None = None) -> None:
    """Recreate the views of staging, which a published version does not hold.

    Args:
        keep: the views to recreate; None for all.

    Raises:
        BuildFailed: dbt has to make one of them, and it fails.
    """
    if not session.base:
        return
    names = {f"{schema}.{name}" for schema, name in keep or ()}
    published = session.base.facts.get("views", {})
    wanted = {name: how for name, how in published.items() if keep is None or name.lower() in names}
    if models := session.engine.restore(session, wanted):
        execute(["--quiet", "run", "--select", *models], session, None)


def views(session: warehouse.Session, manifest: dict) -> dict[str, str]:
    """How to make each of the session's views again, by ``schema.name``."""
    with session.connect() as con:
        return session.engine.views(con, _views_of_raw(manifest))


def _views_of_raw(manifest: dict) -> dict[str, str]:
    """Names of the models that are views of ``raw``, at once or through others, by relation."""
    reading: dict[str, bool] = {}
    graph = {i: node["depends_on"].get("nodes", []) for i, node in manifest["nodes"].items()}
    for unique_id in TopologicalSorter(graph).static_order():
        node = manifest["nodes"].get(unique_id)
        reading[unique_id] = (node is None and unique_id.startswith("source.")) or (
            node is not None
            and node["config"].get("materialized") in ("view", "ephemeral")
            and any(reading[parent] for parent in graph[unique_id])
        )
    return {
        f"{node['schema']}.{node['alias']}": node["name"]
        for unique_id, node in manifest["nodes"].items()
        if reading[unique_id] and node["config"]["materialized"] == "view"
    }
