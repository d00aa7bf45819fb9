"""Writes a Parquet file of trips for the lake, with the columns of :data:`schema.META`."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from pipelines.taxi.schema import META
from proto_loc.errors import LocError, disk_is_full
from proto_loc.sql import literal

ROW_GROUP = 122_880


def meta_fields(
    origin: str, month: str, source_file: str, row: str, load_id: int, loaded_at: datetime
) -> str:
    """Return the select list of :data:`schema.META`; only ``row`` is an SQL expression."""
    moment = loaded_at.astimezone(UTC).replace(tzinfo=None) if loaded_at.tzinfo else loaded_at
    values = (
        literal(origin),
        literal(f"{month}-01"),
        literal(source_file),
        row,
        str(int(load_id)),
        literal(str(moment)),
    )
    return ", ".join(
        f"CAST({value} AS {column.type}) AS {column.name}"
        for value, column in zip(values, META, strict=True)
    )


def write_parquet(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    target: Path,
    rows: int,
    still_good=lambda: None,
) -> int:
    """Write a query to ``target``, if it has ``rows`` rows and ``still_good()`` does not raise.

    Raises:
        LocError: the number of rows differs, or the query failed.
        OSError, duckdb.Error: the disk is full.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        written = connection.execute(
            f"COPY ({query}) TO {literal(part)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE"
            f" {ROW_GROUP})"
        ).fetchone()[0]
        if written != rows:
            raise LocError(
                f"{shown(target)} was not written.",
                f"Of {rows} rows, {written} arrived.",
                "Please report this with the source file.",
            )
        still_good()
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
    except (duckdb.Error, OSError) as error:
        if disk_is_full(error):
            raise  # the warehouse's session explains it
        raise LocError(
            f"{shown(target)} could not be written.",
            first_lines(error),
            "Check the permissions of its folder.",
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return written


def shown(path: Path | str) -> str:
    """Format a path for a message; escape characters that cannot be printed."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def first_lines(error: Exception, plain: Path | None = None) -> str:
    """Shorten DuckDB's message about a file: no advice, no path of the scratch folder."""
    text = str(error).split("\nPossible fixes", 1)[0].split("\n\n", 1)[0]
    text = ", ".join(line.strip() for line in text.splitlines() if line.strip())
    text = re.sub(r"^[\w ]+ Error: ", "", text)
    text = text.replace(str(plain), "the file") if plain else text
    return f"{text[:300].rstrip('. ')}."
