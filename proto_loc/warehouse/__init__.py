"""The warehouse: versioned DuckDB files with atomic publication.

A database (``raw``, ``prod``) is a folder of immutable versions with a symbolic link ``current``
that is replaced atomically. A reader opens a complete version and never waits for a lock. A writer
works on a private copy, which is audited and published, or removed.

    with warehouse.write("prod", who="nightly build") as session:
        with session.connect() as con:
            con.execute("create or replace table marts.answer as select 42 as value")
    with warehouse.read("prod") as con:
        con.sql("from marts.answer")
"""

from proto_loc.warehouse.diff import diff
from proto_loc.warehouse.errors import (
    LockTimeout,
    NoData,
    PublishError,
    VersionDamaged,
    WarehouseError,
)
from proto_loc.warehouse.retention import kept
from proto_loc.warehouse.scratch import keep, scratch
from proto_loc.warehouse.session import Session, ensure, prune, read, rollback, tidy, write
from proto_loc.warehouse.store import DATABASES, Version, current, find, history
from proto_loc.warehouse.verify import Verdict, verify

__all__ = [
    "DATABASES",
    "LockTimeout",
    "NoData",
    "PublishError",
    "Session",
    "Verdict",
    "Version",
    "VersionDamaged",
    "WarehouseError",
    "current",
    "diff",
    "ensure",
    "find",
    "history",
    "keep",
    "kept",
    "prune",
    "read",
    "rollback",
    "scratch",
    "tidy",
    "verify",
    "write",
]
