"""Append, replace and upsert: what a fetch leaves in raw, also after an interruption."""

import json

import pytest

from proto_loc.sources.dlt import Code, DltTable

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
    shop.fetch()
    assert shop.rows(STORED) == [(1, 11, 9.5), (2, 10, 2.5), (3, 12, 1.5)]
    assert shop.rows(LISTED) == [(1, "x"), (2, "c")]
    assert shop.rows("select count(*) from shop.orders__lines") == [(2,)]
