"""Synthetic trips in TLC's schema of 2025: made in DuckDB from a seed, with the quirks of the real files.

Every draw is a hash of the row's number, so the same seed and number of rows give the same rows, whatever the number of
threads. A trip is: a moment (the week's curve), a pair of zones (popularity and distance), and from these the length,
the time, the meter's fare and the surcharges, all in whole cents so that they add up. Then the quirks, each at a rate
that was counted in a real file. No row is a real trip.
"""

import hashlib
import os
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path

import duckdb

from pipelines.sources.taxi.landing import meta_fields, write_parquet
from pipelines.sources.taxi.schema import COLUMNS, Colour, dropoff, pickup
from proto_loc.errors import UsageError
from proto_loc.settings import ROOT

MONTHS = ("2025-01", "2025-02", "2025-03")
DEFAULT_ROWS = 300_000
MAX_ROWS = 100_000_000
GREEN_SHARE = 0.08
ZONES = ROOT / "dbt/seeds/taxi_zones.csv"


@dataclass(frozen=True)
class Rates:
    """How often things happen, as shares of all rows unless said otherwise."""

    vendors: dict[int, float]
    app: float
    """Rows of vendors 1 and 2 whose trip was booked by app: no passengers, rate code, flag, congestion or airport fee;
    payment type 0 in yellow files, null in green ones. All rows of vendor 6 are such."""
    app_negative_fare: float
    """Of the app's rows of vendor 2: a fare below zero under a total above."""
    app_tip: float
    """Of the app's rows: with a tip."""
    refund: float
    """A charge taken back: the row before again, all amounts negative."""
    refund_no_charge: float
    """Of refunds: payment type 3 (no charge); the rest is 4 (dispute)."""
    refund_seen: float
    """Of charges that were taken back: the charge too has payment type 3 or 4."""
    cash: float
    """Of metered rows, as are the next five."""
    no_charge: float
    dispute: float
    negotiated: float
    flagged: float
    no_passenger: float
    """Of metered rows of vendor 1: passenger_count 0. Other vendors' meters do not allow it."""
    unknown_rate: float
    """Of metered rows of vendor 1: rate code 99."""
    no_distance: float
    absurd_distance: float
    backwards: float
    """Drop-off before the pick-up."""
    left_running: float
    """A meter left on for most of a day."""
    outside_month: float
    wrong_total: float
    """Of metered rows: a total that is not the sum of its parts."""
    pickup_unknown: float
    dropoff_unknown: float


# Counted in a 5,000-row sample of yellow_tripdata_2025-02. Where it has too few rows for a rate, green's stands in.
YELLOW_RATES = Rates(
    vendors={1: 1020 / 5000, 2: 3973 / 5000, 7: 7 / 5000},
    app=1125 / 4993, app_negative_fare=181 / 985, app_tip=85 / 944,
    refund=91 / 5000, refund_no_charge=8 / 91, refund_seen=49 / 91,
    cash=462 / 3875, no_charge=10 / 3875, dispute=8 / 3875, negotiated=30 / 3875,
    flagged=39 / 3875, no_passenger=24 / 880, unknown_rate=58 / 880,
    no_distance=138 / 5000, absurd_distance=1 / 5000, backwards=3 / 46912, left_running=1 / 46912,
    outside_month=1 / 46912, wrong_total=1 / 2989, pickup_unknown=7 / 5000, dropoff_unknown=26 / 5000)

# Counted in green_tripdata_2025-11, 46,912 rows.
GREEN_RATES = Rates(
    vendors={1: 4348 / 46912, 2: 38655 / 46912, 6: 3909 / 46912},
    app=1660 / 43003, app_negative_fare=0, app_tip=1088 / 1660,
    refund=142 / 46912, refund_no_charge=101 / 142, refund_seen=1,
    cash=9341 / 41343, no_charge=84 / 41343, dispute=14 / 41343, negotiated=2432 / 41343,
    flagged=126 / 41343, no_passenger=590 / 4277, unknown_rate=1 / 4277,
    no_distance=1494 / 46912, absurd_distance=21 / 46912, backwards=3 / 46912, left_running=156 / 46912,
    outside_month=21 / 46912, wrong_total=18 / 36965, pickup_unknown=116 / 46912, dropoff_unknown=639 / 46912)

RATES = {Colour.YELLOW: YELLOW_RATES, Colour.GREEN: GREEN_RATES}

# Pick-ups a zone, relative, rounded from the same files; other zones get their borough's weight.
_PICKUPS = {
    Colour.YELLOW: {
        236: 250, 237: 226, 161: 223, 132: 177, 186: 158, 234: 150, 230: 147, 162: 144, 68: 139, 249: 138, 79: 137,
        239: 137, 163: 137, 138: 134, 142: 128, 170: 122, 48: 119, 164: 111, 141: 110, 107: 109, 263: 95, 140: 92,
        246: 90, 90: 88, 238: 87, 229: 80, 113: 78, 100: 74, 114: 74, 144: 67, 231: 62, 143: 62, 262: 60, 43: 59,
        137: 58, 233: 55, 211: 51, 148: 50, 158: 49, 151: 32, 125: 31, 50: 30, 166: 28, 13: 25, 41: 24, 261: 23},
    Colour.GREEN: {
        74: 1205, 75: 584, 166: 218, 95: 212, 43: 194, 41: 180, 97: 178, 82: 176, 65: 138, 130: 138, 244: 97, 42: 86,
        66: 75, 129: 68, 7: 58, 134: 50, 260: 47, 92: 42, 83: 40, 33: 38, 236: 37, 116: 35, 181: 33, 24: 33, 223: 28,
        25: 28, 157: 27, 195: 23, 255: 23, 193: 19, 152: 16, 61: 16, 179: 15}}
_PICKUPS_ELSEWHERE = {
    Colour.YELLOW: {"Manhattan": 9, "Queens": 1.1, "Brooklyn": 2.1, "Bronx": 0.9, "Staten Island": 0.05, "EWR": 0},
    # Green cabs may pick up nobody at the airports and in Manhattan below about 96th Street.
    Colour.GREEN: {"Manhattan": 0, "Queens": 4, "Brooklyn": 4, "Bronx": 2, "Staten Island": 0.2, "EWR": 0}}
# How much more a borough is a trip's end than its start, and over which distance (miles) trips become rare.
_DROPOFFS = {Colour.YELLOW: {"Manhattan": 1, "Queens": 2, "Brooklyn": 6, "Bronx": 4, "Staten Island": 1},
             Colour.GREEN: {"Manhattan": 1, "Queens": 1.5, "Brooklyn": 1.5, "Bronx": 4, "Staten Island": 1}}
_AIRPORTS = {Colour.YELLOW: 0.14, Colour.GREEN: 0.14}
_NEWARK = {Colour.YELLOW: 14, Colour.GREEN: 4}
_REACH = {Colour.YELLOW: 1.8, Colour.GREEN: 1.9}
_SAME_ZONE = {Colour.YELLOW: 0.8, Colour.GREEN: 0.35}  # people walk there

# Trips an hour of the day, relative, from midnight; and miles an hour on the road. From the same files.
_WEEKDAY = (45, 25, 15, 10, 12, 22, 80, 150, 200, 215, 220, 222,
            230, 255, 265, 280, 295, 350, 400, 330, 320, 300, 260, 160)
_WEEKEND = (290, 230, 180, 140, 60, 25, 40, 70, 120, 180, 230, 245,
            255, 270, 275, 280, 290, 310, 340, 300, 290, 300, 330, 320)
_DAYS = {Colour.YELLOW: (0.80, 0.93, 1.02, 1.06, 1.14, 1.12, 0.98),
         Colour.GREEN: (1.0, 1.0, 1.02, 1.0, 1.0, 0.92, 0.86)}
_SPEED = (12.6, 12.6, 13.4, 14.2, 16.0, 16.2, 14.0, 10.4, 9.3, 9.3, 9.8, 9.5,
          9.3, 9.2, 9.0, 8.6, 8.8, 9.0, 9.1, 9.7, 10.4, 11.1, 11.4, 11.7)

# Up to which draw a trip has so many passengers; the rest has six.
_PASSENGERS = {1: 0.80, 2: 0.935, 3: 0.967, 4: 0.984, 5: 0.994}

_PAIRS = 1 << 16  # equally likely pairs of zones
_MOMENTS = 1 << 12  # equally likely stretches of the month
_DRAW = 1 << 21  # a hash holds three draws of 21 bits
_DRAWS = ("vendor", "app", "pay", "pair", "moment", "length", "length2", "pace", "pace2", "tip", "tip2", "toll", "rate",
          "people", "flag", "still", "absurd", "back", "running", "outside", "wrong", "start", "end", "app2")


def plan(rows: int = DEFAULT_ROWS) -> list[tuple[Colour, str, int]]:
    """Split ``rows`` trips over the sample's three months and two colours; parts without rows are left out.

    Raises:
        UsageError: ``rows`` is not between 1 and 100,000,000.
    """
    if isinstance(rows, bool) or not isinstance(rows, int) or not 1 <= rows <= MAX_ROWS:
        raise UsageError(f"A sample of {rows} rows cannot be made.", f"It must have 1 to {MAX_ROWS:,} rows.",
                         f"Leave the number out for {DEFAULT_ROWS:,}.")
    days = [monthrange(*_year_month(month))[1] for month in MONTHS]
    green = round(rows * GREEN_SHARE)
    parts = []
    for colour, total in ((Colour.YELLOW, rows - green), (Colour.GREEN, green)):
        ends = [round(total * sum(days[:n]) / sum(days)) for n in range(len(days) + 1)]
        parts += [(colour, month, end - start) for month, start, end in zip(MONTHS, ends, ends[1:], strict=False)]
    return [part for part in parts if part[2]]


def generate(colour: Colour, month: str, rows: int, target: Path, *,
             seed: int, load_id: int, loaded_at: datetime) -> int:
    """Write ``rows`` synthetic trips of ``month`` (``YYYY-MM``) to ``target`` as one lake file; return the rows.

    The rows are in the order of their pick-ups, but for the few outside of the month.

    Raises:
        UsageError: ``rows`` is not between 1 and 100,000,000.
        LocError: the file could not be written.
    """
    colour = Colour(colour)
    plan(rows)
    start = date(*_year_month(month), 1)
    with _city(colour, os.getpid()).cursor() as connection:
        _moments(connection, colour, start)
        # Only to have a source of rows that DuckDB reads on all threads and in order; range() is read on one.
        connection.execute(f"CREATE TEMP TABLE rows AS SELECT true FROM range({int(rows)})")
        fields = ", ".join(f'CAST({column.name} AS {column.type}) AS "{column.name}"' for column in COLUMNS[colour])
        meta = meta_fields("synthetic", month, f"sample-{colour}-{month}", "i + 1", load_id, loaded_at)
        query = f"SELECT {fields}, {meta} FROM ({_trips(colour, start, rows, seed)})"
        return write_parquet(connection, query, target, rows)


def _year_month(month: str) -> tuple[int, int]:
    year, number = month.split("-")
    return int(year), int(number)


# Tables to draw from


@cache
def _city(colour: Colour, process: int) -> duckdb.DuckDBPyConnection:
    """A database in memory with ``pairs``, which is dear to make and the same for every month.

    A forked process must not use its parent's database, hence ``process``. Nothing is large enough to spill to disk.
    """
    connection = duckdb.connect(config={"memory_limit": "3GB", "temp_directory": "", "preserve_insertion_order": True,
                                        "autoinstall_known_extensions": False, "autoload_known_extensions": False})
    _pairs(connection, colour)
    return connection


def _moments(connection: duckdb.DuckDBPyConnection, colour: Colour, start: date) -> None:
    """``hours``: each hour of the month, with its traffic. ``moments``: stretches of it with equally many trips."""
    days = monthrange(start.year, start.month)[1]
    hours, total = [], 0
    for hour in range(days * 24):
        day, clock = divmod(hour, 24)
        weekday = (start.weekday() + day) % 7
        # A night belongs to the evening before: Friday and Saturday nights are long.
        evening = (weekday - (clock < 6)) % 7
        curve = _WEEKEND if (evening in (4, 5) if clock < 6 or clock >= 21 else weekday >= 5) else _WEEKDAY
        weight = round(1000 * curve[clock] * _DAYS[colour][weekday])
        rush = weekday < 5 and 16 <= clock < 20
        zone_fee = 75 if (start.year, start.month, day + 1) >= (2025, 1, 5) else 0
        hours.append((hour, total, weight, _SPEED[clock], 250 if rush else 100 if clock >= 20 or clock < 6 else 0,
                      500 if rush else 0, zone_fee))
        total += weight
    columns = "hour, before, weight, speed, extra, flat_extra, zone_fee"
    values = ", ".join(map(str, hours))
    connection.execute(f"CREATE TEMP TABLE hours AS SELECT * FROM (VALUES {values}) AS hours({columns})")
    connection.execute(f"""
        CREATE TEMP TABLE moments AS
        WITH edges AS (
            SELECT n, 3600.0 * (hour + (n * {total / _MOMENTS}::DOUBLE - before) / weight) AS second
            FROM (SELECT range AS n, range * {total / _MOMENTS}::DOUBLE AS at FROM range({_MOMENTS})) AS edge
            ASOF JOIN hours ON edge.at >= hours.before)
        SELECT n AS moment, second, lead(second, 1, {days * 86400.0}) OVER (ORDER BY n) - second AS seconds
        FROM edges""")


def _pairs(connection: duckdb.DuckDBPyConnection, colour: Colour) -> None:
    """``pairs``: equally likely pairs of zones, with the road between them (miles) and what it costs (cents)."""
    def weights(table: dict) -> str:
        return "MAP {" + ", ".join(f"{key!r}: {value}::DOUBLE" for key, value in table.items()) + "}"

    green, yellow = (
        f"coalesce({weights(_PICKUPS[each])}[location_id], {weights(_PICKUPS_ELSEWHERE[each])}[borough])"
        for each in (Colour.GREEN, Colour.YELLOW))
    connection.execute(f"""
        CREATE TABLE zones AS
        SELECT *, -- south of 96th Street, and of 60th Street
            borough = 'Manhattan' AND latitude < 40.7835 - 0.37 * (longitude + 73.9430) AS congested,
            borough = 'Manhattan' AND latitude < 40.7585 - 0.37 * (longitude + 73.9585) AS priced,
            location_id IN (132, 138) AS airport,
            borough = 'EWR' AS newark,
            CASE WHEN location_id IN (103, 104, 105{", 132, 138" if colour == Colour.GREEN else ""}) THEN 0 -- islands
                 ELSE {green if colour == Colour.GREEN else yellow} END AS starts,
            CASE WHEN newark THEN {_NEWARK[colour]} ELSE (starts + {yellow}) * {weights(_DROPOFFS[colour])}[borough] END
                * CASE WHEN airport THEN {_AIRPORTS[colour]} ELSE 1 END AS ends
        FROM (SELECT location_id::INTEGER AS location_id, borough, latitude::DOUBLE AS latitude,
                  longitude::DOUBLE AS longitude
              FROM read_csv('{str(ZONES).replace("'", "''")}', auto_detect=false, header=true,
                  columns={{location_id: 'INTEGER', borough: 'VARCHAR', zone: 'VARCHAR', service_zone: 'VARCHAR',
                           latitude: 'DOUBLE', longitude: 'DOUBLE'}}))
        WHERE latitude IS NOT NULL""")
    connection.execute(f"""
        CREATE TABLE pairs AS
        WITH roads AS (
            -- Roads are about 1.3 times as long as the great circle; inside a zone a trip is short.
            SELECT a.location_id AS pu, b.location_id AS "do", a.starts, b.ends,
                greatest(0.6, 1.3 * 2 * 3958.8 * asin(sqrt(sin(radians(b.latitude - a.latitude) / 2) ** 2
                    + cos(radians(a.latitude)) * cos(radians(b.latitude))
                      * sin(radians(b.longitude - a.longitude) / 2) ** 2))) AS miles,
                -- People take a taxi to and from an airport however far it is.
                CASE WHEN a.airport OR b.airport OR b.newark THEN 0.15 ELSE exp(-miles / {_REACH[colour]}) END
                    * CASE WHEN pu = "do" THEN {_SAME_ZONE[colour]} ELSE 1 END AS nearness
            FROM zones AS a, zones AS b WHERE a.starts > 0),
        -- Whole numbers, because their sum does not depend on the order of adding.
        pulls AS (SELECT *, (1e9 * ends * nearness)::BIGINT AS pull FROM roads),
        totals AS (SELECT pu, sum(pull) AS total FROM pulls GROUP BY pu),
        weighed AS (
            SELECT pu, "do", miles, (1e9 * starts * (pull / total::DOUBLE))::BIGINT AS weight
            FROM pulls JOIN totals USING (pu)),
        placed AS (
            SELECT *, (sum(weight) OVER (ORDER BY pu, "do" ROWS UNBOUNDED PRECEDING) - weight)::BIGINT AS before
            FROM weighed WHERE weight > 0),
        drawn AS (
            SELECT pair, pu, "do", miles
            FROM (SELECT range AS pair, (range + 0.5::DOUBLE) * (SELECT sum(weight) FROM weighed) / {_PAIRS} AS place
                  FROM range({_PAIRS})) AS slots
            ASOF JOIN placed ON slots.place >= placed.before)
        SELECT pair::INTEGER AS pair, pu, "do", miles, b.newark,
            pu = 132 AND b.borough = 'Manhattan' OR "do" = 132 AND a.borough = 'Manhattan' AS flat,
            CASE WHEN a.congested OR b.congested THEN {275 if colour == Colour.GREEN else 250} ELSE 0 END AS congestion,
            a.priced OR b.priced AS priced,
            CASE WHEN a.airport THEN {0 if colour == Colour.GREEN else 175} ELSE 0 END AS airport_fee,
            CASE WHEN pu = 138 OR "do" = 138 THEN 500 ELSE 0 END AS laguardia_extra,
            CASE WHEN b.newark THEN 1606 WHEN a.airport OR b.airport OR miles > 5 THEN 694 ELSE 0 END AS toll,
            CASE WHEN b.newark THEN 0.9 WHEN a.airport OR b.airport THEN 0.6 WHEN miles > 5 THEN 0.25 ELSE 0
            END AS tolled
        FROM drawn JOIN zones AS a ON a.location_id = pu JOIN zones AS b ON "do" = b.location_id""")


# The trips


def _trips(colour: Colour, start: date, rows: int, seed: int) -> str:
    """SQL of the trips, one a row of ``rows``: TLC's columns in dollars, and ``i``, the row's number from 0."""
    rates = RATES[colour]
    text = f"{seed}/{colour}/{start:%Y-%m}"
    # 62 bits, so that a row's key, however changed, stays a positive BIGINT.
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2

    def below(draw: str, rate: float) -> str:
        """SQL that is true for ``rate`` of the rows."""
        return f"({draw} < {round(rate * _DRAW)})"

    def bits(number: str, lane: int) -> str:
        # One argument, because hash(a, b) is hash(a) mixed with hash(b) by xor: draws of two lanes would be related.
        return f"hash(xor({number} * 16 + {lane}, {key}))"

    # Three draws of 0 to 2^21 - 1 from each hash.
    hashes = ", ".join(f"{bits('k', lane)} AS h{lane}" for lane in range(len(_DRAWS) // 3))
    draws = ", ".join(f"((h{n // 3} >> {21 * (n % 3)}) & {_DRAW - 1})::INTEGER AS d_{name}"
                      for n, name in enumerate(_DRAWS))
    vendor_ends = [(vendor, sum(list(rates.vendors.values())[:n + 1])) for n, vendor in enumerate(rates.vendors)]
    vendor = " ".join(f"WHEN {below('d_vendor', end)} THEN {vendor}" for vendor, end in vendor_ends[:-1])
    metered_vendor_1 = "vendor = 1 AND NOT app"
    # Amounts in cents, before a refund turns their signs.
    amounts = {
        "fare_amount": f"CASE WHEN below_zero THEN -100 - d_tip2 // {_DRAW // 800} ELSE fare END",
        "extra": "surcharge + within_extra",
        "mta_tax": "CASE WHEN negotiated THEN 0 ELSE 50 END",
        "tip_amount": "tip",
        "tolls_amount": "tolls",
        "improvement_surcharge": "CASE WHEN vendor = 6 THEN 30 ELSE 100 END",
        "total_amount": f"CASE WHEN below_zero THEN 100 + d_pay // {_DRAW // 500} "
                        f"WHEN NOT app AND {below('d_wrong', rates.wrong_total)} "
                        "THEN due + tip + 100 + 25 * (d_tip2 % 7) "
                        "ELSE due + tip END",
        "congestion_surcharge": _metered("congestion"),
        "Airport_fee": _metered("airport_fee"),
        "cbd_congestion_fee": "CASE WHEN vendor = 6 THEN 0 ELSE zone_charge END",
    }
    if colour == Colour.GREEN:  # there, vendor 1 counts the improvement surcharge in the tax too
        amounts["mta_tax"] += f" + CASE WHEN {metered_vendor_1} AND NOT negotiated THEN 100 ELSE 0 END"
    dollars = ", ".join(f"sign * ({cents}) / 100.0::DOUBLE AS {name}" for name, cents in amounts.items())
    passengers = " ".join(f"WHEN {below('d_people', end)} THEN {number}" for number, end in _PASSENGERS.items())
    return f"""
        WITH numbered AS (
            SELECT i, i > 0 AND {below(f"({bits('i', 8)} & {_DRAW - 1})", rates.refund)} AS refund,
                {below(f"({bits('(i + 1)', 8)} & {_DRAW - 1})", rates.refund)} AS refunded
            FROM (SELECT rowid AS i FROM rows)),
        -- A refund is the row before once more: it has that row's draws.
        keyed AS (SELECT i, refund, refund OR refunded AS disputed, i - refund::BIGINT AS k FROM numbered),
        hashed AS (SELECT *, {hashes} FROM keyed),
        drawn AS (
            SELECT i, k, refund, disputed, {draws} FROM hashed),
        placed AS (
            SELECT drawn.*, pairs.* EXCLUDE (pair), moments.second
                + (position - floor(position)) * moments.seconds AS second,
                CASE WHEN disputed THEN 2 {vendor} ELSE {vendor_ends[-1][0]} END AS vendor
            FROM (SELECT *, (k + d_moment / {_DRAW}.0::DOUBLE) * {_MOMENTS / rows!r}::DOUBLE AS position
                  FROM drawn) AS drawn
            JOIN pairs ON pairs.pair = d_pair & {_PAIRS - 1}
            JOIN moments ON moments.moment = least(floor(position)::INTEGER, {_MOMENTS - 1})),
        timed AS (
            SELECT placed.*, hours.* EXCLUDE (hour, before, weight), floor(second)::BIGINT AS clock,
                vendor = 6 OR (NOT disputed AND vendor <> 7 AND {below('d_app', rates.app)}) AS app,
                CASE WHEN vendor = 1 THEN 10 ELSE 1 END AS step -- vendor 1 rounds to tenths of a mile
            FROM placed JOIN hours ON hours.hour = floor(second)::BIGINT // 3600),
        metered AS (
            SELECT *, miles * exp((d_length + d_length2 - {_DRAW}) / {_DRAW}.0::DOUBLE) AS road,
                NOT app AND {below('d_rate', rates.negotiated)} AS negotiated,
                NOT app AND d_rate > {round(_DRAW * (1 - rates.unknown_rate))} AND vendor = 1 AS unmetered
            FROM timed),
        driven AS (
            -- Long trips use faster roads; a minute goes by at the kerb.
            SELECT *, 60 + (3600 * road / (speed * (0.82 + 0.065 * least(road, 18)))
                * exp(0.7 * (d_pace + d_pace2 - {_DRAW}) / {_DRAW}.0::DOUBLE))::BIGINT AS seconds
            FROM metered),
        priced AS (
            -- The meter: $3.00, and $0.70 a fifth of a mile or a slow minute, of which there are fewer on long trips.
            SELECT *, CASE
                    WHEN vendor = 6 THEN 290
                    WHEN app THEN greatest(500, (meter * (0.85 + 0.5 * d_app2 / {_DRAW}.0))::INTEGER)
                    WHEN negotiated THEN 1500 + 500 * (d_pay % 15)
                    WHEN flat THEN 7000
                    ELSE meter + CASE WHEN newark THEN 2000 ELSE 0 END
                END AS fare,
                CASE WHEN app THEN CASE WHEN vendor = 1 THEN extra ELSE 0 END
                    WHEN negotiated THEN 0 WHEN flat THEN flat_extra ELSE extra + laguardia_extra END AS surcharge,
                CASE WHEN priced THEN zone_fee ELSE 0 END AS zone_charge,
                CASE WHEN d_toll < tolled * {_DRAW} THEN toll ELSE 0 END AS tolls,
                CASE WHEN app THEN 0
                    WHEN refund OR disputed AND {below('d_still', rates.refund_seen)} THEN
                        CASE WHEN {below('d_flag', rates.refund_no_charge)} THEN 3 ELSE 4 END
                    WHEN {below('d_pay', rates.cash)} THEN 2
                    WHEN {below('d_pay', rates.cash + rates.no_charge)} THEN 3
                    WHEN {below('d_pay', rates.cash + rates.no_charge + rates.dispute)} THEN 4
                    ELSE 1 END AS payment
            FROM (SELECT *, 300 + 70 * (5 * road + seconds / (125.0::DOUBLE + 2 * road))::INTEGER AS meter
                  FROM driven)),
        summed AS (
            -- What the rider pays before the tip. Vendor 1 counts congestion, airport and zone fees among the extras.
            SELECT *, fare + surcharge + tolls + CASE WHEN negotiated THEN 0 ELSE 50 END
                + CASE WHEN vendor = 6 THEN 30 + meter ELSE 100 + congestion + zone_charge
                    + CASE WHEN app THEN 0 ELSE airport_fee END END AS due,
                CASE WHEN {metered_vendor_1} THEN congestion + airport_fee + zone_charge ELSE 0 END AS within_extra
            FROM priced),
        tipped AS (
            SELECT *, CASE
                    WHEN vendor = 6 THEN 0
                    WHEN app AND {below('d_tip', 1 - rates.app_tip)} THEN 0
                    WHEN payment NOT IN (0, 1) THEN 0
                    -- The buttons on the screen, whole dollars, or whatever comes to mind.
                    WHEN {below('d_tip', 0.47)} AND NOT app THEN due // 5
                    WHEN {below('d_tip', 0.56)} AND NOT app THEN due // 4
                    WHEN {below('d_tip', 0.605)} AND NOT app THEN due * 3 // 10
                    WHEN {below('d_tip', 0.685)} AND NOT app THEN 0
                    WHEN {below('d_tip', 0.78)} THEN 100 * (1 + d_tip2 % 5)
                    ELSE (due * (0.08 + 0.14 * d_tip2 / {_DRAW}.0))::INTEGER
                END AS tip,
                vendor = 2 AND app AND {below('d_app2', rates.app_negative_fare)} AS below_zero
            FROM summed)
        SELECT i, vendor AS VendorID,
            TIMESTAMP '{start} 00:00:00' + to_seconds(CASE
                WHEN {below('d_outside', rates.outside_month)} THEN clock - 86400 * (31 + d_pay % 5)
                ELSE clock END) AS {pickup(colour)},
            {pickup(colour)} + to_seconds(CASE
                WHEN vendor = 7 THEN 0
                WHEN {below('d_back', rates.backwards)} THEN -seconds
                WHEN {below('d_running', rates.left_running)} THEN 82800 + seconds % 3600
                ELSE seconds END) AS {dropoff(colour)},
            CASE WHEN app THEN NULL WHEN vendor = 1 AND {below('d_people', rates.no_passenger)} THEN 0 {passengers}
                ELSE 6 END AS passenger_count,
            CASE WHEN {below('d_absurd', rates.absurd_distance)} THEN 5000 + d_pay // 12 + d_tip2 % 100 / 100.0::DOUBLE
                WHEN {below('d_still', rates.no_distance)} THEN 0
                ELSE (road * 100)::INTEGER // step * step / 100.0::DOUBLE END AS trip_distance,
            CASE WHEN app THEN NULL WHEN unmetered THEN 99 WHEN negotiated THEN 5 WHEN flat THEN 2 WHEN newark THEN 3
                ELSE 1 END AS RatecodeID,
            CASE WHEN app THEN NULL WHEN {below('d_flag', rates.flagged)} THEN 'Y' ELSE 'N' END AS store_and_fwd_flag,
            CASE WHEN {below('d_start', rates.pickup_unknown)} THEN 264 + (d_tip2 % 4 = 0)::INTEGER ELSE pu END
                AS PULocationID,
            CASE WHEN {below('d_end', rates.dropoff_unknown)} THEN 264 + (d_tip2 % 3 = 0)::INTEGER ELSE "do" END
                AS DOLocationID,
            {_metered('payment') if colour == Colour.GREEN else 'payment'} AS payment_type,
            {_metered('CASE WHEN negotiated THEN 2 ELSE 1 END')} AS trip_type, NULL AS ehail_fee,
            CASE WHEN refund THEN -1 ELSE 1 END AS sign, {dollars}
        FROM tipped"""


def _metered(value: str) -> str:
    """SQL: ``value``, but NULL where an app booked the trip."""
    return f"CASE WHEN app THEN NULL ELSE {value} END"
