"""Orders and customers of a shop, from CSV files."""

from pathlib import Path

from proto_loc.sources import Table
from proto_loc.sources.files import FileSource

ORDERS = {
    "order_id": "BIGINT",
    "customer_id": "BIGINT",
    "ordered_on": "DATE",
    "product": "VARCHAR",
    "amount": "DECIMAL(12,2)",
}
CUSTOMERS = {"customer_id": "BIGINT", "name": "VARCHAR", "country": "VARCHAR"}


def write_sample(folder: Path, rows: int, seed: int) -> None:
    """Write the given number of orders of 90 days, and the customers who placed them."""
    import duckdb

    queries = {
        "customers": (
            "select i as customer_id, 'customer ' || i as name,"
            " ['France', 'Italy', 'Spain'][1 + i % 3] as country from range(1, 31) r(i)"
        ),
        "orders": (
            f"select i as order_id, 1 + hash(i + {seed}) % 30 as customer_id,"
            " date '2025-01-01' + (i % 90)::int as ordered_on,"
            " ['bread', 'cheese'][1 + i % 2] as product,"
            f" ((hash({seed} - i) % 9000) / 100 + 1)::decimal(12, 2) as amount"
            f" from range({rows}) r(i)"
        ),
    }
    for name, query in queries.items():
        duckdb.sql(f"copy ({query}) to '{folder}/{name}.csv' (header)")


SOURCE = FileSource(
    name="shop",
    sample=write_sample,
    sample_rows=1_000,
    tables=(
        Table("orders", ORDERS, "orders*.csv", ("order_id",), "month:ordered_on"),
        Table("customers", CUSTOMERS, "customers*.csv", ("customer_id",)),
    ),
)
