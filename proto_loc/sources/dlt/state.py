"""Keeps in ``raw`` how far a source was fetched, so that a rollback of ``raw`` takes it back."""

import json
from dataclasses import asdict, dataclass, field

import duckdb

from proto_loc.warehouse import store
from proto_loc.warehouse.errors import WarehouseError

TABLE = """
create table if not exists main.fetched (
    source varchar,
    package varchar,  -- the load package that was adopted last
    state varchar     -- the fields of State as JSON
)
"""


@dataclass(frozen=True)
class State:
    """How far a source was fetched; the default is a source that was never fetched."""

    package: str = ""
    """Id of the load package that was adopted last."""
    files: dict[str, str] = field(default_factory=dict)
    """dlt's own records of cursors and schemas: path in its folder → text."""
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    """Table → column → DuckDB type, of what was fetched and is not declared."""
    parents: dict[str, str] = field(default_factory=dict)
    """Table that is not declared → its parent table."""


def read(con: duckdb.DuckDBPyConnection, source: str) -> State:
    """Read the state of a source from an open ``raw``."""
    exists = "from duckdb_tables() where schema_name = 'main' and table_name = 'fetched'"
    if not con.execute(exists).fetchone():
        return State()
    row = con.execute("select state from main.fetched where source = ?", [source]).fetchone()
    return State(**json.loads(row[0])) if row else State()


def write(con: duckdb.DuckDBPyConnection, source: str, state: State) -> None:
    """Replace the state of a source in the ``raw`` of a write session."""
    con.execute(TABLE)
    con.execute("delete from main.fetched where source = ?", [source])
    text = json.dumps(asdict(state))
    con.execute("insert into main.fetched values (?, ?, ?)", [source, state.package, text])


def current(source: str) -> State:
    """The state of a source in the current ``raw``; the default if ``raw`` cannot be read."""
    try:
        if store.current_id("raw") is None:
            return State()
        with store.current("raw").open() as con:
            return read(con, source)
    except WarehouseError:
        return State()  # what is wrong with raw is said by whoever needs its data
