"""A user's own database beside the published one, to keep or change tables in."""

import re

import duckdb

from proto_loc.errors import UsageError
from proto_loc.settings import ROOT, private_folder
from proto_loc.sql import literal, open_duckdb
from proto_loc.warehouse import store
from proto_loc.warehouse.errors import WarehouseError

FOLDER = ROOT / "notebooks" / "work"
_TAKEN = ("main", "temp", "system", "information_schema", "pg_catalog")
"""Names of DuckDB's own; it tells no capitals from small letters."""


def scratch(name: str = "scratch") -> duckdb.DuckDBPyConnection:
    """Connect to ``notebooks/work/NAME.duckdb`` with the newest ``prod`` in it, read-only.

    The file is made if it is missing.

    What is created lands in the own file. Published tables are found as ``marts.mart_orders``,
    in full ``prod.marts.mart_orders``. A further call attaches what is newest then, for all
    connections of this process.

    Raises:
        UsageError: the name is no plain word, or one of a published database.
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
