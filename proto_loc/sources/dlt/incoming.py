"""Reads the files of a load package with the declared types, by the declared schema policy."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from proto_loc.errors import LocError
from proto_loc.sources import Outcome
from proto_loc.sources.dlt.columns import IDS, family_tables
from proto_loc.sources.dlt.declaration import DltTable
from proto_loc.sources.dlt.package import Package
from proto_loc.sources.dlt.state import State
from proto_loc.sql import exact_glob, identifier, literal

SEQUENCE = "_loc_seq"
"""Column in which the child numbers the rows of a table with a key, in the order of arrival."""

ZONE = r":\d\d(\.\d+)?\s*(z|utc|[+-]\d\d(:?\d\d)*)\s*$"
"""The end of a text with a time and its zone, which a column of times without a zone loses."""


def children_of(name: str, tables: Mapping[str, DltTable]) -> Iterator[DltTable]:
    """The tables of lists below a table, parents first."""
    for table in tables.values():
        if table.parent == name:
            yield table
            yield from children_of(table.name, tables)


class Incoming:
    """The rows of a package, as tables of the schema ``incoming`` of a scratch database."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        source: str,
        declared: Sequence[DltTable],
        policy: str,
        package: Package,
        home: Path,
        base: State,
    ) -> None:
        self.con, self.source, self.policy = con, source, policy
        self.package, self.home, self.declared = package, home, declared
        self.columns = {name: dict(columns) for name, columns in base.columns.items()}
        """Table → column → type, of what is not declared and is kept."""
        self.parents = dict(base.parents)
        self.ignored: dict[str, list[str]] = {}
        """Table → its columns that are left out."""
        self.outcomes: list[Outcome] = []
        """What is said about tables that are left out."""
        self.rows: dict[str, int] = {}
        self.tables: dict[str, DltTable] = {}

    def read(self) -> None:
        """Make a table ``incoming.NAME`` of each table.

        Raises:
            LocError: the rows break the declaration.
        """
        types = {name: self._types(files) for name, files in self.package.tables.items()}
        for name in sorted(types, key=self._depth):
            self._judge(name, types[name])
        self.tables = family_tables(self.declared, State("", {}, self.columns, self.parents))
        self.con.execute("create schema incoming")
        for table in self.tables.values():
            files = self.package.tables.get(table.name, [])
            self._read(table, files, types.get(table.name, {}))
        for table in self.tables.values():
            if not table.parent:
                self.add_hashes("incoming", [table, *children_of(table.name, self.tables)])

    def add_hashes(self, schema: str, family: list[DltTable]) -> None:
        """Add to the tables of a schema a column ``_hash`` of a row's values and its lists."""
        for table in reversed(family):
            name = identifier(schema, table.name)
            values = [f"t.{identifier(column)}" for column in table.columns]
            joins = ""
            for number, child in enumerate(c for c in family if c.parent == table.name):
                values.append(f"c{number}.h")
                joins += (
                    " left join (select _dlt_parent_id, hash(list(_hash order by _dlt_list_idx)) h"
                    f" from {identifier(schema, child.name)} group by 1) c{number}"
                    f" on c{number}._dlt_parent_id = t._dlt_id"
                )
            self.con.execute(
                f"create or replace table {name} as select t.*, hash({', '.join(values)}) as _hash"
                f" from {name} t{joins}"
            )

    def _depth(self, name: str) -> int:
        depth = 0
        while name := self.package.parents.get(name, ""):
            depth += 1
        return depth

    def _types(self, files: list[str]) -> dict[str, str]:
        query = f"describe select * from {self._parquet(files)}"
        return {row[0]: row[1] for row in self.con.execute(query).fetchall()}

    def _parquet(self, files: list[str]) -> str:
        listed = ", ".join(literal(exact_glob(self.home / name)) for name in files)
        return f"read_parquet([{listed}], union_by_name = true)"

    def _judge(self, name: str, types: dict[str, str]) -> None:
        """Apply the schema policy to a table and its columns."""
        known = family_tables(self.declared, State("", {}, self.columns, self.parents))
        parent = self.package.parents.get(name, "")
        if name not in known:
            if self.policy == "discard" or (parent and parent not in known):
                self.outcomes.append(
                    Outcome(None, f"{self.source}.{name}", skipped="it is not declared")
                )
                return
            if self.policy == "freeze" or not parent:
                raise self._refused(
                    f"The table {name} is not declared.",
                    f"Declare it in pipelines/{self.source}/"
                    + ("" if parent else ", with its mode")
                    + ', or leave it out with schema="discard"',
                )
            self.parents[name] = parent
        declared = known[name].columns if name in known else {}
        new = {
            column: kind
            for column, kind in types.items()
            if column not in declared
            and not _is_variant(column, declared)
            and column not in (*IDS, SEQUENCE, "_dlt_load_id")
            and not column.startswith("_dlt_")
        }
        if new and self.policy == "freeze":
            raise self._refused(
                f"The table {name} has columns that are not declared:"
                f" {', '.join(f'{column} {kind}' for column, kind in new.items())}.",
                f"Declare them in pipelines/{self.source}/",
            )
        if new and self.policy == "discard":
            self.ignored[name] = list(new)
        elif new or name not in known:
            self.columns[name] = {**self.columns.get(name, {}), **new}

    def _read(self, table: DltTable, files: list[str], types: dict[str, str]) -> None:
        columns = {**table.columns, **IDS, SEQUENCE: "BIGINT"}
        variants = {
            column: [name for name in types if name == column or _is_variant(name, [column])]
            for column in columns
        }
        origin = f"from {self._parquet(files)}" if files else "where false"
        if files:
            self._check(table, columns, variants, types, origin)
        values = (
            f"coalesce({', '.join(f'{identifier(n)}::{kind}' for n in variants[column])})"
            f" as {identifier(column)}"
            if variants[column]
            else f"null::{kind} as {identifier(column)}"
            for column, kind in columns.items()
        )
        self.con.execute(
            f"create table {identifier('incoming', table.name)} as select {', '.join(values)},"
            f" null::timestamp as _loaded_at, row_number() over () as _row {origin}"
        )
        query = f"select count(*) from {identifier('incoming', table.name)}"
        self.rows[table.name] = self.con.execute(query).fetchone()[0]

    def _check(
        self,
        table: DltTable,
        columns: dict[str, str],
        variants: dict[str, list[str]],
        types: dict[str, str],
        origin: str,
    ) -> None:
        """Refuse a value that its declared type cannot hold exactly, and a missing key.

        Raises:
            LocError: there is such a value; the message names table, column and value.
        """
        faults = {}
        for column, kind in columns.items():
            for name in variants[column]:
                if types[name] != kind:
                    loses = _loses(identifier(name), types[name], kind)
                    faults[name] = column, f"{identifier(name)} is not null and {loses}"
        for column in {*table.key, *filter(None, [table.partition_column])}:
            if not variants[column]:
                raise self._refused(
                    f"The table {table.name} has no column {column}, which its key or partition"
                    " needs.",
                    f"Declare another key in pipelines/{self.source}/",
                )
            value = f"coalesce({', '.join(f'{identifier(n)}::varchar' for n in variants[column])})"
            _, fault = faults.get(column, ("", "false"))
            faults[column] = column, f"{value} is null or {fault}"
        if not faults:
            return
        counts = ", ".join(
            f"count(*) filter ({fault}), any_value({identifier(column)}::varchar) filter ({fault})"
            for column, (_, fault) in faults.items()
        )
        row = self.con.execute(f"select {counts} {origin}").fetchone()
        results = zip(faults.values(), row[::2], row[1::2], strict=True)
        for (column, _), count, example in results:
            if count:
                what = (
                    f"{example!r} is no {columns[column]}"
                    if example is not None
                    else "no value, and its key or partition needs one"
                )
                raise self._refused(
                    f"Table {table.name}, column {column}: {what} ({count:,} such rows).",
                    f"Mend the declaration in pipelines/{self.source}/",
                )

    def _refused(self, why: str, fix: str) -> LocError:
        return LocError(
            f"What was fetched for {self.source} was refused.",
            why,
            f"{fix}, then run `loc load {self.source}`: what was fetched waits for it. Nothing was"
            " loaded.",
        )


def _is_variant(name: str, columns: Collection[str]) -> bool:
    """Whether dlt put values into a column of their own, as they do not fit the type of another."""
    return name.partition("__v_")[0] in columns and "__v_" in name


def _loses(value: str, old: str, new: str) -> str:
    """An SQL condition: the value of type ``old`` is not exact in the type ``new``."""
    cast = f"try_cast({value} as {new})"
    if old == "VARCHAR":
        if new == "DATE":
            time = f"try_cast({value} as timestamp)"
            return f"({cast} is null or {time} is distinct from {cast}::timestamp)"
        if new.startswith("TIMESTAMP") and new != "TIMESTAMP WITH TIME ZONE":
            return f"({cast} is null or regexp_matches({value}, {literal(ZONE)}, 'i'))"
        if new in ("JSON", "TIME", "BOOLEAN", "UUID", "BLOB") or "TIMESTAMP" in new:
            return f"{cast} is null"
        return f"({cast} is null or {cast}::double is distinct from try_cast({value} as double))"
    return f"({cast} is null or try_cast({cast} as {old}) is distinct from {value})"
