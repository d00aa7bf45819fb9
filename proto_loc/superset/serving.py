"""Finds the version that a request reads: the newest at its first query."""

from flask import g, has_app_context

from proto_loc import warehouse
from proto_loc.errors import LocError
from proto_loc.settings import settings
from proto_loc.warehouse.errors import WarehouseError


def version() -> warehouse.Version:
    """The version that this request reads.

    Raises:
        LocError: nothing has been published, its manifest is damaged, or another engine keeps it.
    """
    if not has_app_context():
        return _current()
    if "loc_version" not in g:
        g.loc_version = _current()
    return g.loc_version


def version_key() -> str:
    """The version's part of this request's cache keys; a publish or a rollback changes it."""
    try:
        current = version()
    except LocError:
        return "none"
    return f"{current.id}-{current.published_at}"


def _current() -> warehouse.Version:
    current = warehouse.current("prod")
    if current.engine != settings().engine:
        raise WarehouseError(
            f"Version {current.id} of prod is kept by the engine {current.engine}.",
            f"LOC_ENGINE is {settings().engine}, and an engine reads its own versions only.",
            f"Run `loc db move {settings().engine}`, or set LOC_ENGINE={current.engine}.",
        )
    return current
