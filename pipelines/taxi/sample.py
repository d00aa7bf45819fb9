"""Generates synthetic trips in TLC's schema of 2025 from a seed, with quirks of real files.

Every random value is a hash of the row's number, so the same seed and number of rows give the same
rows, whatever the number of threads. A trip first gets a time (from the week's curve) and a pair of
zones (by popularity and distance). The length, the duration, the fare and the surcharges follow
from these; amounts are whole cents, so that they add up. The last step adds the quirks, each at a
rate of :mod:`rates`. No row is a real trip.
"""

import hashlib
import os
from calendar import monthrange
from datetime import date, datetime
from pathlib import Path

from pipelines.taxi.city import MOMENTS, PAIRS, database, moments
from pipelines.taxi.lakefile import meta_fields, write_parquet
from pipelines.taxi.rates import PASSENGERS, RATES
from pipelines.taxi.schema import COLUMNS, Colour, dropoff, pickup
from proto_loc.errors import UsageError

MONTHS = ("2025-01", "2025-02", "2025-03")
DEFAULT_ROWS = 300_000
MAX_ROWS = 100_000_000
GREEN_SHARE = 0.08
_DRAW = 1 << 21  # a hash holds three draws of 21 bits
_DRAWS = (
    "vendor",
    "app",
    "pay",
    "pair",
    "moment",
    "length",
    "length2",
    "pace",
    "pace2",
    "tip",
    "tip2",
    "toll",
    "rate",
    "people",
    "flag",
    "still",
    "absurd",
    "back",
    "running",
    "outside",
    "wrong",
    "start",
    "end",
    "app2",
)


def plan(rows: int = DEFAULT_ROWS) -> list[tuple[Colour, str, int]]:
    """Split ``rows`` trips over three months and two colours, without empty parts.

    Raises:
        UsageError: ``rows`` is not between 1 and 100,000,000.
    """
    if isinstance(rows, bool) or not isinstance(rows, int) or not 1 <= rows <= MAX_ROWS:
        raise UsageError(
            f"A sample of {rows} rows cannot be made.",
            f"It must have 1 to {MAX_ROWS:,} rows.",
            f"Leave the number out for {DEFAULT_ROWS:,}.",
        )
    days = [monthrange(*_year_month(month))[1] for month in MONTHS]
    green = round(rows * GREEN_SHARE)
    parts = []
    for colour, total in ((Colour.YELLOW, rows - green), (Colour.GREEN, green)):
        ends = [round(total * sum(days[:n]) / sum(days)) for n in range(len(days) + 1)]
        parts += [
            (colour, month, end - start)
            for month, start, end in zip(MONTHS, ends, ends[1:], strict=False)
        ]
    return [part for part in parts if part[2]]


def name(colour: Colour, month: str) -> str:
    """Return the value of ``_source_file`` for a sample."""
    return f"sample-{colour}-{month}"


def generate(
    colour: Colour,
    month: str,
    rows: int,
    target: Path,
    *,
    seed: int,
    load_id: int,
    loaded_at: datetime,
) -> int:
    """Write synthetic trips of a month (``YYYY-MM``) as one lake file; return the rows.

    The rows are in the order of their pick-ups, except for a few outside the month.

    Raises:
        UsageError: ``rows`` is not between 1 and 100,000,000.
        LocError: the file could not be written.
    """
    colour = Colour(colour)
    plan(rows)
    start = date(*_year_month(month), 1)
    with database(colour, os.getpid()).cursor() as connection:
        moments(connection, colour, start)
        # DuckDB reads a table on all threads and in order, but range() on one thread.
        connection.execute(f"CREATE TEMP TABLE rows AS SELECT true FROM range({int(rows)})")
        fields = ", ".join(
            f'CAST({column.name} AS {column.type}) AS "{column.name}"' for column in COLUMNS[colour]
        )
        meta = meta_fields("synthetic", month, name(colour, month), "i + 1", load_id, loaded_at)
        query = f"SELECT {fields}, {meta} FROM ({_trips(colour, start, rows, seed)})"
        return write_parquet(connection, query, target, rows)


def _year_month(month: str) -> tuple[int, int]:
    year, number = month.split("-")
    return int(year), int(number)


# The trips


def _trips(colour: Colour, start: date, rows: int, seed: int) -> str:
    """The SQL of the trips: TLC's columns in dollars, and ``i``, the row's number from 0."""
    rates = RATES[colour]
    text = f"{seed}/{colour}/{start:%Y-%m}"
    # 62 bits, so that a row's key stays a positive BIGINT after every xor.
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2

    def below(draw: str, rate: float) -> str:
        """SQL that is true for ``rate`` of the rows."""
        return f"({draw} < {round(rate * _DRAW)})"

    def bits(number: str, lane: int) -> str:
        # hash() gets one argument, because hash(a, b) is the xor of hash(a) and hash(b): draws of
        # two lanes would be correlated.
        return f"hash(xor({number} * 16 + {lane}, {key}))"

    # Three draws of 0 to 2^21 - 1 from each hash.
    hashes = ", ".join(f"{bits('k', lane)} AS h{lane}" for lane in range(len(_DRAWS) // 3))
    draws = ", ".join(
        f"((h{n // 3} >> {21 * (n % 3)}) & {_DRAW - 1})::INTEGER AS d_{name}"
        for n, name in enumerate(_DRAWS)
    )
    vendor_ends = [
        (vendor, sum(list(rates.vendors.values())[: n + 1]))
        for n, vendor in enumerate(rates.vendors)
    ]
    vendor = " ".join(
        f"WHEN {below('d_vendor', end)} THEN {vendor}" for vendor, end in vendor_ends[:-1]
    )
    metered_vendor_1 = "vendor = 1 AND NOT app"
    # Amounts in cents, before a refund changes their signs.
    amounts = {
        "fare_amount": f"CASE WHEN below_zero THEN -100 - d_tip2 // {_DRAW // 800} ELSE fare END",
        "extra": "surcharge + within_extra",
        "mta_tax": "CASE WHEN negotiated THEN 0 ELSE 50 END",
        "tip_amount": "tip",
        "tolls_amount": "tolls",
        "improvement_surcharge": "CASE WHEN vendor = 6 THEN 30 ELSE 100 END",
        "total_amount": (
            f"CASE WHEN below_zero THEN 100 + d_pay // {_DRAW // 500} "
            f"WHEN NOT app AND {below('d_wrong', rates.wrong_total)} "
            "THEN due + tip + 100 + 25 * (d_tip2 % 7) "
            "ELSE due + tip END"
        ),
        "congestion_surcharge": _metered("congestion"),
        "Airport_fee": _metered("airport_fee"),
        "cbd_congestion_fee": "CASE WHEN vendor = 6 THEN 0 ELSE zone_charge END",
    }
    if colour == Colour.GREEN:  # vendor 1 also adds the improvement surcharge to the tax
        amounts["mta_tax"] += (
            f" + CASE WHEN {metered_vendor_1} AND NOT negotiated THEN 100 ELSE 0 END"
        )
    dollars = ", ".join(
        f"sign * ({cents}) / 100.0::DOUBLE AS {name}" for name, cents in amounts.items()
    )
    passengers = " ".join(
        f"WHEN {below('d_people', end)} THEN {number}" for number, end in PASSENGERS.items()
    )
    return f"""
        WITH numbered AS (
            SELECT i, i > 0 AND {below(f"({bits('i', 8)} & {_DRAW - 1})", rates.refund)} AS refund,
                {below(f"({bits('(i + 1)', 8)} & {_DRAW - 1})", rates.refund)} AS refunded
            FROM (SELECT rowid AS i FROM rows)),
        -- A refund is the row before once more: it has that row's draws.
        keyed AS (SELECT i, refund, refund OR refunded AS disputed, i - refund::BIGINT AS k FROM
            numbered),
        hashed AS (SELECT *, {hashes} FROM keyed),
        drawn AS (
            SELECT i, k, refund, disputed, {draws} FROM hashed),
        placed AS (
            SELECT drawn.*, pairs.* EXCLUDE (pair), moments.second
                + (position - floor(position)) * moments.seconds AS second,
                CASE WHEN disputed THEN 2 {vendor} ELSE {vendor_ends[-1][0]} END AS vendor
            FROM (SELECT *, (k + d_moment / {_DRAW}.0::DOUBLE) * {MOMENTS / rows!r}::DOUBLE AS
                position
                  FROM drawn) AS drawn
            JOIN pairs ON pairs.pair = d_pair & {PAIRS - 1}
            JOIN moments ON moments.moment = least(floor(position)::INTEGER, {MOMENTS - 1})),
        timed AS (
            SELECT placed.*, hours.* EXCLUDE (hour, before, weight), floor(second)::BIGINT AS clock,
                vendor = 6 OR (NOT disputed AND vendor <> 7 AND {below("d_app", rates.app)}) AS app,
                -- vendor 1 rounds to tenths of a mile
                CASE WHEN vendor = 1 THEN 10 ELSE 1 END AS step
            FROM placed JOIN hours ON hours.hour = floor(second)::BIGINT // 3600),
        metered AS (
            SELECT *, miles * exp((d_length + d_length2 - {_DRAW}) / {_DRAW}.0::DOUBLE) AS road,
                NOT app AND {below("d_rate", rates.negotiated)} AS negotiated,
                NOT app AND d_rate > {round(_DRAW * (1 - rates.unknown_rate))} AND vendor = 1 AS
                    unmetered
            FROM timed),
        driven AS (
            -- Long trips use faster roads; a minute goes by at the kerb.
            SELECT *, 60 + (3600 * road / (speed * (0.82 + 0.065 * least(road, 18)))
                * exp(0.7 * (d_pace + d_pace2 - {_DRAW}) / {_DRAW}.0::DOUBLE))::BIGINT AS seconds
            FROM metered),
        priced AS (
            -- The meter: $3.00, and $0.70 a fifth of a mile or a slow minute, of which there are
            -- fewer on long trips.
            SELECT *, CASE
                    WHEN vendor = 6 THEN 290
                    WHEN app THEN greatest(500, (meter * (0.85 + 0.5 * d_app2 /
                        {_DRAW}.0))::INTEGER)
                    WHEN negotiated THEN 1500 + 500 * (d_pay % 15)
                    WHEN flat THEN 7000
                    ELSE meter + CASE WHEN newark THEN 2000 ELSE 0 END
                END AS fare,
                CASE WHEN app THEN CASE WHEN vendor = 1 THEN extra ELSE 0 END
                    WHEN negotiated THEN 0 WHEN flat THEN flat_extra ELSE extra + laguardia_extra
                        END AS surcharge,
                CASE WHEN priced THEN zone_fee ELSE 0 END AS zone_charge,
                CASE WHEN d_toll < tolled * {_DRAW} THEN toll ELSE 0 END AS tolls,
                CASE WHEN app THEN 0
                    WHEN refund OR disputed AND {below("d_still", rates.refund_seen)} THEN
                        CASE WHEN {below("d_flag", rates.refund_no_charge)} THEN 3 ELSE 4 END
                    WHEN {below("d_pay", rates.cash)} THEN 2
                    WHEN {below("d_pay", rates.cash + rates.no_charge)} THEN 3
                    WHEN {below("d_pay", rates.cash + rates.no_charge + rates.dispute)} THEN 4
                    ELSE 1 END AS payment
            FROM (SELECT *, 300 + 70 * (5 * road + seconds / (125.0::DOUBLE + 2 * road))::INTEGER AS
                meter
                  FROM driven)),
        summed AS (
            -- What the rider pays before the tip. Vendor 1 counts congestion, airport and zone fees
            -- among the extras.
            SELECT *, fare + surcharge + tolls + CASE WHEN negotiated THEN 0 ELSE 50 END
                + CASE WHEN vendor = 6 THEN 30 + meter ELSE 100 + congestion + zone_charge
                    + CASE WHEN app THEN 0 ELSE airport_fee END END AS due,
                CASE WHEN {metered_vendor_1} THEN congestion + airport_fee + zone_charge ELSE 0 END
                    AS within_extra
            FROM priced),
        tipped AS (
            SELECT *, CASE
                    WHEN vendor = 6 THEN 0
                    WHEN app AND {below("d_tip", 1 - rates.app_tip)} THEN 0
                    WHEN payment NOT IN (0, 1) THEN 0
                    -- The buttons on the screen, whole dollars, or whatever comes to mind.
                    WHEN {below("d_tip", 0.47)} AND NOT app THEN due // 5
                    WHEN {below("d_tip", 0.56)} AND NOT app THEN due // 4
                    WHEN {below("d_tip", 0.605)} AND NOT app THEN due * 3 // 10
                    WHEN {below("d_tip", 0.685)} AND NOT app THEN 0
                    WHEN {below("d_tip", 0.78)} THEN 100 * (1 + d_tip2 % 5)
                    ELSE (due * (0.08 + 0.14 * d_tip2 / {_DRAW}.0))::INTEGER
                END AS tip,
                vendor = 2 AND app AND {below("d_app2", rates.app_negative_fare)} AS below_zero
            FROM summed)
        SELECT i, vendor AS VendorID,
            TIMESTAMP '{start} 00:00:00' + to_seconds(CASE
                WHEN {below("d_outside", rates.outside_month)} THEN clock - 86400 * (31 + d_pay % 5)
                ELSE clock END) AS {pickup(colour)},
            {pickup(colour)} + to_seconds(CASE
                WHEN vendor = 7 THEN 0
                WHEN {below("d_back", rates.backwards)} THEN -seconds
                WHEN {below("d_running", rates.left_running)} THEN 82800 + seconds % 3600
                ELSE seconds END) AS {dropoff(colour)},
            CASE WHEN app THEN NULL WHEN vendor = 1 AND {below("d_people", rates.no_passenger)} THEN
                0 {passengers}
                ELSE 6 END AS passenger_count,
            CASE WHEN {below("d_absurd", rates.absurd_distance)} THEN 5000 + d_pay // 12 + d_tip2 %
                100 / 100.0::DOUBLE
                WHEN {below("d_still", rates.no_distance)} THEN 0
                ELSE (road * 100)::INTEGER // step * step / 100.0::DOUBLE END AS trip_distance,
            CASE WHEN app THEN NULL WHEN unmetered THEN 99 WHEN negotiated THEN 5 WHEN flat THEN 2
                WHEN newark THEN 3
                ELSE 1 END AS RatecodeID,
            CASE WHEN app THEN NULL WHEN {below("d_flag", rates.flagged)} THEN 'Y' ELSE 'N' END AS
                store_and_fwd_flag,
            CASE WHEN {below("d_start", rates.pickup_unknown)} THEN 264 + (d_tip2 % 4 = 0)::INTEGER
                ELSE pu END
                AS PULocationID,
            CASE WHEN {below("d_end", rates.dropoff_unknown)} THEN 264 + (d_tip2 % 3 = 0)::INTEGER
                ELSE "do" END
                AS DOLocationID,
            {_metered("payment") if colour == Colour.GREEN else "payment"} AS payment_type,
            {_metered("CASE WHEN negotiated THEN 2 ELSE 1 END")} AS trip_type, NULL AS ehail_fee,
            CASE WHEN refund THEN -1 ELSE 1 END AS sign, {dollars}
        FROM tipped"""


def _metered(value: str) -> str:
    """SQL of ``value``; NULL if an app booked the trip."""
    return f"CASE WHEN app THEN NULL ELSE {value} END"
