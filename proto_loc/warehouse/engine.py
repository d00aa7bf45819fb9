"""What keeps the versions of ``prod``: DuckDB files by default, or Trino with Iceberg tables.

``raw`` is a catalogue of files with both, so its versions are always DuckDB files. Nothing outside
of this package asks which engine is in use: it calls the engine of a session or of a version.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from proto_loc.settings import settings
from proto_loc.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from proto_loc.warehouse.guard import Result
    from proto_loc.warehouse.session import Session
    from proto_loc.warehouse.store import Version


_MODULES = {
    "duckdb": "proto_loc.warehouse.file_engine",
    "trino": "proto_loc.warehouse.iceberg.engine",
}
"""Where each engine is; it is loaded only if it is used."""


class Relation(NamedTuple):
    """A table or view of a database."""

    schema: str
    name: str
    kind: str
    """``table`` or ``view``."""


class Finished(NamedTuple):
    """A session's data, ready to be published."""

    tables: dict[str, int]
    """Number of rows by ``schema.table``."""
    bytes: int
    facts: dict
    """What the engine has to know of the version, for its manifest."""


class Connection(Protocol):
    """An open database. Statements are in SQL that both engines run; see docs/portable-sql.md."""

    @property
    def description(self) -> Any:
        """The columns of the last result, as in Python's DB-API."""

    def execute(self, statement: str, parameters: Sequence = (), /) -> Any:
        """Run a statement; the result has ``fetchall`` and ``fetchone``."""

    def close(self) -> None: ...


class Reads(NamedTuple):
    """What a statement that a person or a model wrote reads."""

    tables: set[tuple[str | None, str]]
    """The schema (or None) and name of each table, without those that WITH clauses define."""
    ctes: set[str]
    """The names that WITH clauses define, in lower case."""
    describes: bool
    """Whether it is a SHOW, DESCRIBE or SUMMARIZE."""


class Statements(Protocol):
    """Checks SQL that a person or a model wrote, and limits its rows; in the engine's own SQL.

    Rules are a list of conditions by the table's name in lower case; a row must meet all.
    """

    def check(self, sql: str) -> None:
        """Raise unless it is one statement that only reads the version.

        Raises:
            guard.Refused: it is not.
        """

    def reads(self, sql: str) -> Reads:
        """What a statement reads.

        Raises:
            guard.Refused: see :meth:`check`.
        """

    def put(self, sql: str, clauses: dict[str, list[str]]) -> str:
        """Replace each table that has rules by a subquery with them.

        Raises:
            guard.Refused: the statement is not allowed, or cannot take the rules.
        """

    def hold(self, sql: str, clauses: dict[str, list[str]]) -> None:
        """Raise if a statement reads a table without its rules.

        Raises:
            guard.Refused: it does, or is not allowed at all.
        """

    def without_values(self, why: str) -> str:
        """An error's text without the values of data that the engine quotes."""


class Reader(Protocol):
    """Runs statements that people or models wrote on one version, one at a time."""

    def start(self) -> None:
        """Get ready, so that a statement need not wait."""

    def close(self) -> None: ...

    def run(
        self,
        sql: str,
        params: list | None = None,
        *,
        timeout: float = 30.0,
        limit: int = 10_000,
    ) -> "Result":
        """Check a statement, run it and fetch its rows.

        Raises:
            guard.Refused: it is not allowed; nothing was run.
            guard.TooLong: it ran longer than ``timeout`` seconds.
            LocError: it failed, or its result is too large.
        """


class Engine(Protocol):
    """Where a database's versions are, and how one is built and published."""

    name: str
    """As in ``LOC_ENGINE`` and in manifests."""
    title: str
    """As in messages."""
    error: type[Exception]
    """What a statement raises that cannot be run."""
    missing: type[Exception]
    """What a statement raises that names a table that is not there; one of ``error``."""

    def wait(self) -> None:
        """Wait until the engine answers.

        Raises:
            WarehouseError: it does not answer in time.
        """

    def heal(self, database: str, serving: int | None) -> int | None:
        """The version to serve, given the one that the link names: a killed publish may have gone
        further. Needs the writer's lock.
        """

    def begin(self, session: "Session") -> None:
        """Make the private copy of the current version that a session writes."""

    def connect(self, session: "Session") -> AbstractContextManager[Connection]:
        """Connect to a session's copy."""

    def relations(self, con: Connection) -> list[Relation]:
        """All tables and views of an open session, in order of their names."""

    def views(self, con: Connection, of_raw: Mapping[str, str]) -> dict[str, str]:
        """How to make each view again that a published version cannot hold, by ``schema.name``.

        Args:
            of_raw: names of the models that are views of ``raw``, by ``schema.name``.
        """

    def create(self, con: Connection, table: Relation, columns: Mapping[str, str]) -> None:
        """Make an empty table whose columns have types of the other engine.

        Raises:
            ValueError: the engine has no such type.
        """

    def restore(self, session: "Session", views: Mapping[str, str]) -> list[str]:
        """Make such views again; return the names of the models that dbt has to run for that."""

    def attach(self, session: "Session", raw: "Version") -> None:
        """Let the session's statements and dbt read a version of ``raw``."""

    def dbt(self) -> dict[str, str]:
        """Environment variables by which dbt's target ``prod`` is the copy of the open session."""

    def dbt_reader(self, version: "Version") -> dict[str, str]:
        """Environment variables by which the profile of ``loc mf`` reads a version."""

    def finish(self, session: "Session") -> Finished:
        """End all writing, and count the rows.

        Raises:
            PublishError: the copy cannot be finished.
        """

    def publish(self, session: "Session", version: "Version") -> None:
        """Show a finished version to those who read without its number.

        Raises:
            PublishError: another writer has published meanwhile.
        """

    def is_published(self, version: "Version") -> bool:
        """Whether a version whose publish failed is shown, or may be, to those who read without its
        number.
        """

    def end(self, session: "Session") -> None:
        """Remove what the session alone needed."""

    def tidy(self, database: str) -> None:
        """Remove what killed sessions left; needs the writer's lock, and no session may be open."""

    def go_back(self, version: "Version") -> None:
        """Show another version to those who read without its number, once it is known to be whole.

        Raises:
            VersionDamaged: it cannot be read, or is not what was published.
        """

    def fault(self, version: "Version", *, content: bool = False, values: bool = False) -> str:
        """Why a version cannot be read, as far as that costs little to know; empty if it can.

        Args:
            content: compare it with its manifest, besides the files of its folder.
            values: read all of it for that.

        Raises:
            WarehouseError: the engine does not answer.
        """

    def open(self, version: "Version") -> Connection:
        """A read-only connection to a version."""

    @property
    def statements(self) -> Statements:
        """The check of SQL that people and models write."""

    def reader(self, version: "Version", *, schema: str = "") -> Reader:
        """A reader of a version, for SQL that people and models write.

        Args:
            schema: that of tables without one.
        """

    def link(self, con: "DuckDBPyConnection", version: "Version") -> list[str]:
        """Let a scratch database read a version; the schemas of it that names are looked up in.

        There are none if DuckDB cannot read it.
        """

    def keep(self, con: "DuckDBPyConnection", version: "Version", table: str, query: str) -> None:
        """Make a table of a scratch database from a query on a version.

        Raises:
            Exception: one of ``error``, or a LocError.
        """

    def file(self, version: "Version") -> Path:
        """The file of a version, for any tool that reads DuckDB.

        Raises:
            WarehouseError: it is in no file.
        """

    def shell(self, version: "Version", command: str | None) -> None:
        """Give a person a prompt for SQL on a version, or run one statement and print its rows."""

    def columns(self, version: "Version") -> dict[str, dict[str, str]]:
        """Columns of each ``schema.table`` or view, as name to the engine's type, in order."""

    def remove(self, version: "Version") -> None:
        """Give up what a version takes besides its folder; ``loc db prune`` calls it."""


def named(name: str) -> Engine:
    """The engine of that name, as in ``LOC_ENGINE`` and in manifests.

    Raises:
        ValueError: there is none.
    """
    if name not in _MODULES:
        raise ValueError(f"there is no engine {name!r}")
    return import_module(_MODULES[name]).ENGINE


def of(database: str) -> Engine:
    """The engine in which a database is written: that of ``LOC_ENGINE`` for ``prod``."""
    return named(settings().engine if database == "prod" else "duckdb")


def another(version: "Version") -> WarehouseError:
    """The error for a version that the engine of ``LOC_ENGINE`` does not keep."""
    wanted = of(version.database)
    return WarehouseError(
        f"Version {version.id} of {version.database} is kept by {named(version.engine).title}, and"
        f" LOC_ENGINE is {wanted.name}.",
        "An engine reads and writes its own versions only.",
        f"Run `loc db move {wanted.name}` to move it, or set LOC_ENGINE={version.engine}.",
    )
