"""Says how Superset reaches the published data on each engine: the only place that knows both."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from sqlalchemy.engine.url import URL
from sqlalchemy.exc import ArgumentError

from proto_loc.settings import settings

_MODULES = {
    "duckdb": "proto_loc.superset.duckdb_door",
    "trino": "proto_loc.superset.trino_door",
}
"""Where the door of each engine is; only the one of LOC_ENGINE is loaded."""

Tree = Any
"""A parsed statement; each :class:`Sql` has its own."""
Rules = dict[str, list[str]]
"""Conditions that a person's rows have to meet, by the table's name in lower case."""


class Sql(Protocol):
    """What is to be known of an engine's SQL; ``guard.Refused`` is raised if it is not allowed."""

    def split(self, script: str) -> list[str]:
        """The texts of a script's statements."""

    def parse(self, sql: str) -> Tree:
        """Check a statement, and parse it."""

    def same(self, one: Tree, other: Tree) -> bool:
        """Whether two trees are of the same statement; brackets around a value do not count."""

    def keeps(self, pretty: str, sql: str) -> bool:
        """Whether a new layout of a statement surely has its meaning."""

    def tables(self, tree: Tree) -> set[tuple[str | None, str]]:
        """The schema (or None) and name of each table that a statement reads, without CTEs."""

    def functions(self, tree: Tree) -> set[str]:
        """The functions that it calls, in lower case."""

    def has_subquery(self, tree: Tree) -> bool: ...

    def has_from(self, tree: Tree) -> bool: ...

    def limit(self, tree: Tree) -> int | None:
        """The number of the LIMIT at the end of a statement, if any."""

    def limited(self, sql: str, rows: int) -> str:
        """The statement with at most so many rows; unchanged if that is not possible."""

    def put(self, sql: str, rules: Rules) -> str:
        """Replace each table that has rules by a subquery with these rules."""

    def ready(self, sql: str, rules: Rules) -> str:
        """The statement to run: it reads no table without its rules."""


class Queries(Protocol):
    """Runs statements, a bounded number at a time."""

    def waiting(self) -> AbstractContextManager[None]:
        """Context in which a request waits for data.

        Raises:
            Busy: too many requests wait already.
        """


class Door(Protocol):
    """Superset's way to the published data."""

    name: str
    """The backend of the address, and the name of the SQL for Superset's parser."""
    address: str
    """The address of the only database that may be registered."""
    sql: Sql

    def register(self) -> None:
        """Make SQLAlchemy use a checked dialect for all addresses of the backend."""

    def engine_specs(self) -> Iterable[type]:
        """Superset's descriptions of databases that come before its own."""

    def queries(self) -> Queries:
        """The queries of this process."""


@cache
def door() -> Door:
    """The door of the engine of LOC_ENGINE."""
    return import_module(_MODULES[settings().engine]).DOOR


def check_address(address: URL) -> None:
    """Allow only the address of the door; this is Superset's DB_SQLA_URI_VALIDATOR.

    Raises:
        ArgumentError: it is another address; some drivers of SQLAlchemy open local files.
    """
    if str(address) != door().address:
        raise ArgumentError(
            f"The only database here is {door().address}, the published data. docs/superset.md"
            " says how to add others."
        )
