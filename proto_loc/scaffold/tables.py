"""Finds the files of a new source, and which table each of them belongs to."""

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from proto_loc.errors import UsageError
from proto_loc.scaffold.names import clean
from proto_loc.sources import Table

_TAIL = re.compile(r"[-_. ]*\d[-_. \dTtZz]*$")
"""Date or number at the end of a name, by which the files of one table differ."""
_ENDINGS = re.compile(r"(?i)\.(csv|tsv|txt|json|ndjson|jsonl|parquet|xlsx?|gz|zst|zip)$")


def matching(pattern: str) -> list[Path]:
    """The files that match a pattern, sorted.

    Raises:
        UsageError: no file matches.
    """
    exact = Path(pattern).expanduser()
    paths = [exact] if exact.is_file() else map(Path, glob.glob(str(exact), recursive=True))
    chosen = sorted(path.absolute() for path in paths if path.is_file())
    if not chosen:
        raise UsageError(
            f"No file matches {pattern}.",
            f"The pattern was looked for in {Path.cwd()}.",
            "Name a file, or a pattern in quotes: 'data/*.csv', 'data/**/*.parquet'.",
        )
    return chosen


def tables_of(
    name: str, patterns: Sequence[str], named: Mapping[str, str]
) -> dict[str, list[Path]]:
    """Name the table of each file: its name without a date or number, or the name that is given.

    Args:
        name: the source, for files whose names say nothing else.
        patterns: patterns of files.
        named: table → pattern of its files.

    Raises:
        UsageError: a pattern matches no file, or a file is of two tables.
    """
    tables: dict[str, list[Path]] = {}
    for table, pattern in named.items():
        tables[clean(table, "table")] = matching(pattern)
    for path in dict.fromkeys(path for pattern in patterns for path in matching(pattern)):
        tables.setdefault(_table(name, path), []).append(path)
    seen: dict[Path, str] = {}
    for table, paths in tables.items():
        for path in paths:
            if seen.setdefault(path, table) != table:
                raise UsageError(
                    f"{path} is a file of two tables, {seen[path]} and {table}.",
                    "Each file belongs to one table.",
                    "Leave it out of one of the patterns.",
                )
    return tables


def _table(name: str, path: Path) -> str:
    folders = path.parts[:-1]
    hive = next((i for i, folder in enumerate(folders) if "=" in folder), None)
    stem = path.name
    while _ENDINGS.search(stem):
        stem = _ENDINGS.sub("", stem)
    text = folders[hive - 1] if hive else _TAIL.sub("", stem)
    return clean(text, "table") if re.search(r"[^\W_]", text) else name


def overridden(
    tables: Sequence[Table], keys: Mapping[str, str], partitions: Mapping[str, str]
) -> tuple[Table, ...]:
    """The tables with the keys and partitions that a person gives.

    Args:
        keys: table → columns, separated by commas; empty for a table without a key.
        partitions: table → partition, as :class:`~proto_loc.sources.Table` has it.

    Raises:
        UsageError: there is no such table or column.
    """
    names = [table.name for table in tables]
    for option, values in (("--key", keys), ("--partition", partitions)):
        for name in values:
            if name not in names:
                raise UsageError(
                    f"{option} names the table {name}, which is none.",
                    f"The tables are: {', '.join(names)}.",
                    f"Write {option} TABLE=...",
                )
    made = []
    for table in tables:
        if table.name in keys:
            key = tuple(part.strip() for part in keys[table.name].split(",") if part.strip())
            if missing := [column for column in key if column not in table.columns]:
                raise UsageError(
                    f"{table.name} has no column {missing[0]!r}.",
                    f"Its columns are: {', '.join(table.columns)}.",
                    f"Write --key {table.name}=COLUMN or --key {table.name}=COLUMN,COLUMN.",
                )
            table = replace(table, key=key)
        if table.name in partitions:
            try:
                table = replace(table, partition=partitions[table.name])
            except ValueError as error:
                raise UsageError(
                    f"{error}.", "", f"Write --partition {table.name}=month:COLUMN."
                ) from error
        made.append(table)
    return tuple(made)
