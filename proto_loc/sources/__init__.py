"""Declarations of sources; each folder of ``pipelines/`` defines one as ``SOURCE``."""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

from proto_loc.errors import LocError, UsageError, of_source
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.sources.formats import Format
from proto_loc.warehouse import lake
from proto_loc.warehouse.errors import explained
from proto_loc.warehouse.lake import Loading
from proto_loc.warehouse.ledger import Load, intact, whole

__all__ = [  # what the code of a source needs, beside proto_loc's errors, settings and sql
    "Format",
    "Load",
    "Loading",
    "Outcome",
    "Report",
    "Source",
    "Table",
    "WouldReplace",
    "intact",
    "is_loaded",
    "landing_files",
    "loading",
]

_LOST = re.compile(r"\bU?(HUGEINT|INT128)\b", re.IGNORECASE)
"""Types that Parquet lacks, so that DuckDB writes their values as doubles."""

Report = Callable[[str, int, int], None]
"""Reports progress: the step, the number of units done, the number of all units."""


class WouldReplace(UsageError):
    """Files lack rows of the loads that they would replace; nothing was loaded."""


@dataclass(frozen=True)
class Table:
    """A table of a source."""

    name: str
    """Its name, in ``raw`` and in the ledger."""
    columns: dict[str, str]
    """Column name → DuckDB type, in order; for HUGEINT, which Parquet lacks, DECIMAL(38,0)."""
    files: str = ""
    """Pattern of the names of this table's files, such as ``orders-*.csv``."""
    key: tuple[str, ...] = ()
    """Columns that identify a row."""
    partition: str = ""
    """What a load replaces: the whole table, ``file``, ``month:COLUMN`` or ``day:COLUMN``."""
    first: str = ""
    """The first month (``2024-01``) or day (``2024-01-31``) that can be loaded by its name."""
    rejects: bool = False
    """Whether rows that break the declaration go to the table ``NAME_rejects`` with their reason.
    If not, a file with such a row is refused."""
    min_rows: int = 1
    """A partition with fewer rows fails the check ``row_count``."""
    fresh_within: timedelta | None = None
    """The table is stale if its newest load is older."""
    format: Format = field(default_factory=Format)
    """How its files are written."""
    description: str = ""
    """What Dagster shows."""

    def __post_init__(self) -> None:
        """Check the types and the partition.

        Raises:
            ValueError: the lake has no such type, or the partition has another form than those
                above.
        """
        for column, kind in self.columns.items():
            if _LOST.search(kind):
                raise ValueError(
                    f"table {self.name}, column {column}: the lake cannot hold {kind}, since its"
                    " files are Parquet; write DECIMAL(38,0)"
                )
        unit, _, column = self.partition.partition(":")
        pattern = {"month": r"\d{4}-\d\d", "day": r"\d{4}-\d\d-\d\d"}.get(unit, "")
        if self.partition not in ("", "file") and (not pattern or column not in self.columns):
            raise ValueError(
                f"table {self.name}: the partition {self.partition!r} is none; write file,"
                " month:COLUMN or day:COLUMN with one of its columns"
            )
        if unknown := [column for column in self.format.dates if column not in self.columns]:
            raise ValueError(f"table {self.name}: it has no column {unknown[0]}, but a date format")
        if self.first and not re.fullmatch(pattern, self.first):
            raise ValueError(
                f"table {self.name}: its first partition {self.first!r} is no"
                f" {unit or 'partition'}; write 2024-01 for a month, 2024-01-31 for a day"
            )

    @property
    def partition_column(self) -> str:
        """Column whose month or day a load replaces; empty if no column decides the partition."""
        return self.partition.partition(":")[2]


@dataclass(frozen=True)
class Outcome:
    """The result of loading one partition of a table, or one file."""

    load: Load | None
    """None if the file was only compared, or skipped."""
    input: str
    """Name of the file."""
    replaced: Load | None = None
    """The load that it replaced."""
    skipped: str = ""
    """Why nothing was loaded, as the end of a sentence; empty if it was loaded."""
    leaving: int = 0
    """Number of rows of ``load`` that the file lacks; because of them, the load stays."""
    ignored: tuple[str, ...] = ()
    """Columns of the file that no table has."""
    note: str = ""
    """Something else that a person should know, as the end of a sentence."""


class Source(Protocol):
    """What a folder ``pipelines/<name>/`` declares as ``SOURCE``.

    :class:`proto_loc.sources.files.FileSource` loads files; write a class of your own for a source
    that it does not support.
    """

    name: str
    """The name of its folder, of its schema in ``raw`` and of its folder in ``data/landing/``."""
    tables: Sequence[Table]
    """Every table that it loads, with the columns that the lake adds."""
    sample_rows: int | None
    """Rows of its sample by default; None where it has no sample."""

    def fits(self, path: Path) -> bool:
        """Whether this source declares the file."""

    def pending(self) -> list[Path]:
        """Return the files of its landing folder whose content was never loaded."""

    def load_files(
        self, paths: Sequence[Path], *, replace: bool = False, who: str, report: Report
    ) -> list[Outcome]:
        """Load the files: all of them, or none if one is refused."""

    def load_landing(self, *, who: str, report: Report) -> list[Outcome]:
        """Load the pending files; the outcome of a skipped file says why."""

    def load_sample(
        self, rows: int | None = None, seed: int | None = None, *, who: str, report: Report
    ) -> list[Outcome]:
        """Load generated rows, with the origin ``synthetic``; real records stay."""


@runtime_checkable
class PartitionedSource(Source, Protocol):
    """A source that can load partitions by name, as Dagster asks for them."""

    def load_partitions(
        self,
        table: str,
        partitions: Sequence[str],
        *,
        replace: bool = False,
        who: str,
        report: Report,
    ) -> list[Outcome]:
        """Load these partitions of a table that declares ``first``; real records stay."""


@runtime_checkable
class FetchingSource(Source, Protocol):
    """A source that fetches its rows itself, so that it has no files.

    Its ``load_landing`` fetches too; what cannot be fetched is then a skipped outcome.
    """

    def fetch(self, *, replace: bool = False, who: str, report: Report) -> list[Outcome]:
        """Fetch what is new and load it; with ``replace``, fetch and replace everything."""


def loading(*, who: str) -> AbstractContextManager[Loading]:
    """Open a write session of ``raw`` for the declared tables.

    Raises:
        WarehouseError: see :func:`proto_loc.warehouse.lake.loading`.
    """
    return lake.loading(declared_columns(), who=who)


def is_loaded(source: str) -> Callable[[str], bool]:
    """Return a function that tells from a file's SHA-256 whether the file is loaded.

    A file whose load was superseded counts as loaded, so that the later load stays. A file whose
    rows are lost from the lake does not.
    """
    loads = [load for load in lake.loads(active=False) if load.source == source]
    lost = {load.input_sha256 for load in loads if load.active and not whole(load)}
    return ({load.input_sha256 for load in loads} - lost).__contains__


def find_sources() -> dict[str, Source]:
    """The sources of ``pipelines/`` by name.

    Raises:
        LocError: the code of a source is broken, or has no ``SOURCE`` with its folder's name.
    """
    sources = {}
    for module in pkgutil.iter_modules([str(ROOT / "pipelines")]):
        if not module.ispkg:
            continue
        file = ROOT / "pipelines" / module.name / "__init__.py"
        try:
            source = getattr(importlib.import_module(f"pipelines.{module.name}"), "SOURCE", None)
        except LocError:
            raise
        except Exception as error:
            raise (
                of_source(error, ROOT / "pipelines")
                or LocError(f"{file} cannot be read.", str(error))
            ) from error
        if getattr(source, "name", None) != module.name:
            raise LocError(
                f"{file} declares no source named {module.name}.",
                "Each folder of pipelines/ is a source.",
                f'Define `SOURCE` there, with `name="{module.name}"`; see docs/declaration.md.',
            )
        sources[module.name] = source
    return sources


def find_source(name: str) -> Source:
    """The source of that name.

    Raises:
        UsageError: there is none; the message lists the sources.
    """
    sources = find_sources()
    if name not in sources:
        raise UsageError(
            f"There is no source {name}.",
            f"pipelines/ has: {', '.join(sources) or 'none'}.",
            "Name one of those, or make it: `loc source add NAME --csv FILES`.",
        )
    return sources[name]


def source_of_files(paths: Sequence[Path]) -> Source:
    """The one source that declares all of these files; the only source takes any file.

    Raises:
        UsageError: no source declares all of them, or several sources do.
    """
    sources = find_sources()
    if len(sources) == 1:
        return next(iter(sources.values()))
    fitting = [source for source in sources.values() if all(source.fits(path) for path in paths)]
    if len(fitting) != 1:
        names = ", ".join(source.name for source in fitting)
        raise UsageError(
            "It is not clear which source the files belong to.",
            f"They fit {f'several: {names}' if names else 'no source of pipelines/'}.",
            f"Name the source: `loc load NAME FILES`; there is {', '.join(sources) or 'none'}.",
        )
    return fitting[0]


def source_with_sample(name: str = "") -> Source:
    """The source of that name, or the only one that has a sample.

    Raises:
        UsageError: there is none, or there are several.
    """
    if name:
        return find_source(name)
    names = [source.name for source in find_sources().values() if source.sample_rows]
    if len(names) != 1:
        raise UsageError(
            "It is not clear which sample is meant.",
            f"Sources of pipelines/ with a sample: {', '.join(names) or 'none'}.",
            "Run `loc load NAME sample`.",
        )
    return find_source(names[0])


def landing_files(name: str) -> list[Path]:
    """Return the files of a source in the landing folder.

    These are all files in ``data/landing/<name>/``, and the files in ``data/landing/`` itself that
    fit only this source.
    """
    sources, landing = find_sources(), settings().landing
    with explained("Looking into the landing folder", landing):
        own = landing / name
        paths = list(_files(own)) if own.is_dir() else []
        for path in private_folder(landing).iterdir():
            if path.is_dir() and path.name in sources:
                continue
            if len(sources) == 1 or [s.name for s in sources.values() if s.fits(path)] == [name]:
                paths.append(path)
    return sorted(path for path in paths if not path.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    """What is in a folder and, in place of folders such as ``year=2025``, what is in them."""
    for path in folder.iterdir():
        if path.is_dir() and "=" in path.name:
            yield from _files(path)
        else:
            yield path


def left_out() -> list[Outcome]:
    """Files in ``data/landing/`` itself that fit no source, or several, each with the reason."""
    sources = find_sources()
    if len(sources) < 2:
        return []
    outcomes = []
    for path in sorted(private_folder(settings().landing).iterdir()):
        if path.name.startswith(".") or path.name in sources:
            continue
        names = [source.name for source in sources.values() if source.fits(path)]
        if len(names) != 1:
            fit = f"it fits several sources, {', '.join(names)}" if names else "it fits no source"
            reason = f"{fit}: move it to data/landing/NAME/ of its source"
            outcomes.append(Outcome(None, path.name, skipped=reason))
    return outcomes


def declared_tables() -> dict[tuple[str, str], Table]:
    """(source, table) → declaration, of every source."""
    return {
        (source.name, table.name): table
        for source in find_sources().values()
        for table in source.tables
    }


def declared_columns() -> dict[str, dict[str, str]]:
    """``source.table`` in ``raw`` → column → DuckDB type, of every source."""
    return {
        f"{source}.{name}": table.columns for (source, name), table in declared_tables().items()
    }
