"""SQL for Trino is read in bounded time, and a rule is put in wherever its table is read.

The statements that a person must not run are in ``tests/engine/test_superset_on_trino.py``.
"""

import re
import threading

import pytest

from proto_loc.warehouse.guard import Refused
from proto_loc.warehouse.iceberg import row_rules, statements

RULES = {"orders": ["region IN ('north')", "paid"]}
RULED = "(SELECT * FROM {} WHERE (region IN ('north')) AND (paid))"


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("array[", "]"), ("date (", ")"), ("row(", ")"), ("map(array[1], array[", "])")],
)
def test_nested_types_take_no_endless_time(opening, closing):
    """Bug: sqlglot's time doubles with each level; thirty levels never ended."""
    ended = threading.Event()

    def check() -> None:
        with pytest.raises(Refused):
            statements.check("select " + opening * 30 + "1" + closing * 30)
        ended.set()

    threading.Thread(target=check, daemon=True).start()
    assert ended.wait(20)


@pytest.mark.parametrize(
    ("statement", "ran"),
    [
        ("select * from m.orders o", "select * from {m.orders} o"),
        ("select * from prod.m.orders -- all", 'select * from {m.orders} AS "orders"'),
        ('select * from M."Orders" as "x", a', 'select * from {M."Orders"} as "x", a'),
        ("select * from a where b in (select c from orders x)",
         "select * from a where b in (select c from {orders} x)"),
        ("explain select 1 from m.orders x", "explain select 1 from {m.orders} x"),
        ("describe m.orders", "describe m.orders"),
        ("select 'orders' as orders from a", "select 'orders' as orders from a"),
    ],
)  # fmt: skip
def test_a_rule_is_put_around_its_table(statement, ran):
    ruled = re.sub(r"\{(.*)\}", lambda table: RULED.format(table[1]), ran)
    assert row_rules.put(statement, RULES) == ruled


@pytest.mark.parametrize(
    "statement",
    [
        "select * from (table orders)",
        "with orders as (select 1) select * from orders",
        'select * from "orders$files"',
        "select * from orders for version as of 1",
    ],
)
def test_what_cannot_take_a_rule_is_refused(statement):
    with pytest.raises(Refused):
        row_rules.put(statement, RULES)


def test_the_catalogue_of_the_published_version_is_left_out():
    assert statements.read("select prod.m.t.a from PROD . m.t; ").sql == "select m.t.a from m.t"
    with pytest.raises(Refused, match="catalogue v2"):
        statements.read("select * from v2.m.t")
