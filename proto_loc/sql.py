"""How DuckDB is opened: every connection of the platform reads and writes times in one zone, not in the machine's."""

import os
import threading
from collections.abc import Mapping

import duckdb

TIME_ZONE = "UTC"
"""What a TIMESTAMPTZ is shown, cast and cut into days in. A model that means another zone says so in its SQL:
``at time zone 'Asia/Kathmandu'``."""

_opening = threading.Lock()


def open_duckdb(
    path: str | os.PathLike = ":memory:", *, read_only: bool = False, config: Mapping[str, str] | None = None
) -> duckdb.DuckDBPyConnection:
    """A connection to DuckDB in :data:`TIME_ZONE`, which its cursors are in as well.

    Args:
        config: DuckDB's options; ``lock_configuration`` takes effect once the zone is set.

    Raises:
        duckdb.Error: as of :func:`duckdb.connect`.
    """
    options = dict(config or {})
    lock = options.pop("lock_configuration", "false") == "true"
    with _opening:  # two that open one file share its configuration: one could lock it while the other sets the zone
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
