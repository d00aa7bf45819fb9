"""What a source is, and the sources of ``pipelines/``: each folder there defines ``SOURCE``."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from proto_loc.errors import LocError, UsageError, of_source
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.warehouse.errors import explained
from proto_loc.warehouse.ledger import Load

Report = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


class WouldReplace(UsageError):
    """Files would take the place of others without having their rows; nothing was loaded."""


@dataclass(frozen=True)
class Table:
    """A table of a source."""

    name: str
    columns: dict[str, str]
    """Column name → DuckDB type, in order."""
    files: str = ""
    """Pattern of the names of this table's files, such as ``orders-*.csv``."""
    key: tuple[str, ...] = ()
    """Columns that identify a row; two rows of a file with the same key are refused."""
    partition: str = ""
    """What a load replaces: the whole table, ``file``, ``month:COLUMN`` or ``day:COLUMN``."""


@dataclass(frozen=True)
class Outcome:
    """What became of one partition of a table, or of one file."""

    load: Load | None
    """None where the file was only compared, or left out."""
    input: str
    """Name of the file."""
    replaced: Load | None = None
    """The load whose place it took."""
    skipped: str = ""
    """Why nothing was loaded: the reason for a sentence, empty if it was loaded."""
    leaving: int = 0
    """Rows of ``load`` that the file lacks, for which it was not loaded in its place."""
    ignored: tuple[str, ...] = ()
    """Columns of the file that no table has."""
    note: str = ""
    """What a person is to know beside that, as the end of a sentence."""


class Source(Protocol):
    """What a folder ``pipelines/<name>/`` declares as ``SOURCE``.

    :class:`proto_loc.sources.files.FileSource` is one for files; write a class of your own for
    what it cannot do.
    """

    name: str
    """The name of its folder, of its schema in ``raw`` and of its folder in ``data/landing/``."""
    sample_rows: int | None
    """Rows of its sample by default; None where it has no sample."""

    def columns(self) -> dict[str, dict[str, str]]:
        """Table → column → DuckDB type, with the columns that the lake adds."""

    def fits(self, path: Path) -> bool:
        """Whether the file is declared by this source."""

    def pending(self) -> list[Path]:
        """Files of its landing folder that were never loaded, by content."""

    def load_files(
        self, paths: Sequence[Path], *, replace: bool = False, who: str, report: Report
    ) -> list[Outcome]:
        """Load the files: all of them, or none if one is refused."""

    def load_landing(self, *, who: str, report: Report) -> list[Outcome]:
        """Load what is pending; the outcome of a file that is left out says why."""

    def load_sample(
        self, rows: int | None = None, seed: int | None = None, *, who: str, report: Report
    ) -> list[Outcome]:
        """Load generated rows, with the origin ``synthetic``; real records stay."""


def find_sources() -> dict[str, Source]:
    """The sources of ``pipelines/`` by name.

    Raises:
        LocError: the code of one is broken, or defines no ``SOURCE`` of its folder's name.
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
                f'Define `SOURCE` there, with `name="{module.name}"`: docs/data.md shows how.',
            )
        sources[module.name] = source
    return sources


def find_source(name: str) -> Source:
    """The source of that name.

    Raises:
        UsageError: there is none; the message names what there is.
    """
    sources = find_sources()
    if name not in sources:
        raise UsageError(
            f"There is no source {name}.",
            f"pipelines/ has: {', '.join(sources) or 'none'}.",
            "Name one of those, or add the folder pipelines/NAME/: docs/data.md shows how.",
        )
    return sources[name]


def source_of_files(paths: Sequence[Path]) -> Source:
    """The one source that declares all of these files; the only source takes any file.

    Raises:
        UsageError: none does, or several do.
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
    """The files of a source: those in ``data/landing/<name>/``, and those in ``data/landing/``
    itself that fit this source alone.
    """
    sources, landing = find_sources(), settings().landing
    with explained("Looking into the landing folder", landing):
        own = landing / name
        paths = list(own.iterdir()) if own.is_dir() else []
        for path in private_folder(landing).iterdir():
            if path.is_dir() and path.name in sources:
                continue
            if len(sources) == 1 or [s.name for s in sources.values() if s.fits(path)] == [name]:
                paths.append(path)
    return sorted(path for path in paths if not path.name.startswith("."))


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


def __getattr__(name: str):
    """``TABLES``: ``source.table`` in ``raw`` → column → DuckDB type, of every source."""
    if name != "TABLES":
        raise AttributeError(name)
    return {
        f"{source.name}.{table}": columns
        for source in find_sources().values()
        for table, columns in source.columns().items()
    }
