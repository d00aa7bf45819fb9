"""The patterns of docs/patterns.md on prod: late data, and histories that no build loses.

The tests publish five times, because each is about the version before.
"""

from pathlib import Path

import pytest
from clone import SHOP
from toy import Toy, make_toy, query

from proto_loc import warehouse
from proto_loc.dbt import histories, passthrough
from proto_loc.dbt.failures import BuildFailed
from proto_loc.warehouse import store
from proto_loc.warehouse.diff import diff

pytestmark = pytest.mark.xdist_group("patterns")  # its tests go on from each other

ORDERS, CUSTOMERS = (SHOP / f"files/{name}.csv" for name in ("orders-2025-02", "customers"))
SNAPSHOT = """
snapshots:
  - name: {name}
    description: One row per customer and time in which nothing of it changed.
    relation: ref('stg_customers')
    config:
      schema: marts
      unique_key: customer_id
      strategy: check
      check_cols: [name, country]
      meta: {meta}
"""
MODELS = {
    "models/staging/stg_customers.sql": (
        "select customer_id, name, country from {{ source('shop', 'customers') }}"
    ),
    "models/marts/fct_orders.sql": """{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        pre_hook="{{ delete_superseded_loads() }}"
    )
}}
select order_id, ordered_on, amount, _load_id as load_id from {{ source('shop', 'orders') }}
{% if is_incremental() %} where _load_id in {{ missing_loads() }} {% endif %}
""",
    "models/marts/fct_orders.yml": """
models:
  - name: fct_orders
    config: {meta: {verdicts: {tables: [shop.orders], load_id: load_id}}}
    columns: [{name: order_id, data_tests: [unique]}]
""",
    "snapshots/customer_history.yml": SNAPSHOT.format(name="customer_history", meta="{}"),
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Toy:
    home = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as patch:
        toy = make_toy(home, patch)
        toy.write(MODELS)
        assert toy.load("shop", sorted((SHOP / "files").iterdir())).prod.id == 1
        yield toy


def moved(toy: Toy, country: str) -> Path:
    """Return an edition of the file of customers, in which Ada lives elsewhere."""
    lines = CUSTOMERS.read_text().replace("Ada,Italy", f"Ada,{country}").splitlines()
    return toy.file("customers.csv", *lines)


def history(table: str = "customer_history") -> list[tuple[str, bool]]:
    """Where Ada lived, and whether that is over."""
    return query(
        f"select country, dbt_valid_to is not null from marts.{table} where customer_id = 1"
        " order by dbt_valid_from"
    )


def test_rows_that_come_late_are_in_the_fact_and_a_change_is_in_the_history(toy):
    assert history() == [("Italy", False)]
    late = toy.file(ORDERS.name, *ORDERS.read_text().splitlines(), "999,1,2025-02-28,pot,5.00")
    done = toy.load("shop", [late, moved(toy, "Spain")])
    assert done.prod.facts["rebuilt"] == []
    assert query("select count(*) from marts.fct_orders") == [(181,)]
    assert query("select order_id from marts.fct_orders where order_id > 180") == [(999,)]
    assert query("select distinct load_id from marts.fct_orders order by 1") == query(
        "select load_id from main.loads where active and table_name = 'orders' order by 1", "raw"
    )
    assert history() == [("Italy", True), ("Spain", False)]
    assert query("select count(*) from marts.customer_history") == [(13,)]
    changes = {table.name: (table.rows_before, table.rows_after) for table in diff("prod", 1, 2)}
    assert changes["marts.customer_history"] == (12, 13)


def test_a_rollback_takes_the_history_back_and_the_next_publish_goes_on_from_there(toy):
    warehouse.rollback("prod", 1)
    assert history() == [("Italy", False)]
    assert toy.refresh().built
    assert history() == [("Italy", True), ("Spain", False)]


def test_a_rollback_of_raw_is_a_change_like_any_other(toy):
    """The history says what was published, so it keeps what raw took back."""
    warehouse.rollback("raw", store.versions("raw")[0])
    assert toy.refresh().built
    assert history() == [("Italy", True), ("Spain", True), ("Italy", False)]


def test_a_history_outlives_a_full_build_a_rename_and_a_deletion(toy):
    before = query("from marts.customer_history order by all")
    old, new = "snapshots/customer_history.yml", "snapshots/where_they_lived.yml"
    toy.write({old: "", new: SNAPSHOT.format(name="where_they_lived", meta="{}")})
    with pytest.raises(BuildFailed) as refused:
        toy.refresh()
    assert "no snapshot for marts.customer_history any more" in refused.value.what
    assert "`meta: {formerly: marts.customer_history}`" in refused.value.fix
    removed = histories.declared_in([f"dbt/{old}", "dbt/dbt_project.yml"])
    assert removed == ["marts.customer_history"], "what `loc demo remove` gives up"
    meta = "{formerly: marts.customer_history}"
    toy.write({new: SNAPSHOT.format(name="where_they_lived", meta=meta)})
    assert passthrough.passthrough(["build", "--target", "prod", "--full-refresh"]) == 0
    assert query("from marts.where_they_lived order by all") == before
    assert "marts.customer_history" not in warehouse.current("prod").tables
