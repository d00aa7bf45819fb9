"""Orders and customers of a shop, from CSV files."""

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

SOURCE = FileSource(
    name="shop",
    tables=(
        Table("orders", ORDERS, "orders*.csv", ("order_id",), "month:ordered_on"),
        Table("customers", CUSTOMERS, "customers*.csv", ("customer_id",)),
    ),
)
