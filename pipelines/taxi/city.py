"""Makes the tables from which trips are sampled: times of a month, and pairs of zones."""

from calendar import monthrange
from datetime import date
from functools import cache

import duckdb

from pipelines.taxi import rates, zones
from pipelines.taxi.schema import Colour
from proto_loc.sql import literal, open_duckdb

PAIRS = 1 << 16  # equally likely pairs of zones
MOMENTS = 1 << 12  # equally likely stretches of the month


@cache
def database(colour: Colour, process: int) -> duckdb.DuckDBPyConnection:
    """Make a database in memory with ``pairs``, which is slow to make and serves every month.

    ``process`` is part of the cache's key, because a forked process must not use its parent's
    database. No table is large enough to spill to disk.
    """
    connection = open_duckdb(
        config={
            "memory_limit": "3GB",
            "temp_directory": "",
            "preserve_insertion_order": "true",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
    )
    _pairs(connection, colour)
    return connection


def moments(connection: duckdb.DuckDBPyConnection, colour: Colour, start: date) -> None:
    """Make ``hours`` (each hour with its traffic) and ``moments`` (spans with equal trips)."""
    days = monthrange(start.year, start.month)[1]
    hours, total = [], 0
    for hour in range(days * 24):
        day, clock = divmod(hour, 24)
        weekday = (start.weekday() + day) % 7
        # The hours before 6 belong to the evening before: Friday and Saturday nights are long.
        evening = (weekday - (clock < 6)) % 7
        curve = (
            rates.WEEKEND
            if (evening in (4, 5) if clock < 6 or clock >= 21 else weekday >= 5)
            else rates.WEEKDAY
        )
        weight = round(1000 * curve[clock] * rates.DAYS[colour][weekday])
        rush = weekday < 5 and 16 <= clock < 20
        zone_fee = 75 if (start.year, start.month, day + 1) >= (2025, 1, 5) else 0
        hours.append(
            (
                hour,
                total,
                weight,
                rates.SPEED[clock],
                250 if rush else 100 if clock >= 20 or clock < 6 else 0,
                500 if rush else 0,
                zone_fee,
            )
        )
        total += weight
    columns = "hour, before, weight, speed, extra, flat_extra, zone_fee"
    values = ", ".join(map(str, hours))
    connection.execute(
        f"CREATE TEMP TABLE hours AS SELECT * FROM (VALUES {values}) AS hours({columns})"
    )
    connection.execute(f"""
        CREATE TEMP TABLE moments AS
        WITH edges AS (
            SELECT n, 3600.0 * (hour + (n * {total / MOMENTS}::DOUBLE - before) / weight) AS second
            FROM (SELECT range AS n, range * {total / MOMENTS}::DOUBLE AS at FROM range({MOMENTS}))
                AS edge
            ASOF JOIN hours ON edge.at >= hours.before)
        SELECT n AS moment, second, lead(second, 1, {days * 86400.0}) OVER (ORDER BY n) - second AS
            seconds
        FROM edges""")


def _pairs(connection: duckdb.DuckDBPyConnection, colour: Colour) -> None:
    """Make ``pairs``: equally likely pairs of zones, with distance (miles) and tolls (cents)."""

    def weights(table: dict) -> str:
        return (
            "MAP {" + ", ".join(f"{key!r}: {value}::DOUBLE" for key, value in table.items()) + "}"
        )

    green, yellow = (
        f"coalesce({weights(rates.PICKUPS[each])}[location_id],"
        f" {weights(rates.PICKUPS_ELSEWHERE[each])}[borough])"
        for each in (Colour.GREEN, Colour.YELLOW)
    )
    connection.execute(f"""
        CREATE TABLE zones AS
        SELECT *, -- south of 96th Street, and of 60th Street
            borough = 'Manhattan' AND latitude < 40.7835 - 0.37 * (longitude + 73.9430) AS
                congested,
            borough = 'Manhattan' AND latitude < 40.7585 - 0.37 * (longitude + 73.9585) AS priced,
            location_id IN (132, 138) AS airport,
            borough = 'EWR' AS newark,
            -- islands
            CASE WHEN location_id IN (103, 104, 105{", 132, 138" if colour == Colour.GREEN else ""})
                THEN 0
                 ELSE {green if colour == Colour.GREEN else yellow} END AS starts,
            CASE WHEN newark THEN {rates.NEWARK[colour]}
                 ELSE (starts + {yellow}) * {weights(rates.DROPOFFS[colour])}[borough] END
                * CASE WHEN airport THEN {rates.AIRPORTS[colour]} ELSE 1 END AS ends
        FROM (SELECT location_id::INTEGER AS location_id, borough, latitude::DOUBLE AS latitude,
                  longitude::DOUBLE AS longitude
              FROM read_csv({literal(zones.SEED)}, auto_detect=false, header=true,
                  columns={{location_id: 'INTEGER', borough: 'VARCHAR', zone: 'VARCHAR',
                           service_zone: 'VARCHAR',
                           latitude: 'DOUBLE', longitude: 'DOUBLE'}}))
        WHERE latitude IS NOT NULL""")
    connection.execute(f"""
        CREATE TABLE pairs AS
        WITH roads AS (
            -- Roads are about 1.3 times as long as the great circle; inside a zone a trip is short.
            SELECT a.location_id AS pu, b.location_id AS "do", a.starts, b.ends,
                greatest(0.6, 1.3 * 2 * 3958.8 * asin(sqrt(sin(radians(b.latitude - a.latitude) / 2)
                    ** 2
                    + cos(radians(a.latitude)) * cos(radians(b.latitude))
                      * sin(radians(b.longitude - a.longitude) / 2) ** 2))) AS miles,
                -- People take a taxi to and from an airport however far it is.
                CASE WHEN a.airport OR b.airport OR b.newark THEN 0.15 ELSE exp(-miles /
                    {rates.REACH[colour]}) END
                    * CASE WHEN pu = "do" THEN {rates.SAME_ZONE[colour]} ELSE 1 END AS nearness
            FROM zones AS a, zones AS b WHERE a.starts > 0),
        -- Whole numbers, because their sum does not depend on the order of adding.
        pulls AS (SELECT *, (1e9 * ends * nearness)::BIGINT AS pull FROM roads),
        totals AS (SELECT pu, sum(pull) AS total FROM pulls GROUP BY pu),
        weighed AS (
            SELECT pu, "do", miles, (1e9 * starts * (pull / total::DOUBLE))::BIGINT AS weight
            FROM pulls JOIN totals USING (pu)),
        placed AS (
            SELECT *, (sum(weight) OVER (ORDER BY pu, "do" ROWS UNBOUNDED PRECEDING) -
                weight)::BIGINT AS before
            FROM weighed WHERE weight > 0),
        drawn AS (
            SELECT pair, pu, "do", miles
            FROM (SELECT range AS pair, (range + 0.5::DOUBLE) * (SELECT sum(weight) FROM weighed) /
                {PAIRS} AS place
                  FROM range({PAIRS})) AS slots
            ASOF JOIN placed ON slots.place >= placed.before)
        SELECT pair::INTEGER AS pair, pu, "do", miles, b.newark,
            pu = 132 AND b.borough = 'Manhattan' OR "do" = 132 AND a.borough = 'Manhattan' AS flat,
            CASE WHEN a.congested OR b.congested THEN {275 if colour == Colour.GREEN else 250} ELSE
                0 END AS congestion,
            a.priced OR b.priced AS priced,
            CASE WHEN a.airport THEN {0 if colour == Colour.GREEN else 175} ELSE 0 END AS
                airport_fee,
            CASE WHEN pu = 138 OR "do" = 138 THEN 500 ELSE 0 END AS laguardia_extra,
            CASE WHEN b.newark THEN 1606 WHEN a.airport OR b.airport OR miles > 5 THEN 694 ELSE 0
                END AS toll,
            CASE WHEN b.newark THEN 0.9 WHEN a.airport OR b.airport THEN 0.6 WHEN miles > 5 THEN
                0.25 ELSE 0
            END AS tolled
        FROM drawn JOIN zones AS a ON a.location_id = pu JOIN zones AS b ON "do" = b.location_id""")
