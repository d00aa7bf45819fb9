"""Sources that are files: CSV, Parquet, JSON and NDJSON, read by DuckDB with declared types."""

import hashlib
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import duckdb

from proto_loc import sources
from proto_loc.errors import LocError, UsageError
from proto_loc.settings import private_folder, settings
from proto_loc.sources import Outcome, Report, Table, WouldReplace
from proto_loc.sql import identifier, literal, open_duckdb
from proto_loc.warehouse import lake
from proto_loc.warehouse.errors import disk_is_full
from proto_loc.warehouse.lake import Load, Loading

ADDED = {
    "_source_file": "VARCHAR",
    "_row": "BIGINT",
    "_load_id": "BIGINT",
    "_loaded_at": "TIMESTAMP",
}
"""What the lake adds to each row: its file, its position there from 1, its load, and when (UTC)."""

READERS = {
    ".csv": "read_csv({}, header = true, skip = 0, delim = ',', {})",
    ".json": "read_json({}, {})",
    ".ndjson": "read_json({}, format = 'newline_delimited', {})",
    ".parquet": "read_parquet({})",
}


def checksum(path: Path) -> str:
    """SHA-256 of the file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class FileSource:
    """A source whose tables are loaded from files; see :class:`proto_loc.sources.Source`."""

    name: str
    tables: tuple[Table, ...]
    sample: Callable[[Path, int, int], None] | None = None
    """Writes files with so many generated rows into a folder; the same seed gives the same ones."""
    sample_rows: int | None = None

    def columns(self) -> dict[str, dict[str, str]]:
        return {table.name: {**table.columns, **ADDED} for table in self.tables}

    def fits(self, path: Path) -> bool:
        return path.is_file() and len(self._tables_of(path)) == 1

    def pending(self) -> list[Path]:
        loads = [load for load in lake.loads(active=False) if load.source == self.name]
        lost = {load.input_sha256 for load in loads if load.active and not lake.whole(load)}
        known = {load.input_sha256 for load in loads} - lost
        files = [path for path in sources.landing_files(self.name) if self.fits(path)]
        return [path for path in files if checksum(path) not in known]

    def load_landing(self, *, who: str, report: Report) -> list[Outcome]:
        outcomes = [
            Outcome(None, path.name, skipped=f"no table of {self.name} declares such a name")
            for path in sources.landing_files(self.name)
            if not self.fits(path)
        ]
        if paths := self.pending():
            with lake.loading(sources.TABLES, who=who) as loading:
                outcomes += self._load(loading, paths, False, report)
        return outcomes

    def load_files(
        self, paths: Sequence[Path], *, replace: bool = False, who: str, report: Report
    ) -> list[Outcome]:
        with lake.loading(sources.TABLES, who=who) as loading:
            outcomes = self._load(loading, paths, replace, report)
            if kept := [outcome for outcome in outcomes if outcome.leaving]:
                raise WouldReplace(
                    f"{kept[0].input} would take away {kept[0].leaving:,} rows of"
                    f" {kept[0].load.input}.",
                    "A partition is loaded as a whole.",
                    "Put all of its rows into one file, or say --replace; nothing was loaded.",
                )
        return outcomes

    def load_sample(self, rows=None, seed=None, *, who: str, report: Report) -> list[Outcome]:
        if self.sample is None:
            raise UsageError(
                f"The source {self.name} has no sample.",
                "It loads files.",
                f"Run `loc load {self.name} FILES`.",
            )
        rows, seed = (self.sample_rows or 0) if rows is None else rows, 1 if seed is None else seed
        base = private_folder(settings().run / "tmp")
        with (
            tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=base) as folder,
            lake.loading(sources.TABLES, who=who) as loading,
        ):
            self.sample(Path(folder), rows, seed)
            paths = sorted(Path(folder).iterdir())
            return self._load(loading, paths, False, report, "synthetic")

    def _tables_of(self, path: Path) -> list[Table]:
        return [table for table in self.tables if fnmatch(path.name, table.files)]

    def _load(
        self,
        loading: Loading,
        paths: Sequence[Path],
        replace: bool,
        report: Report,
        origin: str = "file",
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        written: dict[tuple[str, str], Path] = {}
        for done, path in enumerate(paths):
            report(f"loading {path.name}", done, len(paths))
            tables = self._tables_of(path)
            if len(tables) != 1:
                names = ", ".join(f"{table.name}: {table.files}" for table in self.tables)
                raise refused(path, f"Its name fits {len(tables)} tables, of {names}.")
            for outcome in self._load_file(loading, tables[0], path, replace, origin):
                load = outcome.load
                place = load.table_name, load.partition
                if not outcome.skipped:
                    if place in written:
                        raise refused(
                            path,
                            f"{written[place].name} is of the same partition, {load.partition} of"
                            f" {load.table_name}, which is loaded as a whole.",
                        )
                    written[place] = path
                outcomes.append(outcome)
        report("loading", len(paths), len(paths))
        return outcomes

    def _load_file(
        self, loading: Loading, table: Table, path: Path, replace: bool, origin: str
    ) -> list[Outcome]:
        digest = checksum(path) if path.is_file() else None
        active = {
            load.partition: load
            for load in loading.loads()
            if (load.source, load.table_name) == (self.name, table.name)
        }
        base = private_folder(settings().run / "tmp")
        with (
            tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=base) as scratch,
            open_duckdb(Path(scratch) / "rows.duckdb") as con,
        ):
            read(con, table, path)
            outcomes = []
            for partition, where in partitions(con, table, path):
                there = active.get(partition)
                if there and there.input_sha256 == digest and lake.intact(there):
                    reason = "it is loaded already"
                    outcomes.append(Outcome(there, path.name, skipped=reason))
                    continue
                if there and origin == "synthetic" and there.origin == "file":
                    outcomes.append(Outcome(there, path.name, skipped="records are loaded"))
                    continue
                load_id, target = loading.reserve(self.name, table.name, partition)
                (rows,) = con.execute(
                    f"copy (select * exclude (_row), {literal(path.name)} as _source_file,"
                    f" _row, {load_id}::bigint as _load_id,"
                    f" {literal(loading.loaded_at)}::timestamp as _loaded_at"
                    f" from rows where {where} order by _row)"
                    f" to {literal(target)} (format parquet, compression zstd)"
                ).fetchone()
                leaving = 0 if replace else count_leaving(con, table, there, target, path)
                if leaving:
                    loading.give_back(target)
                    reason = (
                        f"it lacks {leaving:,} of the {there.rows:,} rows of {there.input}"
                        f" (`loc load {self.name} {shlex.quote(str(path))} --replace`"
                        " takes them away)"
                    )
                    outcomes.append(Outcome(there, path.name, skipped=reason, leaving=leaving))
                    continue
                load = Load(
                    load_id, self.name, table.name, partition, origin,
                    str(target.relative_to(settings().lake)), rows, target.stat().st_size,
                    path.name, digest, loading.loaded_at,
                )  # fmt: skip
                loading.add(load)
                outcomes.append(Outcome(load, path.name, replaced=there))
        return outcomes


def read(con: duckdb.DuckDBPyConnection, table: Table, path: Path) -> None:
    """Read the file into the table ``rows``, with ``_row``.

    Raises:
        LocError: the file breaks the declaration; the message names file, row and column.
    """
    suffix = path.suffix.lower()
    if suffix in (".xlsx", ".xls"):
        raise refused(path, "Excel needs an extension of DuckDB, and none is downloaded here.")
    if suffix not in READERS:
        raise refused(path, f"Files end in {', '.join(READERS)}.")
    name = literal(lake.pattern(path.absolute()))
    text = "all_varchar = true" if suffix == ".csv" else ""
    relation = READERS[suffix].format(name, text).replace(", )", ")")
    try:
        names = [row[0] for row in con.execute(f"describe select * from {relation}").fetchall()]
        missing = [column for column in table.columns if column not in names]
        more = [column for column in names if column not in table.columns]
        if missing or more:
            raise refused(
                path,
                f"Columns missing: {', '.join(missing) or 'none'}; not declared:"
                f" {', '.join(more) or 'none'}.",
            )
        if suffix == ".json" or suffix == ".ndjson":
            types = ", ".join(f"{identifier(column)}: 'VARCHAR'" for column in names)
            relation = READERS[suffix].format(name, f"columns = {{{types}}}")
        con.execute(f"create table texts as select *, row_number() over () as _row from {relation}")
        for column, kind in table.columns.items():
            value = identifier(column)
            cast = f"try_cast({value} as {kind})"
            # A cast may round: what comes back from it must be as near as the text says.
            loses = f"or ({cast})::double is distinct from try_cast({value} as double)"
            number = re.match(r"(?i)(u?(tiny|small|big|huge)?int|integer|decimal)", kind)
            bad = con.execute(
                f"select _row, {value} from texts where {value} is not null and"
                f" ({cast} is null {loses if number else ''}) order by _row limit 1"
            ).fetchone()
            if bad:
                raise refused(path, f"Row {bad[0]}, column {column}: {bad[1]!r} is no {kind}.")
        values = ", ".join(
            f"{identifier(column)}::{kind} as {identifier(column)}"
            for column, kind in table.columns.items()
        )
        con.execute(f"create table rows as select {values}, _row from texts")
        con.execute("drop table texts")
        if table.key:
            key = ", ".join(map(identifier, table.key))
            twice = con.execute(
                f"select {key}, max(_row) from rows group by {key} having count(*) > 1 limit 1"
            ).fetchone()
            if twice:
                names = ", ".join(table.key)
                raise refused(path, f"Row {twice[-1]}: {names} {twice[0]} is there twice.")
    except duckdb.Error as error:
        if disk_is_full(error):
            raise
        raise refused(path, str(error).split("\n\n")[0]) from error


def partitions(con: duckdb.DuckDBPyConnection, table: Table, path: Path) -> list[tuple[str, str]]:
    """Each partition of ``rows``, with the condition of its rows."""
    if table.partition == "":
        return [("all", "true")]
    if table.partition == "file":
        return [(re.sub(r"[^\w.-]", "_", path.stem), "true")]
    unit, _, column = table.partition.partition(":")
    if unit not in ("month", "day") or column not in table.columns:
        raise UsageError(
            f"The table {table.name} declares the partition {table.partition!r}.",
            "",
            "Write file, month:COLUMN or day:COLUMN with one of its columns.",
        )
    form = "%Y-%m" if unit == "month" else "%Y-%m-%d"
    value = f"strftime({identifier(column)}, '{form}')"
    names = con.execute(f"select distinct {value}, min(_row) from rows group by 1 order by 1")
    values = names.fetchall()
    for name, row in values:
        if name is None:
            raise refused(path, f"Row {row}, column {column}: no value, so no partition.")
    return [(name, f"{value} = {literal(name)}") for name, _ in values]


def count_leaving(
    con: duckdb.DuckDBPyConnection, table: Table, there: Load | None, target: Path, path: Path
) -> int:
    """Rows of a load that a file of another name lacks; a file of its name is a newer edition."""
    if not there or there.input == path.name or not lake.intact(there):
        return 0
    if there.origin != "file":
        return 0
    old, new = (f"read_parquet({literal(lake.pattern(file))})" for file in (there.path, target))
    known = {row[0] for row in con.execute(f"describe select * from {old}").fetchall()}
    names = ", ".join(identifier(column) for column in table.columns if column in known)
    return con.execute(
        f"select count(*) from (select {names} from {old} except all select {names} from {new})"
    ).fetchone()[0]


def refused(path: Path, why: str) -> LocError:
    """The error of a file that breaks the declaration."""
    return LocError(
        f"{path} was refused.",
        why,
        "Mend the file, or the declaration in pipelines/; nothing was loaded.",
    )
