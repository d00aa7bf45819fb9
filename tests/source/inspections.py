"""Inspections of awkward data, as a look at files gives them."""

from datetime import date, datetime

from proto_loc.sources import Table
from proto_loc.sources.formats import Format
from proto_loc.sources.inspection import ColumnFacts, Inspection


def facts(distinct: int = 5, first: object = None, last: object = None, text: str = "a"):
    return ColumnFacts(distinct, 0, first, last, (text,))


def inspection(*tables: Table, rows: int = 100, **columns: ColumnFacts) -> Inspection:
    """An inspection whose columns have these facts, or those of five different values."""
    return Inspection(
        tables,
        {table.name: rows for table in tables},
        {
            table.name: {column: columns.get(column, facts()) for column in table.columns}
            for table in tables
        },
    )


AIRLINES = Table(
    "airlines", {"carrier": "VARCHAR", "name": "VARCHAR"}, "airlines.csv", ("carrier",)
)
AIRPORTS = Table(
    "airports", {"faa": "VARCHAR", "name": "VARCHAR", "lat": "DOUBLE"}, "airports.csv", ("faa",)
)
WEATHER = Table(
    "weather",
    {"origin": "VARCHAR", "time_hour": "TIMESTAMP WITH TIME ZONE", "temp": "DOUBLE"},
    "weather.csv",
    ("origin", "time_hour"),
)
FLIGHTS = Table(
    "flights",
    {
        "month": "BIGINT",
        "carrier": "VARCHAR",
        "flight": "BIGINT",
        "origin": "VARCHAR",
        "dest": "VARCHAR",
        "distance": "BIGINT",
        "time_hour": "TIMESTAMP WITH TIME ZONE",
    },
    "flights.csv",
    partition="month:time_hour",
    format=Format(nulls=("", "NA"), time_zone="America/New_York"),
)
AIR = inspection(
    AIRLINES, AIRPORTS, WEATHER, FLIGHTS,
    time_hour=facts(8000, datetime(2013, 1, 1), datetime(2013, 12, 31)),
    name=facts(16, text="American"),
    temp=facts(300),
)  # fmt: skip
"""Five tables in short: two columns of flights are keys of airports under another name."""

AWKWARD = inspection(
    Table(
        "order_items",
        {
            "Order": "BIGINT",
            "Line No": "BIGINT",
            "select": "VARCHAR",
            "Größe": "DECIMAL(10,2)",
            "a": "VARCHAR",
            "2020": "INTEGER",
            "日本": "VARCHAR",
            "Total-Amount": "DOUBLE",
            "total amount": "DOUBLE",
            "what it says, and more: a 'very' long header that goes on and on, to the end of it": (
                "VARCHAR"
            ),
        },
        "Order Items*.csv",
        ("Order", "Line No"),
        "file",
    ),
)
"""Reserved words, spaces, an umlaut, one letter, digits, another script, names that clash."""

WITHOUT_NUMBER = inspection(Table("cities", {"name": "VARCHAR", "city": "VARCHAR"}, "cities.csv"))
ONLY_A_KEY = inspection(
    Table("ids", {"id": "BIGINT"}, "ids.csv", ("id",)),
    Table("other", {"id": "BIGINT", "no": "INTEGER"}, "other.csv"),
    rows=1,
)
NAMED_FINAL = inspection(
    Table(
        "final",
        {"day": "DATE", "month": "INTEGER", "table": "VARCHAR", "notes": "STRUCT(a INTEGER)"},
        "final.json",
        partition="day:day",
    ),
    day=facts(30, date(2024, 1, 1), date(2031, 1, 1)),
)
"""A table and columns with names that the models themselves use."""

SHOP = inspection(
    Table("orders", {"id": "BIGINT", "customer_id": "BIGINT", "at": "DATE"}, key=("id",)),
    Table("customers", {"id": "BIGINT", "name": "VARCHAR"}, key=("id",)),
    Table("notes", {"id": "BIGINT", "text": "VARCHAR"}),
    at=facts(9, date(2024, 1, 1), date(2024, 2, 1)),
)
"""Keys that are all named id, as in many databases."""

ALL = {
    "store": SHOP,
    "air": AIR,
    "awkward": AWKWARD,
    "cities": WITHOUT_NUMBER,
    "ids": ONLY_A_KEY,
    "endings": NAMED_FINAL,
}
