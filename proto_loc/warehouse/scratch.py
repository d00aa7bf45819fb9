"""Opens a user's own database, with the published one attached read-only."""

import re

import duckdb

from proto_loc.errors import UsageError
from proto_loc.settings import ROOT, private_folder
from proto_loc.sql import literal, open_duckdb
from proto_loc.warehouse import store
from proto_loc.warehouse.errors import WarehouseError

FOLDER = ROOT / "notebooks" / "work"
_TAKEN = ("main", "temp", "system", "information_schema", "pg_catalog")
"""Reserved names of DuckDB, which does not distinguish upper and lower case."""


def scratch(name: str = "scratch") -> duckdb.DuckDBPyConnection:
    """Connect to ``notebooks/work/NAME.duckdb`` with the newest ``prod`` attached read-only.

    The file is made if it is missing, and new tables go into it. Published tables have names such
    as ``marts.mart_orders`` or ``prod.marts.mart_orders``. A later call attaches the newest version
    for all connections of this process.

    Raises:
        UsageError: the name is not a plain word, or is reserved.
        WarehouseError: another process has the file open.
        NoData: nothing has been published yet.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name.lower() in (
        *store.DATABASES,
        *_TAKEN,
    ):
        raise UsageError(
            f"{name!r} is no name for a scratch database.",
            "It must be a word, and none that DuckDB or the platform has taken.",
            "Use letters, digits and underscores.",
        )
    version = store.current("prod").verify()
    path = private_folder(FOLDER) / f"{name}.duckdb"
    try:
        con = open_duckdb(path)
    except duckdb.IOException as error:
        holder = re.search(r"PID (\d+)", str(error))
        raise WarehouseError(
            f"{path} is open in another process{f', pid {holder[1]}' if holder else ''}.",
            "A scratch database has one process at a time, for example one kernel.",
            'Shut that kernel down, or use another one: warehouse.scratch("other").',
        ) from error
    con.execute("detach database if exists prod")
    con.execute(f"attach {literal(version.path)} as prod (read_only)")
    con.execute(f"set search_path = '{name}.main,prod.marts,prod.staging'")
    return con
