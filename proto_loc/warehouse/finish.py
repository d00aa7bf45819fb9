"""Prepares the file of a write session for publication.

Run as ``python -m proto_loc.warehouse.finish FILE [alone]``: prints ``{"schema.table": rows}`` as
JSON.

It is a separate process because DuckDB locks a file with a POSIX record lock: another process sees
that a connection is still open. In the writer's own process, opening and closing the file would
release that lock.
"""

import json
import os
import sys

import duckdb

from proto_loc.sql import identifier


def finish(path: str, alone: bool) -> dict[str, int]:
    """Write the log into the file, and count the rows of each table.

    Args:
        alone: whether to drop the staging views that read another file.

    Raises:
        duckdb.Error: another process has the file open, or a view outside of ``staging`` reads
            another file.
    """
    with duckdb.connect(path) as con:
        if alone:
            _stand_alone(con)
        con.execute("force checkpoint")
        tables = con.execute(
            "select schema_name || '.' || table_name, schema_name, table_name from duckdb_tables() "
            "where not internal and not temporary and database_name = current_database() order by 1"
        ).fetchall()
        rows = {
            name: con.table(identifier(schema, table)).count("*").fetchone()[0]
            for name, schema, table in tables
        }
    if os.path.exists(f"{path}.wal"):
        raise duckdb.IOException(f"{path}.wal is left after the checkpoint")
    return rows


def _stand_alone(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("set enable_external_access = false")
    views = con.execute(
        "select schema_name, view_name from duckdb_views() "
        "where not internal and database_name = current_database() order by all"
    ).fetchall()
    broken = [(schema, view) for schema, view in views if not _binds(con, schema, view)]
    for schema, view in broken:
        if schema != "staging":
            raise duckdb.BinderException(
                f"the view {schema}.{view} reads what the published file does not hold: materialize"
                " it as a table"
            )
        con.execute(f"drop view if exists {identifier(schema, view)}")


def _binds(con: duckdb.DuckDBPyConnection, schema: str, view: str) -> bool:
    try:
        con.execute(f"select * from {identifier(schema, view)} limit 0")
    except (duckdb.CatalogException, duckdb.BinderException, duckdb.PermissionException):
        return False
    return True


if __name__ == "__main__":
    try:
        print(json.dumps(finish(sys.argv[1], "alone" in sys.argv[2:])))
    except duckdb.Error as error:
        sys.exit(str(error))
