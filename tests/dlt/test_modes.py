"""Append, replace and upsert: what a fetch leaves in raw, also after an interruption."""

import json
from dataclasses import replace

import duckdb
import pytest

from proto_loc import sources, warehouse
from proto_loc.errors import LocError
from proto_loc.refresh.request import Request
from proto_loc.sources.dlt import Code, DltTable
from proto_loc.sources.dlt.incoming import _loses
from proto_loc.sources.dlt_inspection import inspect_dlt

MODULE = """
import json
from pathlib import Path

import dlt


@dlt.source
def shop(folder: str):
    @dlt.resource(name="orders")
    def orders(changed=dlt.sources.incremental("changed", initial_value=0)):
        for page in json.loads(Path(folder, "pages.json").read_text()):
            yield page

    return orders
"""
COLUMNS = {"id": "BIGINT", "changed": "BIGINT", "amount": "DECIMAL(12,2)"}
ORDERS = DltTable("orders", COLUMNS, key=("id",), mode="upsert", newest="changed")
LINES = DltTable("orders__lines", {"article": "VARCHAR"}, parent="orders")


@pytest.fixture
def shop(platform):
    (platform.home / "shop_source.py").write_text(MODULE)

    def declare(*tables, **options):
        where = Code("shop_source:shop", {"folder": str(platform.home)})
        platform.declare("shop", tables, where, **options)

    def serve(*pages):
        (platform.home / "pages.json").write_text(json.dumps(pages))

    platform.use, platform.serve = declare, serve
    declare(ORDERS, LINES)
    return platform


def order(number: int, changed: int, amount: float = 1.5, *articles: str) -> dict:
    lines = [{"article": article} for article in articles]
    return {"id": number, "changed": changed, "amount": amount, "lines": lines}


STORED = "select id, changed, amount::double from shop.orders order by 1"
LISTED = (
    "select o.id, l.article from shop.orders o join shop.orders__lines l"
    " on l._dlt_parent_id = o._dlt_id order by 1, l._dlt_list_idx"
)


def test_the_newest_row_of_a_key_stays_with_its_own_lists(shop):
    shop.serve([order(1, 10, 1.5, "a", "b"), order(2, 10, 2.5, "c")])
    outcomes = shop.fetch()
    assert [(o.load.table_name, o.load.rows) for o in outcomes] == [
        ("orders", 2),
        ("orders__lines", 3),
    ]
    assert shop.rows(STORED) == [(1, 10, 1.5), (2, 10, 2.5)]
    shop.serve([order(1, 11, 9.5, "x"), order(3, 12)])
    assert shop.fetch()[0].note == "2 rows are new or changed"
    assert shop.rows(STORED) == [(1, 11, 9.5), (2, 10, 2.5), (3, 12, 1.5)]
    assert shop.rows(LISTED) == [(1, "x"), (2, "c")]
    assert shop.rows("select count(*) from shop.orders__lines") == [(2,)]


def test_a_cursor_that_goes_back_loses_nothing_and_doubles_nothing(shop):
    shop.serve([order(1, 10), order(2, 20)])
    shop.fetch()
    shop.serve([order(1, 5, 7.5), order(2, 20, 8.5), order(3, 20)])
    shop.fetch()  # an older row of 1 is not fetched; 2 has changed at the same time as before
    assert shop.rows(STORED) == [(1, 10, 1.5), (2, 20, 8.5), (3, 20, 1.5)]
    before = warehouse.current("raw").id
    assert shop.fetch() == [] and warehouse.current("raw").id == before


def test_a_rollback_takes_the_cursor_back(shop):
    shop.serve([order(1, 10)])
    shop.fetch()
    shop.serve([order(2, 20)])
    Request(source="shop").loading("test")(lambda *state: None)  # as `loc load shop` and Dagster do
    assert len(shop.rows(STORED)) == 2
    warehouse.rollback("raw")
    assert shop.rows(STORED) == [(1, 10, 1.5)]
    assert shop.fetch() and shop.rows(STORED) == [(1, 10, 1.5), (2, 20, 1.5)]


def test_a_fetch_without_loads_starts_again_and_replace_forgets_what_was(shop):
    shop.serve([order(1, 10)])
    shop.fetch()
    with sources.loading(who="test") as session:
        session.retire(session.loads())
    shop.fetch()
    assert shop.rows(STORED) == [(1, 10, 1.5)]
    shop.serve([order(2, 5)])
    assert shop.fetch(replace=True) and shop.rows(STORED) == [(2, 5, 1.5)]


def test_appended_rows_stay_and_a_marked_row_takes_its_key_away(shop):
    events = DltTable("orders", COLUMNS, mode="append")
    shop.use(events, LINES)
    shop.serve([order(1, 10, 1.5, "a"), order(1, 10, 2.5)])
    shop.fetch()
    shop.serve([order(1, 10, 1.5, "a"), order(1, 10, 2.5), order(1, 11, 3.5)])
    shop.fetch()
    assert shop.rows(STORED) == [(1, 10, 1.5), (1, 10, 2.5), (1, 11, 3.5)]
    assert shop.rows(LISTED) == [(1, "a")]
    # The declaration changes: the newest row of a key stays, and a mark deletes it.
    marked = {**COLUMNS, "gone": "BOOLEAN"}
    shop.use(replace(ORDERS, columns=marked, deleted="gone"), LINES)
    shop.serve([order(1, 12, 4.5), order(2, 12), order(3, 12) | {"gone": True}])
    shop.fetch()
    assert shop.rows(STORED) == [(1, 12, 4.5), (2, 12, 1.5)] and shop.rows(LISTED) == []


def test_an_upsert_writes_only_the_months_that_change(shop):
    columns = {**COLUMNS, "day": "DATE"}
    shop.use(replace(ORDERS, columns=columns, partition="month:day"), LINES)
    shop.serve([order(1, 1) | {"day": "2025-01-05"}, order(2, 1) | {"day": "2025-02-05"}])
    assert [o.load.partition for o in shop.fetch()] == ["2025-01", "2025-02", "all"]
    shop.serve([order(2, 2, 9.5) | {"day": "2025-03-01"}])
    outcomes = {o.load.partition: o.load.rows for o in shop.fetch()}
    assert outcomes == {"2025-02": 0, "2025-03": 1, "all": 0}
    assert shop.rows(STORED) == [(1, 1, 1.5), (2, 2, 9.5)]
    # The declaration changes to days, then back to months.
    for changed, part in ((3, "day:day"), (4, "month:day")):
        shop.use(replace(ORDERS, columns=columns, partition=part), LINES)
        shop.serve([order(2, changed, 9.5) | {"day": "2025-03-01"}])
        shop.fetch()
        assert shop.rows(STORED) == [(1, 1, 1.5), (2, changed, 9.5)]


@pytest.mark.parametrize("policy", ["evolve", "freeze", "discard"])
def test_a_new_column_and_a_new_list_follow_the_policy(shop, policy):
    shop.use(ORDERS, schema=policy)
    shop.serve([{"id": 1, "changed": 1, "amount": 1.5}])
    shop.fetch()
    shop.serve([order(2, 2, 2.5, "a") | {"paid": "yes"}])
    if policy == "freeze":
        with pytest.raises(LocError, match=r"orders has columns.*paid VARCHAR"):
            shop.fetch()
        assert shop.rows(STORED) == [(1, 1, 1.5)] and len(shop.source.pending()) == 1
        columns = {**COLUMNS, "paid": "VARCHAR"}
        shop.use(replace(ORDERS, columns=columns), LINES, schema=policy)
        shop.serve()
        shop.fetch()  # what waited is adopted now
    else:
        shop.fetch()
    assert shop.rows(STORED) == [(1, 1, 1.5), (2, 2, 2.5)]
    columns = [row[0] for row in shop.rows("describe shop.orders")]
    if policy == "discard":
        assert "paid" not in columns and "shop.orders__lines" not in sources.declared_columns()
    else:
        assert shop.rows("select paid from shop.orders order by id") == [(None,), ("yes",)]
        assert shop.rows(LISTED) == [(2, "a")]
        if policy == "evolve":
            warehouse.rollback("raw")
            assert "paid" not in sources.declared_columns()["shop.orders"]


def test_a_value_that_its_type_cannot_hold_is_named_and_waits_for_one_that_can(shop):
    shop.use(replace(ORDERS, columns={**COLUMNS, "amount": "INTEGER"}), LINES)
    shop.serve([order(1, 1, 1)], [order(2, 1, 1.999)])
    with pytest.raises(LocError, match=r"orders, column amount: '1.999' is no INTEGER"):
        shop.fetch()
    shop.use(ORDERS, LINES)
    with pytest.raises(LocError, match=r"'1.999' is no DECIMAL\(12,2\)"):
        shop.fetch()
    shop.use(replace(ORDERS, columns={**COLUMNS, "amount": "DOUBLE"}), LINES)
    shop.serve()
    shop.fetch()
    assert shop.rows(STORED) == [(1, 1, 1.0), (2, 1, 1.999)]


@pytest.mark.parametrize(
    ("kind", "exact", "text"),
    [
        ("DATE", "2025-01-31", "2025-01-31 10:00:00"),
        ("DATE", "2025-01-31 00:00:00", "2025-01-31 00:00:01"),
        ("TIMESTAMP", "2025-01-31", "2025-01-31 10:00:00+02"),
        ("TIMESTAMP", "2025-01-31 10:00:00.5", "2025-01-31T10:00:00Z"),
    ],
)
def test_a_text_with_more_than_its_type_holds_is_refused(kind, exact, text):
    with duckdb.connect() as con:
        rows = con.execute(
            f"select t from (values ($1), ($2)) v(t) where {_loses('t', 'VARCHAR', kind)}",
            [exact, text],
        )
        assert rows.fetchall() == [(text,)]


def test_an_error_in_the_source_is_said_with_its_own_words(shop):
    (shop.home / "pages.json").write_text("[")
    with pytest.raises(LocError, match="JSONDecodeError") as refusal:
        shop.fetch()
    assert "Traceback" not in str(refusal.value)


def test_a_byte_that_is_no_text_does_not_end_the_log(shop):
    said = "import os\n\nos.write(2, b'a \\xff byte\\n')\nos.write(2, 'später\\n'.encode())\n"
    (shop.home / "shop_source.py").write_text(said + MODULE)
    shop.serve([order(1, 1)])
    shop.fetch()
    assert "a \ufffd byte\nspäter\n" in shop.said()


def test_an_inspection_of_a_source_proposes_its_declaration(shop):
    shop.serve([order(1, 1, 1.5, "a")])
    code = MODULE.replace("folder: str", f"folder={str(shop.home)!r}")
    (shop.home / "shop_source.py").write_text(code)
    seen = inspect_dlt("shop", "shop_source")
    names: dict = {}
    exec(seen.code, names)
    shop.adopt(names["SOURCE"])
    shop.fetch()
    assert shop.rows(LISTED) == [(1, "a")]
    assert [(table.name, table.parent) for table in seen.tables] == [
        ("orders", ""),
        ("orders__lines", "orders"),
    ]
