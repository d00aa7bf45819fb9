"""SQL of people and models for Trino is checked and limited, before Trino sees it."""

from contextlib import suppress

import pytest

from proto_loc.warehouse.guard import Refused
from proto_loc.warehouse.iceberg import row_rules, statements

RULES = {"orders": ["\"tenant\" IN ('a', 'b')"]}
RULED = "(SELECT * FROM {} WHERE (\"tenant\" IN ('a', 'b')))"
"""A table with its rules."""


def ruled(sql: str) -> str:
    """A statement with the rules, which must hold then."""
    limited = row_rules.put(sql, RULES)
    row_rules.hold(limited, RULES)
    return limited


@pytest.mark.parametrize(
    ("sql", "sent"),
    [
        ("select 1;", "select 1"),
        ("select 1 -- a comment\n/* and another */ + 1", "select 1\n+ 1"),
        ("select o.a from prod.marts.orders o", "select o.a from marts.orders o"),
        (
            'select prod.marts.orders.a from "prod".marts.orders',
            "select marts.orders.a from marts.orders",
        ),
        ("select 'prod.a.b' from t", "select 'prod.a.b' from t"),
        ("select * from prod.information_schema.tables", "select * from information_schema.tables"),
        ("(select 1) union all values 2", "(select 1) union all values 2"),
        ("with a as (select 1) select * from a", "with a as (select 1) select * from a"),
        ("explain analyze select * from prod.a.b", "explain analyze select * from a.b"),
        ("explain (type io, format json) select 1", "explain (type io, format json) select 1"),
        ("show tables from prod.marts like 'a%'", "show tables from marts like 'a%'"),
        ("show schemas from prod", "show schemas"),
        ("describe prod.marts.orders", "describe marts.orders"),
        ("select * from table(sequence(1, 3))", "select * from table(sequence(1, 3))"),
        (
            "select lpad(a, 6, '0'), decimal '1.20', extract(year from b) from t where c = ?",
            "select lpad(a, 6, '0'), decimal '1.20', extract(year from b) from t where c = ?",
        ),
        ("select transform(a, x -> x + 1) from t", "select transform(a, x -> x + 1) from t"),
    ],
)
def test_what_reads_the_version_goes_to_trino_as_it_is(sql, sent):
    assert statements.read(sql).sql == sent


@pytest.mark.parametrize(
    "sql",
    [
        "",
        " ; ",
        "-- nothing",
        "select 1; select 2",
        "insert into t values 1",
        "with a as (select 1) insert into t select * from a",
        "update t set a = 1",
        "delete from t",
        "merge into t using u on true when matched then delete",
        "create table t as select 1",
        "drop table t",
        "alter table t execute optimize",
        "call system.runtime.kill_query('x', 'y')",
        "set session a = 1",
        "use marts",
        "prepare x from select 1",
        "execute immediate 'select 1'",
        "explain insert into t values 1",
        "explain show tables",
        "show catalogs",
        "show create table a.b",
        "show stats for t",
        "show session",
        "show tables from v2.marts",
        "describe raw.a.b",
        "describe output x",
        "select * from v1.marts.orders",
        "select * from system.runtime.queries",
        'select * from "system".runtime.nodes',
        "select * from s_1.marts.orders",
        "select (select max(a) from raw.x.y)",
        'select * from marts."orders$files"',
        'select * from "orders@main"',
        "select * from orders for version as of 12",
        "select * from orders for timestamp as of current_timestamp",
        "select * from table(system.query('x'))",
        "select * from table(v1.system.table_changes('a', 'b', 1, 2))",
        "select * from table(exclude_columns(input => table(orders), columns => descriptor(a)))",
        "select v1.marts.f(1)",
        "select lpad('x', 2000000000, 'y')",
        "select \"rpad\"('x', a, 'y') from t",
        "select 'open",
        'select "open',
        "select 1 /* open",
        "select (1",
        "select 1)",
        "select é from t",
        "from t",
        "summarize t",
        f"select {'(' * 200}1{')' * 200}",
        "select 1" + "+1" * 60_000,
    ],
)
def test_everything_else_is_refused(sql):
    with pytest.raises(Refused):
        statements.check(sql)


def test_a_plan_that_doubles_with_each_clause_is_refused():
    """Trino puts each WITH clause where it is named, and plans it anew there."""
    doubled = ", ".join(f"c{n + 1} as (select a.* from c{n} a, c{n} b)" for n in range(12))
    with pytest.raises(Refused, match="too large to plan"):
        statements.check(f"with c0 as (select * from t), {doubled} select * from c12")
    statements.check(
        "with recursive t(n) as (select 1 union all select n + 1 from t) select * from t"
    )


def test_a_script_is_split_at_its_semicolons_alone():
    assert statements.split("select ';' as a; -- b;c\nselect 2;;") == [
        "select ';' as a",
        "-- b;c\nselect 2",
    ]


@pytest.mark.parametrize(
    ("sql", "limited"),
    [
        ("select * from {}", '{} AS "orders"'),
        ("select o.a from {} o", "{} o"),
        ("select * from {} as o(a, b)", "{} as o(a, b)"),
        ("select * from ({})", '({} AS "orders")'),
        ("select * from t, {}", '{} AS "orders"'),
        ("select * from t join {} on t.a = orders.a", '{} AS "orders" on'),
        ("select * from unnest(array[1]), {}", '{} AS "orders"'),
        ("with x as (select * from {}) select * from x", '{} AS "orders")'),
        ("select (select max(a) from {}), extract(year from b) from t", '{} AS "orders")'),
        ("select * from t where a in (select a from {})", '{} AS "orders")'),
        ("select * from t cross join lateral (select * from {} o where o.a = t.a)", "{} o"),
        ("explain select * from {}", '{} AS "orders"'),
        ("select decimal '1.20' from {} where orders.a = 1", '{} AS "orders" where orders.a'),
    ],
)
@pytest.mark.parametrize("name", ["orders", 'marts."Orders"', "Marts.ORDERS"])
def test_a_table_with_rules_is_read_by_them(sql, limited, name):
    text = ruled(sql.format(name))
    assert limited.format(RULED.format(name)) in text


def test_both_tables_of_a_union_have_their_rules():
    text = ruled("select * from orders union all select * from prod.marts.orders")
    assert text.count("IN ('a', 'b')") == 2


@pytest.mark.parametrize(
    "sql",
    [
        "with orders as (select 1) select * from orders",
        "select * from (table orders)",
        'select * from (table "orders")',
        "table orders union all select 1",
        "select * from t where a in (table orders)",
        "select * from (orders o join t on true)",
        "select * from orders tablesample bernoulli (10)",
        "select * from a limit, orders",
        "select * from a offset, orders",
        "select /* /* */ * from orders -- */ */",
    ],
)
def test_what_another_parser_would_read_in_another_way_has_the_rules_or_is_refused(sql):
    """sqlglot reads `(table orders)` as a table named table; comments of Trino do not nest."""
    with suppress(Refused):
        assert RULED.format("orders") in ruled(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select * from orders",
        "select tenant in ('a', 'b') from orders",
        "select * from (select * from orders) where \"tenant\" in ('a', 'b')",
        "select * from orders where \"tenant\" in ('a', 'b') or a = 1",
        "select * from orders, t where \"tenant\" in ('a', 'b')",
        "select * from orders o(tenant, a) where \"tenant\" in ('a', 'b')",
        "select * from orders where \"tenant\" in ('a', 'b', 'c')",
        "with orders as (select 1) select * from orders",
    ],
)
def test_a_statement_without_the_rules_is_not_run(sql):
    with pytest.raises(Refused):
        row_rules.hold(sql, RULES)


def test_what_a_person_writes_may_hold_already():
    row_rules.hold("select * from orders where \"tenant\" in ('a', 'b') and a = 1", RULES)
    row_rules.hold("select orders from t order by orders", RULES)
    row_rules.hold("describe orders", RULES)
    row_rules.hold("select * from t", RULES)


@pytest.mark.parametrize(
    "clause", ["a = 1) or (1 = 1", "a = 1 -- ", "a = 1 limit 1", "a = 1; b", ""]
)
def test_a_rule_that_is_no_condition_is_refused(clause):
    with pytest.raises(Refused):
        row_rules.conditions(clause)
