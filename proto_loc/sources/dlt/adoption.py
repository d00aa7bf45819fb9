"""Adopts the files of a load package into the lake, in the mode of each table."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb

from proto_loc.errors import LocError, disk_is_full
from proto_loc.settings import settings
from proto_loc.sources import Load, Loading, Outcome
from proto_loc.sources.dlt import package as packages
from proto_loc.sources.dlt import state
from proto_loc.sources.dlt.columns import IDS, stored_tables
from proto_loc.sources.dlt.declaration import DltTable
from proto_loc.sources.dlt.incoming import Incoming, children_of
from proto_loc.sources.dlt.package import Package
from proto_loc.sources.dlt.state import State
from proto_loc.sql import exact_glob, identifier, literal, open_duckdb
from proto_loc.warehouse import ledger


def adopt(
    source: str, declared: Sequence[DltTable], policy: str, package: Package, session: Loading
) -> list[Outcome]:
    """Load a package and its state; do nothing if another package was adopted since it began.

    Raises:
        LocError: a row breaks the declaration; nothing of the package was loaded.
    """
    last = state.read(session.con, source)
    if last.package != package.base:
        return []
    base = State() if package.replace else last
    home = packages.folder(source) / package.id
    scratch = home / "adoption.duckdb"
    scratch.unlink(missing_ok=True)  # of an adoption that was killed
    with open_duckdb(scratch) as con:
        try:
            incoming = Incoming(con, source, declared, policy, package, home, base)
            incoming.read()
            adoption = _Adoption(con, source, incoming, package, session)
            for table in incoming.tables.values():
                if not table.parent:
                    adoption.load(table)
        except duckdb.Error as error:
            if disk_is_full(error):
                raise
            raise LocError(
                f"What was fetched for {source} was refused.",
                f"DuckDB says: {str(error).splitlines()[0]}",
                f"Mend the declaration in pipelines/{source}/, then run `loc load {source}`; or"
                f" fetch all of it again: `loc load {source} --replace`.",
            ) from error
    if package.replace:
        adoption.retire_others()
    new = State(package.id, package.state, incoming.columns, incoming.parents)
    if session.changed or new.files != last.files or new.columns != last.columns:
        state.write(session.con, source, new)
        session.changed = True
        for table in stored_tables(declared, new):
            session.tables[f"{source}.{table.name}"] = table.columns
    return [*incoming.outcomes, *adoption.outcomes]


class _Adoption:
    """The adoption of one package, in a scratch database.

    Schemas of the scratch database: ``incoming`` has the rows of the package, ``contested`` the
    rows of the lake that they may replace, ``winners`` the rows that are kept of both.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        source: str,
        incoming: Incoming,
        package: Package,
        session: Loading,
    ) -> None:
        self.con, self.source, self.session = con, source, session
        self.package, self.incoming = package, incoming
        self.input = f"fetched {package.id}"
        self.outcomes: list[Outcome] = []
        self.active = [load for load in session.loads() if load.source == source]
        con.execute("create schema contested; create schema winners")

    def load(self, root: DltTable) -> None:
        """Load a table and the lists in its rows, unless its rows are as they were."""
        family = [root, *children_of(root.name, self.incoming.tables)]
        if root.mode == "upsert":
            if not self.incoming.rows[root.name] and not self.package.replace:
                return
            key, rows = self._names(root.key), identifier("incoming", root.name)
            self.con.execute(f"create or replace table keys as select distinct {key} from {rows}")
            self._contest(family, f"semi join keys using ({key})")
        notes = self._decide(root, family)
        if root.mode == "append":
            for table in family:
                if self._count("winners", table.name):
                    self._write(table, self.package.id, self._winners(table), notes)
        elif self._is_new(root, family):
            if root.mode == "upsert":
                changed = self._count_changed(root, "winners", "contested")
                words = f"{changed:,} rows are new or changed"
                notes[root.name] = "; ".join(filter(None, (words, notes.get(root.name))))
            for table in family:
                if root.mode == "replace":
                    self._write(table, "all", self._winners(table), notes)
                    self._retire(table, {"all"})
                else:
                    self._merge(table, notes)

    def retire_others(self) -> None:
        """Retire every load that was active before this package, which has everything."""
        before = {load.load_id for load in self.active}
        self.session.retire(load for load in self.session.loads() if load.load_id in before)

    def _contest(self, family: list[DltTable], condition: str) -> None:
        """Copy the rows of the lake that the package may replace, with the lists in them."""
        for table in family:
            if table.parent:
                parent = identifier("contested", table.parent)
                condition = f"semi join {parent} as p on p._dlt_id = t._dlt_parent_id"
            self.con.execute(
                f"create or replace table {identifier('contested', table.name)} as select *"
                f" from ({self._existing(table)}) as t {condition}"
            )
        self.incoming.add_hashes("contested", family)

    def _decide(self, root: DltTable, family: list[DltTable]) -> dict[str, str]:
        """Choose for each key the row that stays; return a note about each table."""
        here, there = identifier("incoming", root.name), identifier("contested", root.name)
        notes = {}
        one = ""
        candidates = f"select *, 1 as _new from {here}"
        if root.mode == "upsert":
            candidates += f" union all by name select *, 0 as _new from {there}"
        if root.key:
            order = [f"{identifier(root.newest)} desc nulls last"] if root.newest else []
            order += ["_new desc", "_loc_seq desc nulls last", "_row desc"]
            one = (
                f" qualify row_number() over (partition by {self._names(root.key)}"
                f" order by {', '.join(order)}) = 1"
            )
            distinct = f"select count(*) from (select distinct {self._names(root.key)} from {here})"
            twice = self.incoming.rows[root.name] - self.con.execute(distinct).fetchone()[0]
            if twice:
                notes[root.name] = (
                    f"{twice:,} of the rows that were fetched have the key of another one, and the"
                    " newest of them stays"
                )
        winners = identifier("winners", root.name)
        self.con.execute(f"create or replace table {winners} as from ({candidates}){one}")
        if root.mode == "upsert" and root.deleted:
            column = identifier(root.deleted)
            marked = column if root.columns[root.deleted] == "BOOLEAN" else f"{column} is not null"
            self.con.execute(f"delete from {winners} where {marked}")
        for table in family[1:]:
            both = f"from {identifier('incoming', table.name)}"
            if root.mode == "upsert":
                both += f" union all by name from {identifier('contested', table.name)}"
            self.con.execute(
                f"create or replace table {identifier('winners', table.name)} as select * from"
                f" ({both}) as t semi join {identifier('winners', table.parent)} as p"
                " on p._dlt_id = t._dlt_parent_id"
            )
        return notes

    def _is_new(self, root: DltTable, family: list[DltTable]) -> bool:
        """Whether the rows that stay differ from those of the lake."""
        if self.package.replace or not self._loads_of(root):
            return True
        if root.mode == "replace":
            for table in family:
                before = sum(load.rows for load in self._loads_of(table))
                if before != self._count("winners", table.name):
                    return True
            self._contest(family, "")
        return self._count_changed(root, "winners", "contested") > 0 or (
            self._count_changed(root, "contested", "winners") > 0
        )

    def _count_changed(self, root: DltTable, schema: str, other: str) -> int:
        """Count the rows of a schema that differ from those of another one, with their lists."""
        new, old = (f"select _hash from {identifier(name, root.name)}" for name in (schema, other))
        query = f"select count(*) from ({new} except all {old})"
        return self.con.execute(query).fetchone()[0]

    def _merge(self, table: DltTable, notes: dict[str, str]) -> None:
        """Write the rows that stay and the untouched rows of the lake, by partition."""
        loads = self._loads_of(table)
        untouched = (
            f"anti join {identifier('contested', table.parent)} as p"
            " on p._dlt_id = t._dlt_parent_id"
            if table.parent
            else f"anti join keys using ({self._names(table.key)})"
        )
        if not table.partition:
            rest = f"select * from ({self._existing(table)}) as t {untouched}"
            self._write(table, "all", f"{self._winners(table)} union all by name {rest}", notes)
            self._retire(table, {"all"})
            return
        by_month = table.partition.startswith("month:")
        form, shape = ("%Y-%m", r"\d{4}-\d\d") if by_month else ("%Y-%m-%d", r"\d{4}(-\d\d){2}")
        part = f"strftime({identifier(table.partition_column)}, '{form}')"
        names = {
            name
            for schema in ("winners", "contested")
            for (name,) in self.con.execute(
                f"select distinct {part} from {identifier(schema, table.name)}"
            ).fetchall()
        }
        whole = [load for load in loads if not re.fullmatch(shape, load.partition)]
        if whole:  # they were loaded before the table had these partitions
            query = f"select distinct {part} from ({self._existing(table, whole)})"
            names |= {name for (name,) in self.con.execute(query).fetchall()}
        for name in sorted(names):
            of_part = [load for load in loads if load.partition == name or load in whole]
            rest = f"select * from ({self._existing(table, of_part)}) as t {untouched}"
            query = f"{self._winners(table)} union all by name {rest}"
            query = f"select * from ({query}) where {part} = {literal(name)}"
            self._write(table, name, query, notes)
        self.session.retire(whole)

    def _write(self, table: DltTable, partition: str, query: str, notes: dict[str, str]) -> None:
        """Write the rows of a query into the lake as a load, with the columns that it adds."""
        load_id, target = self.session.reserve(self.source, table.name, partition)
        columns = ", ".join(map(identifier, [*self.incoming.tables[table.name].columns, *IDS]))
        at = literal(self.session.loaded_at)
        (rows,) = self.con.execute(
            f"copy (select {columns}, {load_id}::bigint as _load_id,"
            f" coalesce(_loaded_at, {at}::timestamp) as _loaded_at from ({query}))"
            f" to {literal(target)} (format parquet, compression zstd)"
        ).fetchone()
        load = Load(
            load_id, self.source, table.name, partition, "fetched",
            str(target.relative_to(settings().lake)), rows, target.stat().st_size,
            self.input, None, self.session.loaded_at,
        )  # fmt: skip
        self.session.add(load)
        ignored = tuple(self.incoming.ignored.get(table.name, ()))
        note = notes.pop(table.name, "")
        self.outcomes.append(Outcome(load, self.input, ignored=ignored, note=note))

    def _retire(self, table: DltTable, written: set[str]) -> None:
        loads = self._loads_of(table)
        self.session.retire(load for load in loads if load.partition not in written)

    def _loads_of(self, table: DltTable) -> list[Load]:
        loads = [load for load in self.active if load.table_name == table.name]
        return [] if self.package.replace else loads

    def _existing(self, table: DltTable, loads: Iterable[Load] | None = None) -> str:
        """The query of a table's rows in the lake.

        Raises:
            LocError: a file is lost, so that the rows cannot be merged with it.
        """
        loads = self._loads_of(table) if loads is None else list(loads)
        if lost := [load for load in loads if not ledger.whole(load)]:
            raise LocError(
                f"{self.source}.{table.name} cannot be loaded.",
                f"{lost[0].path} is lost from the lake, and the new rows belong to it.",
                f"Fetch all of it again: `loc load {self.source} --replace`.",
            )
        return existing(self.con, table, [load.path for load in loads])

    def _winners(self, table: DltTable) -> str:
        return f"select * from {identifier('winners', table.name)}"

    def _count(self, schema: str, table: str) -> int:
        return self.con.execute(f"select count(*) from {identifier(schema, table)}").fetchone()[0]

    def _names(self, columns: Iterable[str]) -> str:
        return ", ".join(map(identifier, columns))


def existing(con: duckdb.DuckDBPyConnection, table: DltTable, paths: list[Path]) -> str:
    """The query of a table's rows in files of the lake, null for a column that no file has."""
    columns = {**table.columns, **IDS, "_loaded_at": "TIMESTAMP"}
    there: set[str] = set()
    origin = "where false"
    if paths:
        listed = ", ".join(literal(exact_glob(path)) for path in paths)
        origin = f"from read_parquet([{listed}], union_by_name = true)"
        there = {row[0] for row in con.execute(f"describe select * {origin}").fetchall()}
    values = (
        f"{identifier(name) if name in there else 'null'}::{kind} as {identifier(name)}"
        for name, kind in columns.items()
    )
    return f"select {', '.join(values)}, null::bigint as _loc_seq, 0::bigint as _row {origin}"
