"""Make a session's file fit to publish; run as a program: ``finish.py FILE`` prints ``{"schema.table": rows}`` as JSON.

In a process of its own, because DuckDB's lock on a file is a POSIX record lock: it shows here a handle that is still
open elsewhere, and it would be lost in the writer's process as soon as that process opened and closed the file.
"""

import json
import os
import sys

import duckdb


def finish(path: str) -> dict[str, int]:
    """Drop what refers to another catalogue, write the log into the file, and count the rows of every table."""
    with duckdb.connect(path) as con:
        views = con.execute(
            "select format('\"{}\".\"{}\"', replace(schema_name, '\"', '\"\"'), replace(view_name, '\"', '\"\"')) "
            "from duckdb_views() where not internal and database_name = current_database()"
        ).fetchall()
        for (view,) in views:
            try:
                con.execute(f"select * from {view} limit 0")
            except (duckdb.CatalogException, duckdb.BinderException):
                con.execute(f"drop view if exists {view}")
        con.execute("force checkpoint")
        tables = con.execute(
            "select schema_name || '.' || table_name, schema_name, table_name from duckdb_tables() "
            "where not internal and not temporary and database_name = current_database() order by 1"
        ).fetchall()
        rows = {name: con.table(f'"{schema}"."{table}"').count("*").fetchone()[0] for name, schema, table in tables}
    if os.path.exists(f"{path}.wal"):
        raise duckdb.IOException(f"{path}.wal is left after the checkpoint")
    return rows


if __name__ == "__main__":
    try:
        print(json.dumps(finish(sys.argv[1])))
    except duckdb.Error as error:
        sys.exit(str(error))
