"""Opens a user's own DuckDB database, into which results of the published one can be kept.

What DuckDB keeps is attached to it read-only. Trino's tables cannot be: DuckDB does not read them
with Trino's rights. There, :func:`keep` brings the rows of a query.
"""

import re

import duckdb

from proto_loc.errors import UsageError
from proto_loc.settings import ROOT, private_folder
from proto_loc.sql import open_duckdb
from proto_loc.warehouse import store
from proto_loc.warehouse.errors import WarehouseError

FOLDER = ROOT / "notebooks" / "work"
_TAKEN = ("main", "temp", "system", "information_schema", "pg_catalog")
"""Reserved names of DuckDB, which does not distinguish upper and lower case."""


def scratch(name: str = "scratch") -> duckdb.DuckDBPyConnection:
    """Connect to ``notebooks/work/NAME.duckdb``, with the newest ``prod`` attached read-only if
    DuckDB keeps it.

    The file is made if it is missing, and new tables go into it. Published tables then have names
    such as ``marts.mart_orders`` or ``prod.marts.mart_orders``. A later call attaches the newest
    version for all connections of this process. :func:`keep` works with every engine.

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
            f"{name!r} cannot be the name of a scratch database.",
            "It must be a word that DuckDB and the platform do not reserve.",
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
    schemas = version.keeper.link(con, version)
    con.execute(f"set search_path = '{','.join([f'{name}.main', *schemas])}'")
    return con


def keep(con: duckdb.DuckDBPyConnection, table: str, query: str) -> None:
    """Make a table of a scratch database, or make it anew, from a query on the newest ``prod``.

    Args:
        con: a connection that :func:`scratch` has made.
        table: the table's name.
        query: a SELECT in the SQL of the engine that keeps ``prod``.

    Raises:
        LocError: the query cannot be run.
        duckdb.Error: the same, where DuckDB keeps ``prod``.
    """
    version = store.current("prod")
    version.keeper.keep(con, version, table, query)
