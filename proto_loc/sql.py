"""DuckDB connections in one time zone, and quoting of names and values in SQL."""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb

TIME_ZONE = "UTC"
"""Time zone in which a TIMESTAMPTZ is shown, cast and truncated. A model can use another one in
its SQL: ``at time zone 'Asia/Kathmandu'``."""

_opening = threading.Lock()


def identifier(*names: str) -> str:
    """Quote names as an SQL identifier, joined by dots."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(value: object) -> str:
    """Quote a value as an SQL string."""
    return "'" + str(value).replace("'", "''") + "'"


def values(rows: Iterable[Sequence]) -> str:
    """Rows of plain values as the rows of ``values``, in SQL that DuckDB and Trino run."""
    return ", ".join(f"({', '.join(map(value, row))})" for row in rows)


def batches(rows: Sequence[Sequence], size: int = 500) -> Iterator[Sequence[Sequence]]:
    """Rows in parts that one statement can hold."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def value(plain: object) -> str:
    """A plain value as SQL that DuckDB and Trino run.

    Raises:
        TypeError: it is none of None, bool, int, float, Decimal, str, date, datetime, a list.
    """
    match plain:
        case None:
            return "null"
        case bool():
            return str(plain).lower()
        case int() | Decimal():
            return _number(Decimal(plain))
        case float():
            return f"cast('{plain!r}' as double)".replace("'nan'", "'NaN'").replace(
                "inf'", "Infinity'"
            )
        case str():
            return literal(plain)
        case list():
            return f"array[{', '.join(map(value, plain))}]"
        case datetime() if plain.tzinfo:
            # Trino's cast to a time with zone would keep milliseconds; sessions are in UTC.
            utc = plain.astimezone(UTC).replace(tzinfo=None)
            return f"({value(utc)} at time zone 'UTC')"
        case datetime():
            return f"timestamp '{plain:%Y-%m-%d %H:%M:%S.%f}'"
        case date():
            return f"date '{plain}'"
    raise TypeError(f"{plain!r} is no plain value")


def _number(exact: Decimal) -> str:
    """An exact number: both engines read digits without a point as 64 bits, and an exponent as a
    double.
    """
    text = f"{exact:f}"
    if exact.is_finite() and "." not in text and abs(exact) >= 2**63:
        return f"cast('{text}' as decimal({len(text.lstrip('-'))}, 0))"
    return text


def exact_glob(path: Path) -> str:
    """Escape a path as a glob pattern, since DuckDB reads every file name as a pattern."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in os.fspath(path))


def open_duckdb(
    path: str | os.PathLike = ":memory:",
    *,
    read_only: bool = False,
    config: Mapping[str, str] | None = None,
) -> duckdb.DuckDBPyConnection:
    """Connect to DuckDB in :data:`TIME_ZONE`, which its cursors inherit.

    Args:
        config: DuckDB's options; ``lock_configuration`` takes effect once the zone is set.

    Raises:
        duckdb.Error: see :func:`duckdb.connect`.
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
                with suppress(duckdb.InvalidInputException):  # a kernel without ipywidgets has none
                    con.execute("SET enable_progress_bar = false")  # it prints among the answers
                if lock:
                    con.execute("SET GLOBAL lock_configuration = true")
        except BaseException:
            con.close()
            raise
    return con
