"""The synthetic sample: reproducible from its seed, in TLC's schema, with real quirks."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from pipelines.taxi import city, landing, sample, zones
from pipelines.taxi.rates import RATES
from pipelines.taxi.schema import COLUMNS, Colour, dropoff, lake_schema, pickup
from proto_loc.errors import UsageError

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
BOTH = pytest.mark.parametrize("colour", list(Colour))


def make(target: Path, colour=Colour.YELLOW, rows=1000, month="2025-01", seed=42) -> Path:
    assert sample.generate(colour, month, rows, target, seed=seed, load_id=5, loaded_at=NOW) == rows
    return target


def ask(path: Path, query: str) -> list[tuple]:
    return duckdb.connect().execute(query.replace("$file", f"read_parquet('{path}')")).fetchall()


def one(path: Path, query: str):
    return ask(path, f"SELECT {query} FROM $file")[0][0]


@pytest.fixture(scope="module")
def trips(tmp_path_factory) -> dict[Colour, Path]:
    """300,000 trips of each colour in February."""
    folder = tmp_path_factory.mktemp("sample")
    return {
        colour: make(folder / f"{colour}.parquet", colour, 300_000, "2025-02") for colour in Colour
    }


# The plan of the sample


def test_the_default_is_300_000_rows_over_three_months():
    parts = sample.plan()
    assert sum(rows for *_, rows in parts) == 300_000 and len(parts) == 6
    assert {month for _, month, _ in parts} == {"2025-01", "2025-02", "2025-03"}
    assert sum(rows for colour, _, rows in parts if colour == Colour.GREEN) == 24_000
    yellow = {month: rows for colour, month, rows in parts if colour == Colour.YELLOW}
    assert yellow["2025-01"] == yellow["2025-03"] and yellow["2025-02"] == pytest.approx(
        276_000 * 28 / 90, abs=1
    )


@pytest.mark.parametrize("rows", [1, 2, 7, 1000, 99_999, 100_000_000])
def test_a_plan_adds_up(rows):
    parts = sample.plan(rows)
    assert sum(part for *_, part in parts) == rows and all(part > 0 for *_, part in parts)


@pytest.mark.parametrize("rows", [0, -1, 100_000_001, True, 1.5, "10"])
def test_other_sizes_are_refused(rows):
    with pytest.raises(UsageError, match="1 to 100,000,000"):
        sample.plan(rows)


# Reproducibility and schema


@pytest.mark.parametrize(
    "colour", [Colour.YELLOW, pytest.param(Colour.GREEN, marks=pytest.mark.slow)]
)
def test_the_same_seed_gives_the_same_rows_whatever_the_threads(tmp_path, colour):
    first = make(tmp_path / "a.parquet", colour, 300_000)
    database = city.database(colour, os.getpid())
    threads = database.execute("SELECT current_setting('threads')").fetchone()[0]
    try:
        database.execute("SET threads = 1")
        alone = make(tmp_path / "b.parquet", colour, 300_000)
        database.execute("SET threads = 8")
        many = make(tmp_path / "c.parquet", colour, 300_000)
    finally:
        database.execute(f"SET threads = {threads}")
    city.database.cache_clear()
    again = make(tmp_path / "d.parquet", colour, 300_000)
    rows = ask(first, "SELECT * FROM $file ORDER BY _row")
    for other in (alone, many, again):
        assert ask(other, "SELECT * FROM $file ORDER BY _row") == rows
    assert [row[-3] for row in rows] == list(range(1, 300_001))


def test_another_seed_month_or_colour_gives_other_rows(tmp_path):
    given = {"a": {}, "b": {"seed": 43}, "c": {"month": "2025-03"}}
    fares = {
        name: ask(make(tmp_path / name, **how), "SELECT fare_amount FROM $file")
        for name, how in given.items()
    }
    assert fares["a"] != fares["b"] != fares["c"] != fares["a"]


@BOTH
@pytest.mark.parametrize("rows", [1, 2, 5000])
def test_a_small_sample_is_of_its_size(tmp_path, colour, rows):
    assert one(make(tmp_path / "a.parquet", colour, rows), "count(*)") == rows


@BOTH
def test_the_form_is_the_lakes(tmp_path, colour):
    path = make(tmp_path / "a.parquet", colour)
    rows = ask(
        path, "SELECT name, type FROM (DESCRIBE SELECT * FROM $file) AS t(name, type, a, b, c, d)"
    )
    assert dict(rows) == lake_schema(colour) and list(dict(rows)) == list(lake_schema(colour))
    meta = ask(
        path, "SELECT DISTINCT _origin, _month, _source_file, _load_id, _loaded_at FROM $file"
    )
    assert meta == [
        ("synthetic", date(2025, 1, 1), f"sample-{colour}-2025-01", 5, datetime(2025, 6, 1, 12))
    ]
    if colour == Colour.GREEN:
        assert one(path, "count(ehail_fee)") == 0


def test_the_form_is_that_of_a_converted_real_file(tlc, data, tmp_path):
    for colour, name in (
        ("green", "green_tripdata_2025-11"),
        ("yellow", "yellow_tripdata_2025-02_sample"),
    ):
        landing.convert(
            landing.inspect(tlc / f"{name}.parquet"), tmp_path / "real", load_id=1, loaded_at=NOW
        )
        describe = "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM $file)"
        assert ask(make(tmp_path / "made", colour), describe) == ask(tmp_path / "real", describe)


def test_green_names_and_types_are_the_real_files(tlc, tmp_path):
    describe = "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM $file)"
    real = ask(tlc / "green_tripdata_2025-11.parquet", describe)
    assert ask(make(tmp_path / "made", Colour.GREEN), describe)[: len(real)] == real


@BOTH
def test_rows_are_in_the_order_of_their_pickups(trips, colour):
    inside = f"FROM $file WHERE {pickup(colour)} >= '2025-02-01'"
    assert ask(
        trips[colour],
        f"SELECT count(*) FROM (SELECT {pickup(colour)} < lag({pickup(colour)}) OVER "
        f"(ORDER BY _row) AS late {inside}) WHERE late",
    ) == [(0,)]


# Proportions and irregularities, at the rates of the real files


@BOTH
def test_quirks_come_at_their_rates(trips, colour):
    rates, path = RATES[colour], trips[colour]
    seconds = f"date_diff('second', {pickup(colour)}, {dropoff(colour)})"
    own = rates.vendors[1] + rates.vendors[2]
    app = own * rates.app + rates.vendors.get(6, 0)
    expected = {
        **{f"VendorID = {vendor}": rate for vendor, rate in rates.vendors.items()},
        "passenger_count IS NULL": app,
        "total_amount < 0": rates.refund,
        "fare_amount < 0": rates.refund + rates.vendors[2] * rates.app * rates.app_negative_fare,
        "passenger_count = 0": rates.vendors[1] * (1 - rates.app) * rates.no_passenger,
        "RatecodeID = 99": rates.vendors[1] * (1 - rates.app) * rates.unknown_rate,
        "RatecodeID = 5": (1 - app) * rates.negotiated,
        "payment_type = 2": (1 - app) * rates.cash,
        "trip_distance = 0": rates.no_distance,
        "trip_distance > 1000": rates.absurd_distance,
        f"{seconds} < 0": rates.backwards,
        f"{seconds} > 12 * 3600": rates.left_running,
        f"{pickup(colour)} NOT BETWEEN '2025-02-01' AND '2025-02-28 23:59:59'": rates.outside_month,
        "PULocationID IN (264, 265)": rates.pickup_unknown,
        "DOLocationID IN (264, 265)": rates.dropoff_unknown,
    }
    for condition, rate in expected.items():
        got = one(path, f"count(*) FILTER ({condition})")
        want = rate * 300_000
        # The tolerance is five standard deviations, and a tenth for rates that depend on each
        # other.
        assert abs(got - want) <= 5 * want**0.5 + 0.1 * want + 1, (condition, got, want)
        assert got or want < 10, condition


@BOTH
def test_a_trip_booked_by_app_lacks_what_the_meter_knows(trips, colour):
    null = ["RatecodeID", "store_and_fwd_flag", "congestion_surcharge"]
    null += ["Airport_fee"] if colour == Colour.YELLOW else ["payment_type", "trip_type"]
    for column in null:
        assert (
            one(trips[colour], f"count_if(({column} IS NULL) <> (passenger_count IS NULL))") == 0
        ), column
    if colour == Colour.YELLOW:
        assert one(trips[colour], "count_if((payment_type = 0) <> (passenger_count IS NULL))") == 0


@BOTH
def test_a_total_is_the_sum_of_its_parts_except_at_the_quirks_rate(trips, colour):
    """Vendor 1 has congestion, airport and zone fees in ``extra``.

    Its green ``mta_tax`` contains the improvement surcharge too.
    """
    airport = "coalesce(Airport_fee, 0)" if colour == Colour.YELLOW else "0"
    tax = "CASE WHEN abs(mta_tax) = 1.5 THEN mta_tax ELSE mta_tax + improvement_surcharge END"
    total = f"""round(fare_amount + extra + {tax} + tip_amount + tolls_amount
        + CASE WHEN VendorID = 1 THEN 0
        ELSE coalesce(congestion_surcharge, 0) + cbd_congestion_fee + {airport} END, 2)"""
    metered, wrong = ask(
        trips[colour],
        f"SELECT count(*), count_if(total_amount <> {total}) FROM $file WHERE passenger_count IS"
        " NOT NULL",
    )[0]
    assert wrong == pytest.approx(metered * RATES[colour].wrong_total, rel=0.5) and wrong > 0


@BOTH
def test_a_refund_mirrors_the_row_before(trips, colour):
    amounts = [
        "fare_amount",
        "mta_tax",
        "tolls_amount",
        "improvement_surcharge",
        "extra",
        "cbd_congestion_fee",
    ]
    same = " AND ".join(f"before.{name} = -refund.{name}" for name in amounts)
    count, mirrored = ask(
        trips[colour],
        f"""
        SELECT count(*), count_if(before.PULocationID = refund.PULocationID AND {same})
        FROM $file AS refund JOIN $file AS before ON before._row = refund._row - 1
        WHERE refund.total_amount < 0 AND before.total_amount > 0""",
    )[0]
    assert mirrored == count > 0


@BOTH
def test_amounts_are_whole_cents_and_never_minus_zero(trips, colour):
    for column in COLUMNS[colour]:
        if column.type == "DOUBLE" and column.name not in ("trip_distance", "ehail_fee"):
            assert (
                one(
                    trips[colour],
                    f"count_if({column.name} <> round({column.name}, 2) OR CAST({column.name} AS"
                    " VARCHAR) = '-0.0')",
                )
                == 0
            ), column.name


@BOTH
def test_only_cards_and_apps_tip(trips, colour):
    assert one(trips[colour], "count_if(tip_amount <> 0 AND payment_type IN (2, 3, 4))") == 0


# Realistic values


@BOTH
def test_quartiles_are_near_the_real_ones(tlc, trips, colour):
    real = next(tlc.glob(f"{colour}_tripdata_2025-*"))
    minutes = f"date_diff('second', {pickup(colour)}, {dropoff(colour)}) / 60.0"
    for measure in ("fare_amount", "trip_distance", minutes, "total_amount"):
        query = f"quantile_cont({measure}, [0.25, 0.5, 0.75, 0.95]) FILTER (fare_amount > 2.9)"
        for made, true in zip(one(trips[colour], query), one(real, query), strict=True):
            assert true / 1.45 < made < true * 1.45, (measure, made, true)


@BOTH
def test_medians_are_sane(trips, colour):
    assert 10 < one(trips[colour], "median(fare_amount)") < 17
    assert 1.2 < one(trips[colour], "median(trip_distance)") < 2.5
    assert (
        9
        < one(
            trips[colour], f"median(date_diff('second', {pickup(colour)}, {dropoff(colour)})) / 60"
        )
        < 16
    )


def test_places_are_plausible(trips):
    boroughs = duckdb.connect()
    boroughs.execute("CREATE TABLE zones AS SELECT * FROM read_csv(?)", [str(zones.SEED)])

    def shares(colour: Colour, end: str) -> dict[str, float]:
        return dict(
            boroughs.execute(
                "SELECT borough, count(*) / 300000 FROM read_parquet(?) JOIN zones "
                f"ON {end} = location_id GROUP BY ALL",
                [str(trips[colour])],
            ).fetchall()
        )

    assert 0.82 < shares(Colour.YELLOW, "PULocationID")["Manhattan"] < 0.93
    assert 0.05 < one(trips[Colour.YELLOW], "count_if(PULocationID IN (132, 138)) / 300000") < 0.08
    assert 0.5 < shares(Colour.GREEN, "PULocationID")["Manhattan"] < 0.68
    assert one(trips[Colour.GREEN], "count_if(PULocationID IN (161, 230, 234, 132, 138, 1))") == 0
    assert len(ask(trips[Colour.YELLOW], "SELECT DISTINCT DOLocationID FROM $file")) > 200


def test_the_week_has_its_rhythm(trips):
    hours = dict(
        ask(
            trips[Colour.YELLOW],
            "SELECT hour(tpep_pickup_datetime), count(*) FROM $file GROUP BY ALL",
        )
    )
    assert max(hours, key=hours.get) in (17, 18, 19) and min(hours, key=hours.get) in (3, 4, 5)
    night = "hour(tpep_pickup_datetime) IN (0, 1, 2) AND isodow(tpep_pickup_datetime)"
    assert (
        one(trips[Colour.YELLOW], f"count_if({night} IN (6, 7)) / count_if({night} IN (2, 3))") > 3
    )


def test_fares_follow_the_tariff(trips, tmp_path):
    path = trips[Colour.YELLOW]
    assert ask(path, "SELECT DISTINCT abs(fare_amount) FROM $file WHERE RatecodeID = 2") == [
        (70.0,)
    ]
    assert one(path, "count_if(Airport_fee > 0 AND PULocationID NOT IN (132, 138, 264, 265))") == 0
    assert one(path, "count_if(tip_amount > 0) / count(*) FILTER (payment_type = 1)") > 0.8
    preset = "round(tip_amount / (total_amount - tip_amount), 2) IN (0.2, 0.25, 0.3)"
    assert one(path, f"count_if(payment_type = 1 AND {preset}) / count_if(payment_type = 1)") > 0.4
    january = make(tmp_path / "january", rows=100_000)
    assert ask(
        january,
        "SELECT min(tpep_pickup_datetime) >= '2025-01-05' FROM $file WHERE cbd_congestion_fee > 0 "
        "AND tpep_pickup_datetime >= '2025-01-01'",
    ) == [(True,)]
    december = make(tmp_path / "december", month="2024-12")
    assert one(december, "max(abs(cbd_congestion_fee))") == 0


def test_rare_quirks_may_miss_a_small_sample_but_not_a_large_one(tmp_path, trips):
    condition = "count_if(trip_distance > 1000 OR tpep_dropoff_datetime < tpep_pickup_datetime)"
    assert one(make(tmp_path / "small", rows=1000), condition) <= 3
    assert one(trips[Colour.YELLOW], condition) > 10
