"""The engine Trino: sessions are branches of Nessie, versions are tags."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from proto_loc.settings import ROOT, settings
from proto_loc.sql import identifier, literal, open_duckdb
from proto_loc.trino import configuration, identities, places, readiness
from proto_loc.warehouse import store
from proto_loc.warehouse.engine import Finished, Reads, Relation
from proto_loc.warehouse.errors import PublishError, WarehouseError
from proto_loc.warehouse.iceberg import (
    catalogues,
    column_types,
    garbage,
    metadata,
    nessie,
    raw_tables,
    row_rules,
    shell,
    statements,
)
from proto_loc.warehouse.iceberg.connection import (
    StatementFailed,
    TableMissing,
    TrinoConnection,
)
from proto_loc.warehouse.iceberg.persons import PersonsConnection
from proto_loc.warehouse.iceberg.reader import TrinoReader
from proto_loc.warehouse.store import Version

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from proto_loc.warehouse.session import Session

log = logging.getLogger("proto_loc.warehouse")
PROFILES = ROOT / "proto_loc" / "dbt" / "profiles"
"""dbt's profile for a session: a project's own one knows DuckDB only."""
START = 600.0
"""Seconds that the servers may take to start."""
TEMPORARY = "staging"
"""Schema of the views that a published version does not hold."""
_OWN = (
    "table_schema not in ('information_schema', 'system')"
    f" and not starts_with(table_schema, {literal(raw_tables.SCHEMA)})"
)
"""The condition for tables that are built here."""


class TrinoStatements:
    """Implements :class:`proto_loc.warehouse.engine.Statements` for Trino's SQL."""

    check = staticmethod(statements.check)
    put = staticmethod(row_rules.put)
    hold = staticmethod(row_rules.hold)

    def reads(self, sql: str) -> Reads:
        """What a statement reads.

        Raises:
            Refused: it is not allowed, or its two readings find different tables.
        """
        known = statements.read(sql)
        row_rules.require_agreement(known)
        return Reads(known.tables, known.ctes, known.tree is None)

    def without_values(self, why: str) -> str:
        name, colon, _ = why.partition(":")
        return why if name in _ABOUT_NAMES else name if colon and name.isupper() else ""


_ABOUT_NAMES = {
    *("SYNTAX_ERROR", "COLUMN_NOT_FOUND", "TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND", "TYPE_MISMATCH"),
    *("FUNCTION_NOT_FOUND", "AMBIGUOUS_NAME", "DUPLICATE_COLUMN_NAME", "EXPRESSION_NOT_AGGREGATE"),
    *("EXPRESSION_NOT_SCALAR", "TYPE_NOT_FOUND", "COLUMN_TYPE_UNKNOWN", "NESTED_AGGREGATION"),
    *("NESTED_WINDOW", "MISSING_GROUP_BY", "MISMATCHED_COLUMN_ALIASES", "NOT_SUPPORTED"),
}
"""Errors of Trino that quote the statement, and no value of the data."""


class IcebergEngine:
    """Implements :class:`proto_loc.warehouse.engine.Engine`."""

    name = "trino"
    title = "Trino"
    statements = TrinoStatements()
    error = StatementFailed
    missing = TableMissing

    def __init__(self) -> None:
        self._began: dict[str, str] = {}  # session → where main was
        self._raw: dict[str, dict] = {}  # session → what raw_tables.register has returned

    def wait(self) -> None:
        """Wait for Nessie and Trino, and put back the catalogues that Trino has lost."""
        readiness.wait_ready(START)
        self._restore_catalogues("prod")

    def heal(self, database: str, serving: int | None) -> int | None:
        """Serve the version that ``main`` is at: a publish or rollback that was killed between
        moving ``main`` and the link is completed.

        A killed move from another engine is not: it is made again.
        """
        served = store.load(database, serving) if serving is not None else None
        if served and served.engine != self.name and served.tables:
            return serving  # it was moved back to the other engine
        head = nessie.head()
        if served and _hash(served) == head:
            return serving
        for version in store.history(database):
            if version.engine == self.name and _hash(version) == head:
                store.swap(database, version.id)
                log.warning(
                    "main of Nessie is at version %d of %s: it is served", version.id, database
                )
                return version.id
        return serving

    def begin(self, session: "Session") -> None:
        """Make the session's branch and catalogue.

        Raises:
            PublishError: ``main`` is not at the version that is served.
        """
        configuration.node_variables()  # a key of the object store that is missing is named now
        head = nessie.head()
        if session.base and _hash(session.base) != head:
            raise PublishError(
                f"Nessie's branch main is not at version {session.base.id} of {session.database}.",
                f"Another writer has moved it to {head[:12]}, which no version of"
                f" {settings().data} is at.",
                f"`loc db rollback {session.base.id}` puts main back on version"
                f" {session.base.id}; what the other one wrote stays in Nessie's history.",
            )
        published = {_hash(version) for version in store.history(session.database)}
        found = next(nessie.tables(nessie.MAIN), None)
        if not session.base and found and head not in published:
            raise PublishError(
                f"Nessie's branch main holds tables that {settings().data} knows nothing of, such"
                f" as {_name(found)}.",
                "They belong to another clone, or the folder of versions was lost.",
                "Bring LOC_DATA back from a copy, or give this platform a Nessie of its own:"
                " another LOC_NESSIE_DATABASE, or remove"
                f" {places.nessie_store()} if its tables may go.",
            )
        self._began[session.name] = head
        nessie.create(_branch(session), "BRANCH", head)
        with catalogues.writer() as con:
            catalogues.create(con, catalogues.session(), _branch(session))

    @contextmanager
    def connect(self, session: "Session") -> Iterator[TrinoConnection]:
        with TrinoConnection(identities.WRITER, catalog=catalogues.session(), schema="main") as con:
            yield con

    def relations(self, con: TrinoConnection) -> list[Relation]:
        """All tables but those of ``raw``."""
        rows = con.execute(
            "select table_schema, table_name, 'table' from information_schema.tables"
            f" where {_OWN} order by 1, 2"
        ).fetchall()
        return [Relation(*row) for row in rows]

    def views(self, con: TrinoConnection, of_raw: Mapping[str, str]) -> dict[str, str]:
        """The models by whose names dbt makes them again: here, views are tables."""
        return {
            name: of_raw[name]
            for one in self.relations(con)
            if (name := _name(one)) in of_raw and one.schema == TEMPORARY
        }

    def create(self, con: TrinoConnection, table: Relation, columns: Mapping[str, str]) -> None:
        listed = ", ".join(
            f"{identifier(name)} {column_types.of_duckdb(kind)}" for name, kind in columns.items()
        )
        con.execute(f"create schema if not exists {identifier(table.schema)}")
        con.execute(f"create table {identifier(table.schema, table.name)} ({listed})")

    def restore(self, session: "Session", views: Mapping[str, str]) -> list[str]:
        with session.connect() as con:
            existing = [_name(one) for one in self.relations(con)]
        return [model for name, model in views.items() if name not in existing]

    def attach(self, session: "Session", raw: Version) -> None:
        """Register the files of the lake on the session's branch."""
        known = session.base.facts["iceberg"].get("raw", {}) if session.base else {}
        with session.connect() as con:
            self._raw[session.name] = raw_tables.register(con, raw, known)

    def dbt(self) -> dict[str, str]:
        """The platform's own profile, with the catalogue of sessions."""
        return {
            "DBT_PROFILES_DIR": str(PROFILES),
            "DBT_PROFILE": "loc",
            **_dbt(catalogues.session(), identities.WRITER),
        }

    def dbt_reader(self, version: Version) -> dict[str, str]:
        return _dbt(catalogues.of_version(version.id), "cli")

    def finish(self, session: "Session") -> Finished:
        """Drop what stands for views of ``raw``, count the rows, and read the columns.

        The file of the session stays without a table: dbt's profile for ``dev`` attaches it.
        """
        open_duckdb(session.path).close()
        before = session.base.facts["iceberg"] if session.base else {}
        branch, views = _branch(session), session.facts.get("views", {})
        head = nessie.head(branch)
        found = _tables(branch, head)
        if staged := [table for table in found if _name(table) in views]:
            head = nessie.drop(branch, head, staged)
            found = _tables(branch, head)
        known, changed = _known(found, before.get("tables", {}))
        columns = {name: session.base.facts["columns"][name] for name in known}
        measured = known
        with session.connect() as con:
            for table, content in zip(changed, metadata.read(changed), strict=True):
                columns[_name(table)] = content.columns
                measured[_name(table)] = {
                    "rows": _rows(con, table, content),
                    "bytes": content.bytes,
                    "metadata": table.metadata,
                }
        facts = {
            "iceberg": {
                "hash": head,
                "raw": self._raw.get(session.name) or before.get("raw", {}),
                "tables": measured,
            },
            "columns": columns,
        }
        rows = {name: one["rows"] for name, one in measured.items()}
        return Finished(rows, sum(one["bytes"] for one in measured.values()), facts)

    def publish(self, session: "Session", version: Version) -> None:
        """Tag the branch, make the version's catalogue, and move ``main``, which is the moment of
        the publish for those who read ``prod``.
        """
        name, began = catalogues.of_version(version.id), self._began[session.name]
        if nessie.head() != began:
            raise _conflict(version)
        nessie.remove(name)  # of a publish that was killed
        tag = nessie.create(name, "TAG", _hash(version))
        with catalogues.writer() as con:
            catalogues.create(con, name, name)
            if not catalogues.is_kept(catalogues.PROD):
                catalogues.create(con, catalogues.PROD, nessie.MAIN)
            try:
                nessie.assign(nessie.MAIN, began, tag)
            except nessie.Moved as error:
                catalogues.drop(con, name)
                nessie.delete(tag)
                raise _conflict(version) from error

    def is_published(self, version: Version) -> bool:
        try:
            return nessie.head() == _hash(version)
        except WarehouseError:
            return True

    def end(self, session: "Session") -> None:
        self._raw.pop(session.name, None)
        if self._began.pop(session.name, None):
            self.tidy(session.database)

    def tidy(self, database: str) -> None:
        """Remove the branches and catalogues of sessions, and tags without a version's folder.

        If ``main`` is at none of the versions here, tags may be those of another platform that
        shares this Nessie; they stay.
        """
        kept = set(store.versions(database))
        tags_are_ours = nessie.head() in map(_hash, store.history(database))
        with catalogues.writer() as con:
            catalogues.drop(con, catalogues.session())
            for reference in nessie.references():
                version = catalogues.version_of(reference.name)
                if reference.name.startswith(f"{catalogues.session()}_"):
                    nessie.remove(reference.name)
                elif version is not None and tags_are_ours and version not in kept:
                    catalogues.drop(con, reference.name)
                    nessie.remove(reference.name)

    def go_back(self, version: Version) -> None:
        """Move ``main`` to the version's tag, wherever it is."""
        tag = nessie.find(catalogues.of_version(version.id))
        if tag is None or tag.hash != _hash(version):
            raise version.damaged(_without_tag(version, tag))
        nessie.assign(nessie.MAIN, nessie.head(), tag)

    def fault(self, version: Version, *, content: bool = False, values: bool = False) -> str:
        """The tag has to be where it was published, and each table has its rows, by Iceberg's
        lists or by reading every value.
        """
        if not content:
            return ""
        name = catalogues.of_version(version.id)
        tag = nessie.find(name)
        if tag is None or tag.hash != _hash(version):
            return _without_tag(version, tag)
        with catalogues.writer() as con:
            if name not in catalogues.existing(con):
                catalogues.create(con, name, name)
        with TrinoConnection(identities.WRITER, catalog=name, schema="main") as con:
            try:
                found = _tables(name)
                rows = {
                    _name(one): _read(con, version, one) if values else _rows(con, one, content)
                    for one, content in zip(found, metadata.read(found), strict=True)
                }
            except metadata.Lost as error:
                return f"{error.what} {error.why}"
            except StatementFailed as error:
                if isinstance(error, TableMissing) or error.kind.startswith("ICEBERG_"):
                    return f"Trino says: {error}."
                raise
        different = sorted(
            table
            for table in rows.keys() | version.tables.keys()
            if rows.get(table) != version.tables.get(table)
        )
        if different:
            table = different[0]
            return (
                f"{table} has {_counted(rows.get(table))}, and its manifest says"
                f" {_counted(version.tables.get(table))}."
            )
        return ""

    def open(self, version: Version) -> PersonsConnection:
        name = catalogues.of_version(version.id)
        return PersonsConnection(identities.own(), catalog=name, schema="marts")

    def reader(self, version: Version, *, schema: str = "") -> TrinoReader:
        name = catalogues.of_version(version.id)
        return TrinoReader("assistant", name, schema=schema)

    def link(self, con: "DuckDBPyConnection", version: Version) -> list[str]:
        """DuckDB cannot read it."""
        return []

    def keep(self, con: "DuckDBPyConnection", version: Version, table: str, query: str) -> None:
        with self.open(version) as trino:
            trino.sql(query).keep(con, table)

    def file(self, version: Version) -> Path:
        raise WarehouseError(
            f"Version {version.id} of {version.database} is in no file.",
            "Trino keeps its tables.",
            f"Use `loc db shell`, or `warehouse.read({version.database!r})` in Python.",
        )

    def shell(self, version: Version, command: str | None) -> None:
        title = f"Version {version.id} of {version.database}, on Trino, read-only."
        with self.open(version) as con:
            try:
                shell.run(con, title, command)
            except StatementFailed as error:
                raise WarehouseError(
                    "The statement failed.", f"{error}".rstrip(".") + ".", "Correct it."
                ) from error

    def columns(self, version: Version) -> dict[str, dict[str, str]]:
        return version.facts["columns"]

    def remove(self, version: Version) -> None:
        """Drop the catalogue and the tag, and the files that no version reads any more."""
        name = catalogues.of_version(version.id)
        with catalogues.writer() as con:
            catalogues.drop(con, name)
        if nessie.head() == _hash(version):  # prod is served by another engine
            nessie.empty(nessie.MAIN)
        nessie.remove(name)
        garbage.collect()
        raw_tables.clear_copies()

    def _restore_catalogues(self, database: str) -> None:
        with catalogues.writer() as con:
            existing = catalogues.existing(con)
            for version in store.history(database):
                name = catalogues.of_version(version.id)
                if version.engine == self.name and name not in existing and nessie.find(name):
                    catalogues.create(con, name, name)


ENGINE = IcebergEngine()


def _dbt(catalogue: str, identity: str) -> dict[str, str]:
    """Variables by which a profile of dbt reaches Trino."""
    return {
        "LOC_TRINO_CATALOGUE": catalogue,
        "LOC_TRINO_ADDRESS": f"{places.HOST}:{settings().port('trino')}",
        "LOC_TRINO_CERTIFICATE": str(places.certificate()),
        "REQUESTS_CA_BUNDLE": str(places.certificate()),  # a person's would take its place
        # dbt keeps variables with this start out of its logs.
        "DBT_ENV_SECRET_LOC_TRINO_PASSWORD": identities.password(identity),
    }


def _branch(session: "Session") -> str:
    return f"{catalogues.session()}_{session.id}_{session.name}"


def _hash(version: Version) -> str | None:
    return version.facts.get("iceberg", {}).get("hash")


def _without_tag(version: Version, tag: nessie.Reference | None) -> str:
    name = catalogues.of_version(version.id)
    return f"Nessie's tag {name} is {'elsewhere' if tag else 'gone'}."


def _counted(rows: int | None) -> str:
    return "no such table" if rows is None else f"{rows:,} rows"


def _conflict(version: Version) -> PublishError:
    return PublishError(
        f"Version {version.id} of {version.database} was not published.",
        "Another writer has published to Nessie's branch main meanwhile.",
        "Nothing of the other one is lost. Find out who shares this Nessie; `loc db rollback` puts"
        " main back on the version that is served here.",
    )


def _tables(reference: str, at: str = "") -> list[nessie.Table]:
    """All tables but those of ``raw``."""
    found = nessie.tables(reference, at)
    return [one for one in found if not one.schema.startswith(raw_tables.SCHEMA)]


def _known(
    found: list[nessie.Table], before: Mapping[str, dict]
) -> tuple[dict[str, dict], list[nessie.Table]]:
    """What was measured before of tables that are the same, and the other tables."""
    known = {
        name: before[name]
        for table in found
        if (name := _name(table)) in before and before[name]["metadata"] == table.metadata
    }
    return known, [table for table in found if _name(table) not in known]


def _rows(con: TrinoConnection, table: nessie.Table, content: metadata.Content) -> int:
    return _count(con, table) if content.rows is None else content.rows


def _count(con: TrinoConnection, table: nessie.Table, *more: str) -> int:
    """Count the rows, and compute more aggregates."""
    asked = ", ".join(("count(*)", *more))
    return con.execute(f"select {asked} from {identifier(table.schema, table.name)}").fetchone()[0]


def _read(con: TrinoConnection, version: Version, table: nessie.Table) -> int:
    """Count the rows and read every value: a bare count reads no file of data."""
    columns = version.facts["columns"].get(_name(table), ())
    return _count(con, table, *(f"checksum({identifier(name)})" for name in columns))


def _name(table: Relation | nessie.Table) -> str:
    return f"{table.schema}.{table.name}"
