"""Opens a write session of ``prod`` for dbt: links ``raw`` and restores the staging views."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from proto_loc import sources, warehouse
from proto_loc.dbt import relations
from proto_loc.dbt.failures import BuildFailed
from proto_loc.settings import settings
from proto_loc.sql import literal
from proto_loc.warehouse import lake


@contextmanager
def open_session(
    who: str, timeout: float | None
) -> Iterator[tuple[warehouse.Session, warehouse.Version]]:
    """Open a write session of ``prod``, with a link to the current ``raw`` in its folder.

    Yields:
        The session, and the version of ``raw``.
    """
    with warehouse.write("prod", who=who, timeout=timeout) as session:
        # It runs under the lock: the build includes loads that ended while this process waited.
        raw = lake.settle(sources.declared_columns())
        link = session.folder / "raw.duckdb"
        link.symlink_to(raw.path)
        try:
            yield session, raw
        except BuildFailed as failed:
            failed.fix += _way_back(session.base, raw)
            raise
        link.unlink()


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
    """Recreate the views of staging, which a published file does not hold.

    Args:
        keep: the views to recreate; None for all.
    """
    if session.base:
        statements = session.base.facts.get("views", {})
        names = {f"{schema}.{name}" for schema, name in keep or ()}
        with session.connect() as con:
            attach_raw(con, session)
            relations.restore(
                con,
                {
                    name: sql
                    for name, sql in statements.items()
                    if keep is None or name.lower() in names
                },
            )


def views(session: warehouse.Session) -> dict[str, str]:
    """Statements that create the session's views, by ``schema.name``."""
    with session.connect() as con:
        return relations.views(con)


def attach_raw(con: duckdb.DuckDBPyConnection, session: warehouse.Session) -> None:
    """Attach the session's link to ``raw`` as the database ``raw``."""
    con.execute(f"attach {literal(session.folder / 'raw.duckdb')} as raw (read_only)")
