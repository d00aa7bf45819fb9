"""Sources of CSV, Parquet, JSON and NDJSON files; DuckDB reads them with declared types."""

import hashlib
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace as changed
from fnmatch import fnmatch
from pathlib import Path

import duckdb

from proto_loc.errors import UsageError
from proto_loc.settings import private_folder, settings
from proto_loc.sources import (
    Load,
    Loading,
    Outcome,
    Report,
    Table,
    WouldReplace,
    intact,
    is_loaded,
    landing_files,
    loading,
)
from proto_loc.sources.content import PARTIAL, plain_name, refused
from proto_loc.sources.reading import partition_values, read
from proto_loc.sources.stillness import being_written, state
from proto_loc.sql import exact_glob, identifier, literal, open_duckdb

ADDED = {
    "_source_file": "VARCHAR",
    "_row": "BIGINT",
    "_load_id": "BIGINT",
    "_loaded_at": "TIMESTAMP",
}
"""Columns that the lake adds: file, position in the file (from 1), load, and time (UTC)."""

REJECTED = {"_reason": "VARCHAR", "_record": "JSON", "_line": "BIGINT"}
"""Columns of a table of rejects before :data:`ADDED`: the reason, the row of the file, and the line
where it begins, if the file has lines."""


def checksum(path: Path) -> str:
    """SHA-256 of the file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FileSource:
    """A source whose tables are loaded from files; see :class:`proto_loc.sources.Source`."""

    def __init__(
        self,
        name: str,
        tables: Sequence[Table],
        sample: Callable[[Path, int, int], None] | None = None,
        sample_rows: int | None = None,
    ) -> None:
        """Declare a source.

        Args:
            name: the name of its folder in ``pipelines/``.
            tables: the tables, with the columns of the files.
            sample: writes files with generated rows into a folder, given their number and a seed;
                the same seed gives the same rows.
            sample_rows: rows of the sample by default.
        """
        self.name = name
        self.sample_rows = sample_rows
        self._sample = sample
        self._declared = tuple(tables)
        self.tables = [
            stored
            for table in tables
            for stored in (
                changed(table, columns={**table.columns, **ADDED}),
                *([_rejects_of(table)] if table.rejects else []),
            )
        ]

    def fits(self, path: Path) -> bool:
        partial = path.suffix.lower() in PARTIAL
        return path.is_file() and not partial and len(self._tables_of(path)) == 1

    def pending(self) -> list[Path]:
        known = is_loaded(self.name)
        files = [path for path in landing_files(self.name) if self.fits(path)]
        return [path for path in files if not known(checksum(path))]

    def load_landing(self, *, who: str, report: Report) -> list[Outcome]:
        outcomes = [
            Outcome(None, label(path), skipped=self._unfit(path))
            for path in landing_files(self.name)
            if not self.fits(path)
        ]
        paths = []
        for path in self.pending():
            if reason := being_written(path, by_age=True):
                outcomes.append(Outcome(None, label(path), skipped=reason))
            else:
                paths.append(path)
        if paths:
            with loading(who=who) as session:
                outcomes += self._load(session, paths, False, report)
        return outcomes

    def _unfit(self, path: Path) -> str:
        """Why a file of the landing folder is left out, as the end of a sentence."""
        if path.suffix.lower() in PARTIAL:
            return "it is still being written, by its name"
        return f"no table of {self.name} declares such a name"

    def load_files(
        self, paths: Sequence[Path], *, replace: bool = False, who: str, report: Report
    ) -> list[Outcome]:
        for path in paths:
            if reason := being_written(path, by_age=False):
                raise refused(path, f"It cannot be loaded yet: {reason}.", "Load it afterwards.")
        with loading(who=who) as session:
            outcomes = self._load(session, paths, replace, report)
            if kept := [outcome for outcome in outcomes if outcome.leaving]:
                raise WouldReplace(
                    f"{kept[0].input} would take away {kept[0].leaving:,} rows of"
                    f" {kept[0].load.input}.",
                    "A partition is loaded as a whole.",
                    "Put all of its rows into one file, or say --replace; nothing was loaded.",
                )
        return outcomes

    def load_sample(self, rows=None, seed=None, *, who: str, report: Report) -> list[Outcome]:
        if self._sample is None:
            raise UsageError(
                f"The source {self.name} has no sample.",
                "It loads files.",
                f"Run `loc load {self.name} FILES`.",
            )
        rows, seed = (self.sample_rows or 0) if rows is None else rows, 1 if seed is None else seed
        with scratch_folder() as folder, loading(who=who) as session:
            self._sample(folder, rows, seed)
            return self._load(session, sorted(folder.iterdir()), False, report, "synthetic")

    def _tables_of(self, path: Path) -> list[Table]:
        """The tables that declare such a name, of several the one whose pattern says more."""
        tables = [table for table in self._declared if fits_pattern(path, table.files)]
        letters = [len(re.sub(r"[*?]", "", table.files)) for table in tables]
        return [t for t, n in zip(tables, letters, strict=True) if n == max(letters)]

    def _load(
        self,
        session: Loading,
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
            for outcome in self._load_file(session, tables[0], path, replace, origin):
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
        self, session: Loading, table: Table, path: Path, replace: bool, origin: str
    ) -> list[Outcome]:
        own = [load for load in session.loads() if load.source == self.name]
        active = {(load.table_name, load.partition): load for load in own}
        former = [
            load for load in own if load.table_name == table.name and not has_form(table, load)
        ]
        same = {load.table_name: load for load in own if load.input == label(path)}
        if not replace and (records := [load for load in former if load.origin == "file"]):
            raise refused(
                path,
                f"{table.name} declares the partition {table.partition!r}, and its loads are of"
                f" another partition, such as {records[0].partition} of {records[0].input}.",
                f"Load all files again with --replace: `loc load {self.name} FILES --replace`;"
                " nothing was loaded.",
            )
        with scratch_folder() as scratch, open_duckdb(scratch / "rows.duckdb") as con:
            before = state(path) if path.exists() else None
            digest = checksum(path) if path.is_file() else None
            read(con, table, path, scratch)
            if state(path) != before:
                raise refused(path, "It changed while it was read.", "Load it once it is still.")
            outcomes = []
            for stored, partition, query in parts(con, table, path):
                there = active.get((stored, partition))
                if not there and (stored != table.name or table.partition == "file"):
                    there = same.get(stored)  # an older release named its partition otherwise
                    there = None if there in former else there
                if there and there.input_sha256 == digest and intact(there):
                    reason = "it is loaded already"
                    outcomes.append(Outcome(there, label(path), skipped=reason))
                    continue
                if there and origin == "synthetic" and there.origin == "file":
                    outcomes.append(Outcome(there, label(path), skipped="real records are kept"))
                    continue
                load_id, target = session.reserve(self.name, stored, partition)
                (rows,) = con.execute(
                    f"copy (select * exclude (_row), {literal(label(path))} as _source_file,"
                    f" _row, {load_id}::bigint as _load_id,"
                    f" {literal(session.loaded_at)}::timestamp as _loaded_at"
                    f" from ({query}))"
                    f" to {literal(target)} (format parquet, compression zstd)"
                ).fetchone()
                leaving = 0
                if stored == table.name and not replace:
                    leaving = count_leaving(con, table, there, target, path)
                if leaving:
                    session.give_back(target)
                    reason = (
                        f"it lacks {leaving:,} of the {there.rows:,} rows of {there.input}"
                        f" (`loc load {self.name} {shlex.quote(str(path))} --replace`"
                        " takes them away)"
                    )
                    outcomes.append(Outcome(there, label(path), skipped=reason, leaving=leaving))
                    continue
                load = Load(
                    load_id, self.name, stored, partition, origin,
                    str(target.relative_to(settings().lake)), rows, target.stat().st_size,
                    label(path), digest, session.loaded_at,
                )  # fmt: skip
                session.add(load)
                if there and there.partition != partition:
                    session.retire([there])
                outcomes.append(Outcome(load, label(path), replaced=there))
        if former and any(outcome.load.table_name == table.name for outcome in outcomes):
            session.retire(former)
        replaced = {outcome.replaced.input for outcome in outcomes if outcome.replaced}
        others = {*replaced, *(load.input for load in former)} - {label(path)}
        self._retire_rejects(session, table, others)
        return outcomes

    def _retire_rejects(self, session: Loading, table: Table, inputs: set[str]) -> None:
        """Retire the rejects of files that no active load of the table is from any more."""
        own = [load for load in session.loads() if load.source == self.name]
        gone = inputs - {load.input for load in own if load.table_name == table.name}
        if rejects := [
            load
            for load in own
            if load.table_name == f"{table.name}_rejects" and load.input in gone
        ]:
            session.retire(rejects)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a temporary folder in the run folder, which is on disk; ``/tmp`` may be memory."""
    base = private_folder(settings().run / "tmp")
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=base) as folder:
        yield Path(folder)


def fits_pattern(path: Path, pattern: str) -> bool:
    """Whether a file has such a name; ``.gz``, ``.zst`` and ``.zip`` at its end do not count.

    Args:
        pattern: of the name, or of the name with its folders, such as ``year=*/*.csv``.
    """
    parts = pattern.split("/")
    names = [*path.absolute().parts[-len(parts) : -1], path.name]
    return len(names) == len(parts) and all(
        fnmatch(name, part) or fnmatch(plain_name(name), part)
        for name, part in zip(names, parts, strict=True)
    )


def label(path: Path) -> str:
    """The name of a file, with its folders such as ``year=2025``."""
    folders = [f"{key}={value}" for key, value in partition_values(path).items()]
    return "/".join([*folders, path.name])


def _rejects_of(table: Table) -> Table:
    """Declare the table of rows that break a table's declaration; each file is a partition."""
    return Table(
        f"{table.name}_rejects",
        REJECTED | ADDED,
        partition="file",
        min_rows=0,
        description=f"Rows of the files of {table.name} that break its declaration.",
    )


def file_partition(name: str) -> str:
    """The partition of a file of such a name; it has a hash where a sign is not kept."""
    kept = re.sub(r"[^\w.=-]", "_", name)
    return kept if kept == name else f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def has_form(table: Table, load: Load) -> bool:
    """Whether the partition of a load is one of those that the table declares."""
    unit = table.partition.partition(":")[0]
    if unit == "file":
        other = re.fullmatch(r"all|\d{4}-\d\d(-\d\d)?", load.partition)
        return not other or load.partition == file_partition(plain_name(load.input))
    form = {"month": r"\d{4}-\d\d", "day": r"\d{4}-\d\d-\d\d"}.get(unit, "all")
    return bool(re.fullmatch(form, load.partition))


def parts(con: duckdb.DuckDBPyConnection, table: Table, path: Path) -> list[tuple[str, str, str]]:
    """Return table, partition and query of each part in which a file is stored."""
    aside = f"{table.name}_rejects", file_partition(label(path)), "from rejects"
    rejects = [aside] if table.rejects else []
    column = table.partition_column
    if not column:
        name = file_partition(plain_name(label(path))) if table.partition else "all"
        return [(table.name, name, "from rows"), *rejects]
    form = "%Y-%m" if table.partition.startswith("month:") else "%Y-%m-%d"
    value = f"strftime({identifier(column)}, '{form}')"
    names = con.execute(f"select distinct {value} from rows order by 1").fetchall()
    return [
        *((table.name, name, f"from rows where {value} = {literal(name)}") for (name,) in names),
        *rejects,
    ]


def count_leaving(
    con: duckdb.DuckDBPyConnection, table: Table, there: Load | None, target: Path, path: Path
) -> int:
    """Count the rows of a load that a file lacks; 0 for a file of the same name, a new edition."""
    if not there or there.input == label(path) or not intact(there):
        return 0
    if there.origin != "file":
        return 0
    old, new = (f"read_parquet({literal(exact_glob(file))})" for file in (there.path, target))
    known = {row[0] for row in con.execute(f"describe select * from {old}").fetchall()}
    names = ", ".join(identifier(column) for column in table.columns if column in known)
    return con.execute(
        f"select count(*) from (select {names} from {old} except all select {names} from {new})"
    ).fetchone()[0]
