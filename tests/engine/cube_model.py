"""The same rows and the same model for Cube on two engines, with all types that a mart has."""

import json
from datetime import datetime, timedelta
from decimal import Decimal

from proto_loc import warehouse
from proto_loc.settings import settings
from proto_loc.sql import literal

ROWS = 2500
PLACES = [
    "Queens", "Manhattan", "50% off", "a_b", "a\\b", "O'Hara", "Zürich", "北京", "😀 café",
    "x?y", 'say "hi"', "", None,
]  # fmt: skip
AREAS = {"Queens": "east", "Manhattan": "centre", "Zürich": "far", "北京": "far", "a_b": "a"}
START = datetime(2024, 12, 30, 22, 15, 0, 123456)

MODEL = """\
cubes:
  - name: events
    sql_table: marts.events
    meta: { access: { places: place } }
    joins:
      - { name: places, sql: "{CUBE}.place = {places}.name", relationship: many_to_one }
    dimensions:
      - { name: id, sql: id, type: number, primary_key: true, public: true }
      - name: at
        sql: moment
        type: time
        granularities:
          - { name: quarter_hour, interval: 15 minutes }
          - { name: fortnight, interval: 2 weeks, origin: "2025-01-06" }
          - { name: third, interval: 4 months, origin: "2024-01-01" }
          - { name: odd, interval: 1 month 2 days, origin: "2024-03-05" }
          - { name: fiscal, interval: 1 year, offset: 3 months }
          - { name: sunday, interval: 1 week, offset: -1 day }
      - { name: day, sql: day, type: time }
      - { name: early, sql: early, type: time }
      - { name: place, sql: place, type: string }
      - { name: kind, sql: kind, type: string }
      - { name: sort, sql: "case when {CUBE}.kind = '?' then 'odd' else {CUBE}.kind end", type: string }
      - { name: flag, sql: flag, type: boolean }
      - { name: big, sql: big, type: number }
      - { name: small, sql: small, type: number }
      - { name: price, sql: price, type: number }
      - { name: rate, sql: rate, type: number }
    measures:
      - { name: number, type: count }
      - { name: revenue, sql: price, type: sum }
      - { name: wide, sql: wide, type: sum }
      - { name: whole, sql: small, type: sum }
      - { name: most, sql: rate, type: max }
      - { name: least, sql: price, type: min }
      - { name: mean, sql: price, type: avg }
      - { name: mean_small, sql: small, type: avg }
      - { name: kinds, sql: place, type: count_distinct }
      - { name: flagged, type: count, filters: [{ sql: "{CUBE}.flag" }] }
      - { name: first, sql: "min({CUBE}.moment)", type: time }
      - { name: share, sql: "cast({revenue} as double) / cast(nullif({number}, 0) as double)", type: number }
      - { name: so_far, sql: price, type: sum, rolling_window: { trailing: unbounded } }
      - { name: of_a_week, sql: price, type: sum, rolling_window: { trailing: 1 week } }
      - { name: of_a_quarter, type: count, rolling_window: { trailing: 1 quarter, offset: start } }
      - { name: to_date, sql: price, type: sum, rolling_window: { type: to_date, granularity: month } }
    segments:
      - { name: cheap, sql: "{CUBE}.price < 5" }
  - name: places
    sql_table: marts.places
    meta: { access: { places: name } }
    dimensions:
      - { name: name, sql: name, type: string, primary_key: true, public: true }
      - { name: area, sql: area, type: string }
      - { name: earned, sql: "{events.revenue}", sub_query: true, type: number }
    measures:
      - { name: places, type: count }
      - { name: size, sql: size, type: sum }
  - name: closed
    sql_table: marts.places
    dimensions: [{ name: name, sql: name, type: string }]
    measures: [{ name: n, type: count }]
"""  # noqa: E501
TABLES = {
    "events": {
        "id": "bigint",
        "moment": "timestamp(6)",
        "day": "date",
        "early": "timestamp(6)",
        "place": "varchar",
        "kind": "varchar",
        "flag": "boolean",
        "big": "bigint",
        "small": "integer",
        "price": "decimal(12, 2)",
        "wide": "decimal(30, 4)",
        "rate": "double",
    },
    "places": {"name": "varchar", "area": "varchar", "size": "integer"},
}
GIVEN = {
    "duckdb": """(select unnest(from_json({}, '[["VARCHAR"]]')) as r)""",
    "trino": "unnest(cast(json_parse({}) as array(array(varchar)))) as t(r)",
}
"""Rows from a JSON text, since Trino takes minutes to plan as many literals."""


def rows(table: str) -> list[tuple]:
    """The rows of a table; there is no randomness in them."""
    if table == "places":
        return [(name, AREAS.get(name), len(name)) for name in PLACES if name]
    return [_event(i) for i in range(ROWS)]


def _event(i: int) -> tuple:
    at = START + timedelta(minutes=37 * i, microseconds=i * 977)
    return (
        i,
        at,
        at.date(),
        datetime(1969, 12, 31, 23, 59, 59) + timedelta(microseconds=i * 777),
        PLACES[i * 7 % len(PLACES)],
        ("?", "one", "two")[i % 3],
        (True, False, None)[i // 5 % 3],
        9007199254740990 + i % 9,
        i % 24 - 4,
        Decimal(i * 31 % 1700) / 100 if i % 11 else None,
        Decimal(i) * Decimal("98765432109876.4321"),
        i / 8 if i % 13 else None,
    )


def publish(count: int = ROWS) -> warehouse.Version:
    """Publish a version with the tables, on the engine of ``LOC_ENGINE``, with ``count`` events."""
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute("create schema if not exists marts")
        for table, types in TABLES.items():
            texts = [[_text(value) for value in row] for row in rows(table)[:count]]
            columns = ", ".join(
                f"cast(r[{at}] as {kind}) as {name}"
                for at, (name, kind) in enumerate(types.items(), 1)
            )
            given = GIVEN[settings().engine].format(literal(json.dumps(texts)))
            con.execute(f"drop table if exists marts.{table}")
            con.execute(f"create table marts.{table} as select {columns} from {given}")
    return session.version


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)
