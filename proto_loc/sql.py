"""Connections to DuckDB in one time zone, and the quoting of names and texts in SQL."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import duckdb

TIME_ZONE = "UTC"
"""What a TIMESTAMPTZ is shown, cast and cut into days in. A model that means another zone says so
in its SQL: ``at time zone 'Asia/Kathmandu'``."""

_opening = threading.Lock()


def identifier(*names: str) -> str:
    """A name as SQL writes it, whatever characters it has; several are joined by dots."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(value: object) -> str:
    """The text of a value as an SQL string."""
    return "'" + str(value).replace("'", "''") + "'"


def exact_glob(path: Path) -> str:
    """The path as a glob that matches itself only: DuckDB reads every file name as one."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in os.fspath(path))


def open_duckdb(
    path: str | os.PathLike = ":memory:",
    *,
    read_only: bool = False,
    config: Mapping[str, str] | None = None,
) -> duckdb.DuckDBPyConnection:
    """A connection to DuckDB in :data:`TIME_ZONE`, which its cursors are in as well.

    Args:
        config: DuckDB's options; ``lock_configuration`` takes effect once the zone is set.

    Raises:
        duckdb.Error: as of :func:`duckdb.connect`.
    """
    options = dict(config or {})
    lock = options.pop("lock_configuration", "false") == "true"
    # Two connections to one file share its configuration, and one could lock it while the other
    # sets the zone.
    with _opening:
        con = duckdb.connect(os.fspath(path), read_only=read_only, config=options)
        try:
            if not con.execute("SELECT current_setting('lock_configuration')").fetchone()[0]:
                con.execute(f"SET GLOBAL TimeZone = '{TIME_ZONE}'")
                if lock:
                    con.execute("SET GLOBAL lock_configuration = true")
        except BaseException:
            con.close()
            raise
    return con
