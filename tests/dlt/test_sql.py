"""Databases: a real PostgreSQL with updates and deletes, a MariaDB, and SQLite."""

import sqlite3
import subprocess

import pytest
from databases import mariadb_server, postgresql_server

from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.sources.dlt import DltTable, Sql
from proto_loc.sources.dlt.program import FetchError
from proto_loc.sources.dlt_inspection import inspect_sql

TABLES = """
create table orders (
    id bigint primary key, amount numeric(12,2), updated_at timestamptz not null, note text,
    place jsonb
);
create table customers (id integer primary key, name text);
insert into orders
select n, n * 1.10, '2025-01-01'::timestamptz + n * interval '1 minute', null, '{"city": "Å"}'
from generate_series(1, 1000) n;
insert into customers values (1, 'Ada'), (2, 'Bob');
"""
CHANGES = """
update orders set amount = 99.99, updated_at = '2025-06-01' where id = 7;
insert into orders values (1001, 5.00, '2025-06-01', 'new');
delete from orders where id = 1;
delete from customers where id = 2;
"""


@pytest.fixture
def database(tmp_path):
    with postgresql_server(tmp_path) as address:
        yield address


def execute(address: str, sql: str) -> None:
    program = (
        "import psycopg2, sys; connection = psycopg2.connect(sys.argv[1]);"
        " connection.autocommit = True; connection.cursor().execute(sys.argv[2])"
    )
    command = [ROOT / ".venvs/dlt/bin/python", "-c", program, address, sql]
    subprocess.run(command, check=True)


def test_a_database_with_updates_and_deletes(platform, database):
    execute(database, TABLES)
    seen = inspect_sql("shop", database, ["orders", "customers"])
    assert [(table.name, table.key, table.mode, table.newest) for table in seen.tables] == [
        ("customers", ("id",), "replace", ""),
        ("orders", ("id",), "upsert", "updated_at"),
    ]
    assert seen.tables[1].columns["amount"] == "DECIMAL(12,2)" and database not in seen.code
    names: dict = {}
    exec(seen.code, names)
    platform.adopt(names["SOURCE"])
    platform.fetch()
    figures = "select count(*), sum(amount)::varchar, min(place->>'city') from shop.orders"
    assert platform.rows(figures) == [(1000, "550550.00", "Å")]
    execute(database, CHANGES)
    notes = [outcome.load.table_name for outcome in platform.fetch()]
    assert sorted(notes) == ["customers", "orders"]
    # A deleted row of a table that is fetched by a cursor stays; a whole fetch takes it away.
    assert platform.rows(figures)[0][0] == 1001
    changed = "select amount::varchar, note from shop.orders where id in (7, 1001) order by id"
    assert platform.rows(changed) == [("99.99", None), ("5.00", "new")]
    assert platform.rows("select name from shop.customers") == [("Ada",)]
    assert platform.fetch() == []
    platform.fetch(replace=True)
    assert platform.rows(figures)[0][0] == 1000


def test_mariadb_keeps_every_number(platform):
    with mariadb_server() as address:
        socket = address.partition("=")[2]
        program = (
            "import pymysql, sys;"
            " cursor = pymysql.connect(unix_socket=sys.argv[1], user='root').cursor();"
            " [cursor.execute(line) for line in sys.argv[2:]]; cursor.connection.commit()"
        )
        columns = "price decimal(10,2), size bigint unsigned, name text, updated_at datetime"
        lines = (
            f"create table test.items (id int primary key, {columns})",
            "insert into test.items values (1, 1.10, 18446744073709551615, 'é', '2025-01-01')",
        )
        command = [ROOT / ".venvs/dlt/bin/python", "-c", program, socket, *lines]
        subprocess.run(command, check=True)
        seen = inspect_sql("shop", address, ["items"])
        names: dict = {}
        exec(seen.code, names)
        platform.adopt(names["SOURCE"])
        platform.fetch()
        assert platform.fetch() == []
    stored = "select price::varchar, size::varchar, name, updated_at::varchar from shop.items"
    assert platform.rows(stored) == [("1.10", "18446744073709551615", "é", "2025-01-01 00:00:00")]


def test_sqlite_and_faults_of_a_database(platform):
    path = platform.home / "shop.db"
    with sqlite3.connect(path) as con:
        con.execute(
            'create table "Items" (id integer primary key, name text, "UpdatedAt" timestamp)'
        )
        con.execute("insert into \"Items\" values (1, 'pen', '2025-01-01 00:00:00')")
        con.execute("create table bare (id integer primary key)")
    seen = inspect_sql("shop", f"sqlite:///{path}")
    assert seen.tables[0].mode == "upsert" and "bare is left out" in seen.notes[-1]
    names: dict = {}
    exec(seen.code, names)
    platform.adopt(names["SOURCE"])
    platform.fetch()
    assert platform.rows("select id, name from shop.items") == [(1, "pen")]
    platform.declare("shop", (DltTable("nope", {"id": "BIGINT"}),), Sql("shop-dsn", {"nope": ""}))
    with pytest.raises(LocError, match="nope"):
        platform.fetch()
    platform.secret("shop-dsn", "postgresql://loc:word-of-the-test@127.0.0.1:9/shop")
    with pytest.raises(FetchError, match="refused") as refusal:
        platform.fetch()
    assert "word-of-the-test" not in str(refusal.value) + platform.said()


def test_appended_rows_at_the_last_value_are_not_added_again(platform):
    path = platform.home / "shop.db"
    platform.secret("shop-dsn", f"sqlite:///{path}")
    columns = {"created": "BIGINT", "word": "VARCHAR"}

    def fetch(*rows):
        with sqlite3.connect(path) as con:
            con.execute('create table if not exists "EventLog" (created bigint, word text)')
            con.executemany('insert into "EventLog" values (?, ?)', rows)
        platform.fetch()
        return platform.rows("select created, word from shop.event_log order by all")

    where = Sql("shop-dsn", {"EventLog": "created"})
    with pytest.raises(ValueError, match="EventLog is fetched by created"):
        platform.declare("shop", (DltTable("event_log", columns),), where)
    platform.declare("shop", (DltTable("event_log", columns, mode="append"),), where)
    assert fetch((1, "a"), (2, "b")) == [(1, "a"), (2, "b")]
    assert fetch((2, "c")) == [(1, "a"), (2, "b"), (2, "c")]
    assert fetch() == [(1, "a"), (2, "b"), (2, "c")]
