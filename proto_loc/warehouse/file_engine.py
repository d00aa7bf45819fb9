"""Keeps each version in a DuckDB file: the embedded engine."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import duckdb

from proto_loc.errors import disk_is_full
from proto_loc.settings import ROOT
from proto_loc.sql import TIME_ZONE, identifier, literal, open_duckdb
from proto_loc.warehouse import finish, guard, query_process, row_rules, store
from proto_loc.warehouse.engine import Finished, Reads, Relation
from proto_loc.warehouse.errors import (
    PublishError,
    WarehouseError,
    block_is_damaged,
    explained,
    first_line,
    no_space,
)
from proto_loc.warehouse.store import Version

if TYPE_CHECKING:
    from proto_loc.warehouse.session import Session


class FileStatements:
    """Implements :class:`proto_loc.warehouse.engine.Statements` with DuckDB's own parser."""

    check = staticmethod(guard.check)
    put = staticmethod(row_rules.put)
    hold = staticmethod(row_rules.hold)

    def reads(self, sql: str) -> Reads:
        tree = guard.tree(sql)
        describes = any(node.get("type") == "SHOW_REF" for node in guard.nodes(tree))
        return Reads(row_rules.tables(tree), row_rules.ctes(tree), describes)

    def without_values(self, why: str) -> str:
        if why.startswith(("Parser Error", "Binder Error", "Catalog Error")):
            return why
        return why.partition(":")[0] if " Error:" in why else ""


class FileEngine:
    """Implements :class:`proto_loc.warehouse.engine.Engine`."""

    name = "duckdb"
    title = "DuckDB"
    statements = FileStatements()
    error = duckdb.Error
    missing = duckdb.CatalogException

    def wait(self) -> None:
        """Nothing has to run."""

    def heal(self, database: str, serving: int | None) -> int | None:
        """The link is all that a publish replaces."""
        return serving

    def begin(self, session: "Session") -> None:
        """Copy the current version's file."""
        if session.base:
            base = session.base
            store.copy(base.path, session.path)
            if base.checksums and store.checksum(session.path) != base.checksums[base.path.name]:
                base.check()
                raise WarehouseError(
                    f"The copy of {base.path} differs from the original.",
                    "Something between the disk and the memory of this machine is failing.",
                    "Try again, and look for disk errors in the system log.",
                )

    @contextmanager
    def connect(self, session: "Session") -> Iterator[duckdb.DuckDBPyConnection]:
        """Connect to the session's file, with its link to ``raw``, if it has one, attached."""
        with (
            explained(f"Writing {session.database}", session.path),
            open_duckdb(session.path) as con,
        ):
            raw = session.folder / "raw.duckdb"
            if raw.is_symlink():  # not in a session of raw, whose own file has that name
                con.execute(f"attach if not exists {literal(raw)} as raw (read_only)")
            yield con

    def relations(self, con: duckdb.DuckDBPyConnection) -> list[Relation]:
        rows = con.execute(
            "select schema_name, view_name, 'view' from duckdb_views() where not internal and"
            " database_name = current_database() union all select schema_name, table_name, 'table'"
            " from duckdb_tables() where not internal and database_name = current_database()"
            " order by all"
        ).fetchall()
        return [Relation(*row) for row in rows]

    def views(
        self, con: duckdb.DuckDBPyConnection, of_raw: Mapping[str, str] = MappingProxyType({})
    ) -> dict[str, str]:
        """The statements that made all views."""
        rows = con.execute(
            "select schema_name || '.' || view_name, sql from duckdb_views() "
            "where not internal and database_name = current_database() order by 1"
        ).fetchall()
        return dict(rows)

    def create(
        self, con: duckdb.DuckDBPyConnection, table: Relation, columns: Mapping[str, str]
    ) -> None:
        from proto_loc.warehouse.iceberg import column_types

        listed = ", ".join(
            f"{identifier(name)} {column_types.of_trino(kind)}" for name, kind in columns.items()
        )
        con.execute(f"create schema if not exists {identifier(table.schema)}")
        con.execute(f"create table {identifier(table.schema, table.name)} ({listed})")

    def restore(self, session: "Session", views: Mapping[str, str]) -> list[str]:
        """Run the statements that made them; one whose tables no longer exist is left out: dbt
        names it if a model needs it.
        """
        with session.connect() as con:
            existing = self.views(con)
            waiting = [sql for name, sql in views.items() if name not in existing]
            while waiting:
                remaining = []
                for sql in waiting:
                    try:
                        con.execute(sql)
                    except duckdb.Error:  # it may read a view that comes later
                        remaining.append(sql)
                if len(remaining) == len(waiting):
                    break
                waiting = remaining
        return []

    def attach(self, session: "Session", raw: Version) -> None:
        """Link the file of ``raw`` into the session's folder, where dbt's profile expects it."""
        (session.folder / "raw.duckdb").symlink_to(raw.path)

    def dbt(self) -> dict[str, str]:
        """Nothing: dbt's profile names the file of the folder in which it runs."""
        return {}

    def dbt_reader(self, version: Version) -> dict[str, str]:
        return {"LOC_METRICFLOW_FILE": str(version.path)}

    def finish(self, session: "Session") -> Finished:
        """Write the log into the file, in a process of its own."""
        if not session.path.exists():
            open_duckdb(session.path).close()
        raw = session.folder / "raw.duckdb"
        if raw.is_symlink():
            raw.unlink()
        rows = _finished(session)
        return Finished(rows, session.path.stat().st_size, {})

    def publish(self, session: "Session", version: Version) -> None:
        """All readers go by the link."""

    def is_published(self, version: Version) -> bool:
        return False

    def end(self, session: "Session") -> None:
        """The session's folder is all that it had."""

    def tidy(self, database: str) -> None:
        """The folders of sessions are all that they had."""

    def go_back(self, version: Version) -> None:
        """Read the version in full; all readers go by the link."""
        version.check().open().close()

    def fault(self, version: Version, *, content: bool = False, values: bool = False) -> str:
        """Compare the size of the file; the manifest's checksums have its content."""
        try:
            size = version.path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size != version.bytes:
            return f"{version.path} has {size:,} bytes, and its manifest says {version.bytes:,}."
        return ""

    def open(self, version: Version) -> duckdb.DuckDBPyConnection:
        try:
            return open_duckdb(version.verify().path, read_only=True)
        except (
            duckdb.IOException,
            duckdb.InvalidInputException,
            duckdb.SerializationException,
            duckdb.InternalException,
            duckdb.FatalException,
        ) as error:
            if not version.path.exists():
                raise
            raise version.damaged(_reason(error)) from error

    def reader(self, version: Version, *, schema: str = "") -> query_process.FileReader:
        return query_process.FileReader(version.path, schema=schema)

    def link(self, con: duckdb.DuckDBPyConnection, version: Version) -> list[str]:
        con.execute(f"attach {literal(version.path)} as prod (read_only)")
        return ["prod.marts", "prod.staging"]

    def keep(
        self, con: duckdb.DuckDBPyConnection, version: Version, table: str, query: str
    ) -> None:
        """Run it on the version that is attached."""
        con.execute(f"create or replace table {identifier(table)} as {query}")

    def file(self, version: Version) -> Path:
        return version.verify().path

    def shell(self, version: Version, command: str | None) -> None:
        run_shell(self.file(version), command, "-readonly")

    def columns(self, version: Version) -> dict[str, dict[str, str]]:
        with version.open() as con:
            rows = con.execute(
                "select schema_name || '.' || table_name, column_name, data_type "
                "from duckdb_columns() where not internal order by column_index"
            ).fetchall()
        tables: dict[str, dict[str, str]] = {}
        for table, column, kind in rows:
            tables.setdefault(table, {})[column] = kind
        return tables

    def remove(self, version: Version) -> None:
        """The folder is all of it."""


ENGINE = FileEngine()


def run_shell(path: Path, command: str | None, *options: str) -> None:
    """Put DuckDB's shell in the place of this process."""
    program = str(Path(sys.executable).parent / "duckdb")
    arguments = [program, *options, str(path), "-cmd", f"set TimeZone = '{TIME_ZONE}'"]
    if command is not None:
        arguments += ["-c", command]
    os.execv(program, arguments)


def _reason(error: Exception) -> str:
    first = str(error).strip().splitlines()[0].removesuffix(".")
    if "version number" in first:
        return (
            f"It was written by another DuckDB release than this one, {duckdb.__version__}"
            f" ({first})."
        )
    return f"DuckDB {duckdb.__version__} says: {first}."


def _finished(session: "Session") -> dict[str, int]:
    # prod must not need other files; raw is a catalogue of files.
    command = [
        sys.executable,
        "-Ps",
        "-m",
        finish.__name__,
        str(session.path),
        *(["alone"] if session.database == "prod" else []),
    ]
    deadline = time.monotonic() + 5
    while True:
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        done = session.run(command, env=env, capture_output=True, text=True)
        # A child that is ending may have the file open for a moment.
        if (
            done.returncode == 0
            or "Could not set lock" not in done.stderr
            or time.monotonic() > deadline
        ):
            break
        time.sleep(0.2)
    if done.returncode == 0:
        return json.loads(done.stdout)
    reason = (
        done.stderr.strip().splitlines()[-1]
        if done.stderr.strip()
        else f"exit code {done.returncode}"
    )
    if disk_is_full(done.stderr):
        raise no_space(session.path)
    if session.base and block_is_damaged(done.stderr):
        raise session.base.damaged(first_line(reason))
    raise PublishError(
        f"{session.database} was not published.",
        f"Its file could not be finished: {reason.removesuffix('.')}.",
        (
            "Close every connection to the session's file before the session ends."
            if "Could not set lock" in done.stderr
            else "Mend what it names, then try again."
        ),
    )
