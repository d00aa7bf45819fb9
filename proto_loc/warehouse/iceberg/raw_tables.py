"""Registers the lake's Parquet files as Iceberg tables, as they are: no row is copied.

A file with a type that Trino does not register, such as JSON, is the exception: a copy of it with
another type is made once.

The table of ``raw`` that dbt knows as ``shop.orders`` is ``raw__shop.orders`` on a session's
branch. The ledger ``main.loads`` and the counts of rejected rows are small, and are written as
rows.
"""

from collections.abc import Iterable
from pathlib import Path

import duckdb

from proto_loc.errors import disk_is_full
from proto_loc.settings import private_folder, settings
from proto_loc.sql import batches, identifier, literal, open_duckdb, values
from proto_loc.trino import places
from proto_loc.warehouse import ledger, store
from proto_loc.warehouse.errors import WarehouseError
from proto_loc.warehouse.iceberg import column_types
from proto_loc.warehouse.iceberg.connection import StatementFailed, TrinoConnection
from proto_loc.warehouse.ledger import Load

SCHEMA = "raw__"
"""Start of the schemas of these tables, which no reader may read."""
_LOADS = {
    "load_id": "bigint",
    "source": "varchar",
    "table_name": "varchar",
    "partition": "varchar",
    "origin": "varchar",
    "file": "varchar",
    "rows": "bigint",
    "bytes": "bigint",
    "input": "varchar",
    "input_sha256": "varchar",
    "loaded_at": "timestamp(6)",
    "active": "boolean",
    "sha256": "varchar",
}
_REJECTS = {
    "load_id": "bigint",
    "source": "varchar",
    "table_name": "varchar",
    "reason": "varchar",
    "rows": "bigint",
}


def register(con: TrinoConnection, raw: store.Version, known: dict) -> dict:
    """Make the tables of ``raw`` on a branch agree with a version of it.

    Args:
        con: a connection to the session's catalogue.
        known: what this returned for the version on which the session is based; empty without.

    Returns:
        What the branch has now: ``version``, and by table ``columns`` and ``loads``.

    Raises:
        WarehouseError: a file of the lake cannot be registered.
    """
    wanted = _wanted(raw)
    if known.get("version") == raw.id and known.get("tables") == wanted:
        return known
    before = known.get("tables", {})
    with raw.open() as ledger_con:
        loads = ledger.loads_in(ledger_con, active=False)
        rejects = ledger_con.execute(
            "select load_id, source, table_name, reason, rows from main.rejects"
        ).fetchall()
    for name in sorted(before.keys() - wanted.keys()):
        con.execute(f"drop table if exists {_relation(name)}")
    for name, table in wanted.items():
        by_id = {load.load_id: load for load in loads}
        _register(con, name, table, before.get(name), [by_id[i] for i in table["loads"]])
    _write(con, "main.loads", _LOADS, [tuple(vars(load).values()) for load in loads])
    _write(con, "main.rejects", _REJECTS, rejects)
    return {"version": raw.id, "tables": wanted}


def _wanted(raw: store.Version) -> dict[str, dict]:
    columns = raw.columns()
    names = [name for name in columns if not name.startswith("main.")]
    loads: dict[str, list[int]] = {name: [] for name in names}
    for load in ledger.loads_of(raw):
        loads.setdefault(f"{load.source}.{load.table_name}", []).append(load.load_id)
    return {name: {"columns": columns[name], "loads": loads[name]} for name in sorted(names)}


def _register(
    con: TrinoConnection, name: str, wanted: dict, before: dict | None, loads: list[Load]
) -> None:
    """Add the files of new loads; make the table anew if a load or a column is no longer there."""
    table = _relation(name)
    present = set(before["loads"]) if before else set()
    if not before or before["columns"] != wanted["columns"] or present - set(wanted["loads"]):
        _create(con, name, _columns(name, wanted["columns"]))
        present = set()
    for load in loads:
        if load.load_id not in present and load.rows:
            try:
                con.execute(
                    f"alter table {table} execute add_files(location =>"
                    f" {literal(location(load))}, format => 'PARQUET')"
                )
            except (StatementFailed, duckdb.Error) as error:
                if disk_is_full(error):
                    raise
                raise WarehouseError(
                    f"{load.path} cannot be registered in Trino.",
                    f"{error}".rstrip(".") + ".",
                    "Nothing was published. See docs/trino.md for what a source's columns may be.",
                ) from error
    (rows,) = con.execute(f"select count(*) from {table}").fetchone()
    if rows != sum(load.rows for load in loads):
        raise WarehouseError(
            f"Trino reads {rows:,} rows of {name}, and raw has"
            f" {sum(load.rows for load in loads):,}.",
            "A file of the lake is not what was loaded, or was registered twice.",
            "Nothing was published. Run `loc db verify`.",
        )


def location(load: Load) -> str:
    """The URI of a load's file, as Trino's catalogues read it."""
    return f"local:///{_readable(load.path).relative_to(places.local_root())}"


def _readable(path: Path) -> Path:
    """A file of the lake, or its copy with types that Trino registers, which is made now."""
    copy = places.lake_copies() / path.relative_to(settings().lake)
    if copy.exists():
        return copy
    with open_duckdb() as con:
        rows = f"read_parquet({literal(str(path))})"
        kinds = con.execute(f"select column_name, column_type from (describe from {rows})")
        casts = [
            f"cast({identifier(name)} as {other}) as {identifier(name)}"
            for name, kind in kinds.fetchall()
            if (other := column_types.in_copies(kind))
        ]
        if not casts:
            return path
        part = copy.with_name(f".{copy.name}.part")
        private_folder(copy.parent)
        con.execute(
            f"copy (select * replace ({', '.join(casts)}) from {rows})"
            f" to {literal(str(part))} (format parquet, compression zstd)"
        )
    part.replace(copy)
    return copy


def clear_copies() -> None:
    """Remove the copies of files that the lake no longer has."""
    home = places.lake_copies()
    for copy in [path for path in home.rglob("*") if path.is_file()]:
        if not (settings().lake / copy.relative_to(home)).exists():
            copy.unlink()


def _columns(name: str, columns: dict[str, str]) -> dict[str, str]:
    made = {}
    for column, kind in columns.items():
        try:
            made[column.lower()] = column_types.of_duckdb(kind)
        except ValueError as error:
            raise WarehouseError(
                f"The column {column} of {name} cannot be in an Iceberg table.",
                f"It is of the type {kind}: {error}.",
                f"Declare it as another type in pipelines/{name.split('.')[0]}, or use"
                " LOC_ENGINE=duckdb.",
            ) from error
    return made


def _write(con: TrinoConnection, name: str, columns: dict[str, str], rows: Iterable) -> None:
    _create(con, name, columns)
    for some in batches(list(rows)):
        con.execute(f"insert into {_relation(name)} values {values(some)}")


def _create(con: TrinoConnection, name: str, columns: dict[str, str]) -> None:
    schema = name.split(".")[0]
    con.execute(f"create schema if not exists {identifier(SCHEMA + schema)}")
    con.execute(f"drop table if exists {_relation(name)}")
    listed = ", ".join(f"{identifier(column)} {kind}" for column, kind in columns.items())
    con.execute(f"create table {_relation(name)} ({listed})")


def _relation(name: str) -> str:
    schema, table = name.split(".")
    return identifier(SCHEMA + schema, table)
