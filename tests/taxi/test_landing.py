"""Files that the user drops are loaded or refused, and no row is lost or moved."""

import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pytest

from pipelines.taxi import lakefile, landing, reader
from pipelines.taxi.schema import COLUMNS, Colour, lake_schema
from proto_loc.errors import LocError
from proto_loc.settings import ROOT

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.usefixtures("data")

# SQL of valid yellow trips; ``i`` numbers the rows from 0.
TRIPS = """
SELECT 2::INTEGER AS "VendorID", TIMESTAMP '2025-02-03 08:00:00' + to_seconds(i) AS
    tpep_pickup_datetime,
    TIMESTAMP '2025-02-03 08:10:00' + to_seconds(i) AS tpep_dropoff_datetime, 1::BIGINT AS
        passenger_count,
    i / 100.0::DOUBLE AS trip_distance, 1::BIGINT AS "RatecodeID", 'N' AS store_and_fwd_flag,
    161::INTEGER AS "PULocationID", 162::INTEGER AS "DOLocationID", 1::BIGINT AS payment_type,
    10.5::DOUBLE AS fare_amount,
    0.0::DOUBLE AS extra, 0.5::DOUBLE AS mta_tax, 2.0::DOUBLE AS tip_amount, 0.0::DOUBLE AS
        tolls_amount,
    1.0::DOUBLE AS improvement_surcharge, 14.0::DOUBLE AS total_amount, 2.5::DOUBLE AS
        congestion_surcharge,
    0.0::DOUBLE AS "Airport_fee", 0.75::DOUBLE AS cbd_congestion_fee
FROM (SELECT range AS i FROM range({rows}))"""


def write(path: Path, change: str = "*", rows: int = 40) -> Path:
    """Write ``rows`` valid trips, changed by the select list ``change``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {
        ".json": "FORMAT json, ARRAY true",
        ".csv": "FORMAT csv",
        ".parquet": "FORMAT parquet",
    }
    kind = next(
        (options[suffix] for suffix in path.suffixes[::-1] if suffix in options), "FORMAT json"
    )
    packed = ", COMPRESSION gzip" if path.suffix == ".gz" else ""
    query = f"SELECT {change} FROM ({TRIPS.format(rows=rows)}) ORDER BY trip_distance"
    target = str(path).replace("'", "''")
    duckdb.connect().execute(f"COPY ({query}) TO '{target}' ({kind}{packed}, USE_TMP_FILE false)")
    return path


def lake(path: Path, target: Path) -> list[tuple]:
    """Inspect and convert a file; return its rows in the order of ``_row``."""
    source = landing.inspect(path)
    assert landing.convert(source, target, load_id=7, loaded_at=NOW) == source.rows
    assert schema(target) == lake_schema(source.colour)
    return (
        duckdb.connect()
        .execute("SELECT * FROM read_parquet(?) ORDER BY _row", [str(target)])
        .fetchall()
    )


def schema(path: Path) -> dict[str, str]:
    rows = (
        duckdb.connect().execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    )
    return {name: kind for name, kind, *_ in rows}


def refusal(path: Path) -> str:
    with pytest.raises(LocError) as caught:
        landing.inspect(path)
    assert caught.value.fix
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Files of TLC


@pytest.mark.parametrize(
    ("name", "colour", "month", "rows"),
    [
        ("green_tripdata_2025-11.parquet", "green", "2025-11", 46_912),
        ("yellow_tripdata_2025-02_sample.parquet", "yellow", "2025-02", 5_000),
        ("yellow_tripdata_sample_2019-01.csv", "yellow", "2019-01", 10_000),
    ],
)
def test_a_real_file_arrives_whole_in_order_and_with_its_values(
    tlc, tmp_path, name, colour, month, rows
):
    source = landing.inspect(tlc / name)
    assert (source.colour, source.month, source.rows, source.extra) == (colour, month, rows, ())
    got = lake(tlc / name, tmp_path / "out.parquet")
    assert [row[-3] for row in got] == list(range(1, rows + 1))
    assert set(row[-6] for row in got) == {"file"}
    own = [name for name in source.columns.values() if name]
    reader = "read_csv(?, strict_mode=false)" if name.endswith("csv") else "read_parquet(?)"
    given = (
        duckdb.connect()
        .execute(f"SELECT {', '.join(own)} FROM {reader}", [str(tlc / name)])
        .fetchall()
    )
    kept = [n for n, column in enumerate(source.columns) if source.columns[column]]
    assert [tuple(row[n] for n in kept) for row in got] == given


def test_green_types_are_those_of_the_real_file(tlc):
    assert schema(tlc / "green_tripdata_2025-11.parquet") == {
        c.name: c.type for c in COLUMNS[Colour.GREEN]
    }


def test_the_zone_lookup_is_no_trip_table(tlc):
    message = refusal(tlc / "taxi_zone_lookup.parquet")
    assert (
        "neither tpep_pickup_datetime nor lpep_pickup_datetime" in message and "Borough" in message
    )


# Differences that are accepted


@pytest.mark.parametrize(
    "suffix", [".parquet", ".csv", ".csv.gz", ".json", ".ndjson", ".jsonl", ".jsonl.gz", ".CSV"]
)
def test_every_format_gives_the_same_rows(tmp_path, suffix):
    want = lake(write(tmp_path / "yellow_2025-02.parquet"), tmp_path / "want.parquet")
    got = lake(
        write(tmp_path / f"yellow_2025-02{suffix.lower()}").rename(
            tmp_path / f"trips_2025-02{suffix}"
        ),
        tmp_path / "got.parquet",
    )
    file = list(lake_schema(Colour.YELLOW)).index("_source_file")
    assert [row[:file] + row[file + 1 :] for row in got] == [
        row[:file] + row[file + 1 :] for row in want
    ]


@pytest.mark.parametrize(
    "change",
    [
        '* RENAME ("Airport_fee" AS airport_fee)',
        (
            '* RENAME ("Airport_fee" AS AIRPORT_FEE, "VendorID" AS vendor_id, "RatecodeID" AS "'
            ' ratecodeid ")'
        ),
        (
            "* REPLACE (passenger_count::DOUBLE AS passenger_count, payment_type::DOUBLE AS"
            " payment_type)"
        ),
        '* REPLACE ("VendorID"::BIGINT AS "VendorID", "PULocationID"::SMALLINT AS "PULocationID")',
        (
            "* REPLACE (fare_amount::DECIMAL(9, 2) AS fare_amount, trip_distance::FLOAT::DOUBLE AS"
            " trip_distance)"
        ),
        "* REPLACE (tpep_pickup_datetime::TIMESTAMP_NS AS tpep_pickup_datetime)",
    ],
)
def test_drift_of_names_and_types_is_absorbed(tmp_path, change):
    want = lake(write(tmp_path / "a_2025-02.parquet"), tmp_path / "want.parquet")
    got = lake(write(tmp_path / "b_2025-02.parquet", change), tmp_path / "got.parquet")
    width = len(COLUMNS[Colour.YELLOW])
    assert [row[:4] + row[5:width] for row in got] == [row[:4] + row[5:width] for row in want]


def test_columns_that_old_years_lack_are_null(tmp_path):
    old = '* EXCLUDE ("Airport_fee", congestion_surcharge, cbd_congestion_fee)'
    source = landing.inspect(write(tmp_path / "old.parquet", old))
    assert source.columns["Airport_fee"] is None and source.columns["fare_amount"] == "fare_amount"
    assert lake(source.path, tmp_path / "out.parquet")[0][17:20] == (None, None, None)


@pytest.mark.parametrize(
    "nothing", ["NULL::INTEGER", "NULL::VARCHAR", "NULL::BOOLEAN", "NULL::TIMESTAMP"]
)
def test_a_column_without_values_may_be_of_any_type(tmp_path, nothing):
    path = write(
        tmp_path / "trips.parquet",
        f'* REPLACE ({nothing} AS "Airport_fee", {nothing} AS store_and_fwd_flag)',
    )
    assert {(row[6], row[18]) for row in lake(path, tmp_path / "out.parquet")} == {(None, None)}


def test_columns_that_are_not_tlcs_are_left_out_and_said(tmp_path):
    source = landing.inspect(
        write(tmp_path / "trips.parquet", "*, 1 AS mood, 2 AS file_row_number")
    )
    assert source.extra == ("mood", "file_row_number")
    assert [row[-3] for row in lake(source.path, tmp_path / "out.parquet")] == list(range(1, 41))


def test_mixed_line_endings_lose_no_row(tmp_path):
    lines = write(tmp_path / "a.csv", rows=1000).read_text().splitlines()
    random.seed(1)
    path = tmp_path / "mixed.csv"
    path.write_bytes(
        b"".join(line.encode() + random.choice([b"\n", b"\r\n", b"\r", b"\n\n"]) for line in lines)
    )
    got = lake(path, tmp_path / "out.parquet")
    assert [row[4] for row in got] == [n / 100 for n in range(1000)]
    path.write_bytes("\r\n".join(lines).encode("utf-8-sig"))  # no line end after the last row
    assert len(lake(path, tmp_path / "out.parquet")) == 1000


def test_line_ends_at_the_edge_of_a_read_block_are_counted_once(tmp_path):
    lines = write(tmp_path / "a.csv").read_text().splitlines()
    for pad in range(4):
        head = lines[0] + ",pad\r\n" + lines[1] + ","
        filler = "x" * ((1 << 22) - len(head) - 2 + pad)
        path = tmp_path / "edge.csv"
        path.write_text(
            head + filler + "\r\n" + "".join(f"{line},\r\n" for line in lines[2:]), newline=""
        )
        if pad == 0:
            assert path.read_bytes()[(1 << 22) - 1 : (1 << 22)] == b"\n"
        plain = tmp_path / "plain.csv"
        assert reader._plain_text(path, plain) == (40, False)
        assert plain.read_bytes().count(b"\n") == 41 and b"\r" not in plain.read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".ndjson", ".parquet"])
def test_row_numbers_are_positions_in_the_file_under_threads(tmp_path, suffix):
    path = write(tmp_path / f"trips{suffix}", rows=200_000)
    got = lake(path, tmp_path / "out.parquet")
    assert all(row[4] == (row[-3] - 1) / 100 for row in got) and len(got) == 200_000


def test_nulls_in_text_are_empty_values(tmp_path):
    for suffix in (".csv", ".json"):
        path = write(
            tmp_path / f"trips{suffix}",
            "* REPLACE (NULL AS passenger_count, NULL AS store_and_fwd_flag)",
        )
        assert {(row[3], row[6]) for row in lake(path, tmp_path / "out.parquet")} == {(None, None)}


# The month of a file


def test_the_month_is_the_names_or_the_pickups(tmp_path):
    assert (
        landing.inspect(write(tmp_path / "yellow_tripdata_2025-02 (1).parquet")).month == "2025-02"
    )
    assert landing.inspect(write(tmp_path / "trips.parquet")).month == "2025-02"
    assert landing.inspect(write(tmp_path / "export-20250731.parquet")).month == "2025-02"


def test_a_name_that_disagrees_with_the_pickups_is_refused(tmp_path):
    message = refusal(write(tmp_path / "yellow_2025-03.parquet"))
    assert "2025-03" in message and "2025-02" in message


def test_without_a_month_in_the_name_the_pickups_must_agree(tmp_path):
    split = (
        "* REPLACE (tpep_pickup_datetime - to_months(CASE WHEN trip_distance < {} THEN 1 ELSE 0"
        " END) AS tpep_pickup_datetime)"
    )
    assert landing.inspect(write(tmp_path / "ok.parquet", split.format(0.02))).month == "2025-02"
    message = refusal(write(tmp_path / "bad.parquet", split.format(0.03)))
    assert "37 of 40" in message and "yellow_tripdata_2025-02.parquet" in message
    refusal(write(tmp_path / "two_2025-01_2025-02.parquet", split.format(0.1)))


# Files that are refused


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("* EXCLUDE (fare_amount, payment_type)", "lacks payment_type, fare_amount"),
        (
            "* EXCLUDE (tpep_pickup_datetime, tpep_dropoff_datetime)",
            "neither tpep_pickup_datetime nor",
        ),
        ("*, 'B01' AS dispatching_base_num", "for-hire vehicles"),
        (
            "*, tpep_pickup_datetime AS lpep_pickup_datetime",
            "yellow (tpep_…) and of green (lpep_…)",
        ),
        (
            (
                "* RENAME (tpep_pickup_datetime AS pickup_datetime, tpep_dropoff_datetime AS"
                " dropoff_datetime)"
            ),
            "yellow or green",
        ),
        ("*, 1 AS vendor_id", "'VendorID' and 'vendor_id' are both VendorID"),
        (
            "* REPLACE (CASE WHEN trip_distance = 0.16 THEN 'abc' ELSE '1' END AS fare_amount)",
            "Column 'fare_amount' holds \"abc\" at row 17; it must be a finite number",
        ),
        (
            (
                "* REPLACE (CASE WHEN trip_distance >= 0.02 THEN 1.5 ELSE 1 END::DOUBLE AS"
                " passenger_count)"
            ),
            "holds 1.5 at row 3 (38 such values); it must be a whole number",
        ),
        (
            (
                "* REPLACE (CASE WHEN trip_distance >= 0.02 THEN '1.5' ELSE '1' END AS"
                " passenger_count)"
            ),
            "at row 3",
        ),
        ('* REPLACE (3000000000 AS "PULocationID")', "holds 3000000000 at row 1"),
        ("* REPLACE (1e20::DOUBLE AS payment_type)", "'payment_type' of type DOUBLE"),
        ("* REPLACE ('NaN'::DOUBLE AS tip_amount)", "holds nan at row 1"),
        ("* REPLACE ('-inf'::DOUBLE AS trip_distance)", "holds -inf at row"),
        ("* REPLACE (true AS fare_amount)", "of type BOOLEAN"),
        ("* REPLACE ([1.0] AS fare_amount)", "of type DECIMAL(2,1)[]"),
        ("* REPLACE (DATE '2025-02-01' AS tpep_pickup_datetime)", "of type DATE"),
        ("* REPLACE ('infinity'::TIMESTAMP AS tpep_dropoff_datetime)", "infinity"),
        ("* REPLACE ('2025-02-01T00:00:00Z' AS tpep_pickup_datetime)", "local time without a zone"),
        ("* REPLACE ('2025-02-30 00:00:00' AS tpep_pickup_datetime)", "2025-02-30"),
        ("* REPLACE (1 AS store_and_fwd_flag)", "must be text"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_name(tmp_path, change, words):
    assert words in refusal(write(tmp_path / "trips.parquet", change))


@pytest.mark.parametrize("suffix", [".csv", ".json", ".csv.gz"])
def test_a_bad_value_in_text_is_named_with_its_row(tmp_path, suffix):
    change = "* REPLACE (CASE WHEN trip_distance = 0.16 THEN 'abc' ELSE '1.5' END AS fare_amount)"
    assert "'fare_amount' holds \"abc\" at row 17;" in refusal(
        write(tmp_path / f"trips{suffix}", change)
    )


def test_a_decimal_too_wide_for_duckdb_is_refused(tmp_path):
    """Fault: DuckDB reads a Parquet decimal of over 38 digits as a double.

    If its length is not a multiple of 8, the double has wrong bytes: fares of 12.80 were published
    as 3,276.80.
    """
    path = write(
        tmp_path / "yellow_2025-02.parquet", "* REPLACE (12.80::DECIMAL(38,2) AS fare_amount)"
    )
    landing.inspect(path)
    # The test changes 38 digits to 63 in the footer. There are two places, the old type and the new
    # one, and both numbers have one byte.
    path.write_bytes(path.read_bytes().replace(b"\x15\x04\x15\x4c", b"\x15\x04\x15\x7e"))
    assert "Column 'fare_amount' is DECIMAL(63,2)" in refusal(path)


@pytest.mark.parametrize(
    "value",
    [
        "12345678901234567.89::DECIMAL(38,2)",
        "9007199254740993::BIGINT",
        "18446744073709551615::UBIGINT",
    ],
)
def test_a_number_that_the_lake_cannot_hold_exactly_is_refused(tmp_path, value):
    """Fault: an amount with more digits than a double has was changed silently."""
    path = write(tmp_path / "yellow_2025-02.parquet", f"* REPLACE ({value} AS fare_amount)")
    assert "must be a number that a double holds exactly" in refusal(path)


def test_columns_that_differ_in_case_are_refused(tmp_path):
    text = write(tmp_path / "a.csv").read_text().splitlines()
    path = tmp_path / "trips.csv"
    path.write_text("\n".join([text[0] + ",airport_fee", *(line + ",1" for line in text[1:])]))
    assert "'Airport_fee' and 'airport_fee' are both Airport_fee" in refusal(path)
    path = tmp_path / "trips.json"
    record = write(tmp_path / "b.ndjson", rows=1).read_text()
    path.write_text(record + record.replace("Airport_fee", "airport_fee"))
    assert "both Airport_fee" in refusal(path)
    path.write_text(record.replace("}", ',"extra":1}'))
    assert "twice" in refusal(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",N,", ",N,N,", "Line: 11"),
        (",N,161", "", "Line: 11"),
        (",N,", ',"N,', "CSV"),
        (",N,", ',"N"x,', "CSV"),
        (",N,", ",\xff,", "CSV"),
    ],
)
def test_a_damaged_csv_line_is_refused_not_dropped(tmp_path, old, new, words):
    lines = write(tmp_path / "a.csv").read_text().splitlines()
    lines[10] = lines[10].replace(old, new)
    path = tmp_path / "trips.csv"
    path.write_bytes("\n".join(lines).encode("latin-1"))
    assert words in refusal(path)


def test_quotes_that_swallow_rows_are_refused(tmp_path):
    lines = write(tmp_path / "a.csv").read_text().splitlines()
    lines[10] = lines[10].replace(",N,161", ',"N')
    lines[12] = lines[12].replace(",N,", 'N",')
    tail = lines[12].split('N",')[1]
    lines[12] = 'N",161,' + tail.split(",", 1)[1]
    path = tmp_path / "trips.csv"
    path.write_text("\n".join(lines))
    assert "store_and_fwd_flag" in refusal(path)


def test_a_stray_quote_in_a_column_that_is_not_kept_swallows_no_row(tmp_path):
    """Fault: the value continued to the next quote, some rows later, and those rows were lost
    silently.
    """
    lines = write(tmp_path / "a.csv").read_text().splitlines()
    for columns, between in ((1, 1), (1, 7), (2, 3)):
        rows = [line + ",x" * columns for line in lines]
        rows[0] = lines[0] + "".join(f",note{n}" for n in range(columns))
        rows[5] = lines[5] + ',"x' + ",x" * (columns - 1)
        rows[5 + between] = lines[5 + between] + ',x"' + ",x" * (columns - 1)
        path = tmp_path / "trips.csv"
        path.write_text("\n".join(rows))
        assert "A stray quote in column 'note0' at row 5 swallows the rows after it" in refusal(
            path
        )


def test_a_text_of_several_lines_in_a_column_that_is_not_kept_is_no_fault(tmp_path):
    """A quoted text may contain line ends: a line of the file is a row, or a part of
    such a text.
    """
    lines = write(tmp_path / "a.csv").read_text().splitlines()
    texts = ['"two\nlines, and a comma"', '"\n\nblank ""lines"" \n"', '"one"', "plain", ""]
    path = tmp_path / "trips.csv"
    rows = [f"{line},{texts[n % len(texts)]}" for n, line in enumerate(lines[1:])]
    path.write_text("\r\n".join([lines[0] + ",note", *rows]))
    assert [row[4] for row in lake(path, tmp_path / "out.parquet")] == [n / 100 for n in range(40)]


@pytest.mark.parametrize("suffix", [".csv", ".json", ".ndjson"])
@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-32", "gzip"])
def test_a_text_is_read_as_what_it_is_whatever_its_name_says(tmp_path, suffix, coding):
    """Fault: UTF-16 and gzip in a file with a plain name were printed as raw bytes.

    JSON with a byte order mark was refused.
    """
    path = write(tmp_path / f"yellow_2025-02{suffix}")
    text = path.read_text()
    path.write_bytes(gzip.compress(text.encode()) if coding == "gzip" else text.encode(coding))
    assert [row[4] for row in lake(path, tmp_path / "out.parquet")] == [n / 100 for n in range(40)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "VendorID,tpep_pickup_datetime\n".encode("utf-16-le"),
            "as UTF-16 without a mark does. Export it as UTF-8",
        ),
        ("VendorID,tpep_pickup_datetime\n".encode("utf-16")[:-1], "It cannot be read as text"),
        (b"PK\3\4\x1b[31m", "It is a ZIP archive"),
        (b"PAR1\x1b[31m", "It is Parquet"),
    ],
)
def test_what_is_no_text_is_refused_with_the_way_to_convert_it(tmp_path, content, words):
    for suffix in (".csv", ".json"):
        path = tmp_path / f"yellow_2025-02{suffix}"
        path.write_bytes(content)
        said = refusal(path)
        assert words in said and said.isprintable()


def test_no_byte_of_a_file_reaches_a_terminal_as_it_is(tmp_path):
    """Fault: names and values were printed raw, with escape sequences.

    LocError removes these from its sentences.
    """
    text = write(tmp_path / "a.csv").read_text()
    path = tmp_path / "yellow\x1b[2J_2025-02.csv"
    for old, new in (
        ("VendorID", "\x1b]0;mine\x07"),
        ("10.5", "\x1b[31m\x9b\u202e10.5"),
        ("2025", "\x00"),
    ):
        path.write_text(text.replace(old, new))
        said = refusal(path)
        assert said.isprintable() and "\\x" in said


def test_damaged_files_are_refused(tmp_path):
    parquet = write(tmp_path / "a.parquet", rows=50_000).read_bytes()
    packed = gzip.compress(write(tmp_path / "a.csv", rows=50_000).read_bytes())
    json = write(tmp_path / "a.json").read_bytes()
    bad = {
        "none.parquet": b"",
        "cut.parquet": parquet[:-1000],
        "page.parquet": parquet[:4] + bytes(9000) + parquet[9004:],
        "text.parquet": b"hello",
        "cut.csv.gz": packed[:-5000],
        "crc.csv.gz": packed[:-8] + bytes(8),
        "plain.csv.gz": b"a,b\n",
        "cut.json": json[:-50],
        "list.json": b"[1, 2]",
        "empty.json": b"[]",
        "number.json": b"5",
        "lines.csv": b"\n\n\n",
        "zero.csv": b"\0" * 100,
    }
    for name, content in bad.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert name in refusal(path)


def test_a_file_without_rows_is_refused(tmp_path):
    for suffix in (".parquet", ".csv"):
        assert "no rows" in refusal(write(tmp_path / f"trips{suffix}", rows=0))


def test_what_is_no_readable_file_is_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "gone.csv")
    (tmp_path / "folder.csv").mkdir()
    assert "a folder" in refusal(tmp_path / "folder.csv")
    (tmp_path / "link.csv").symlink_to("nowhere.csv")
    assert "nowhere.csv" in refusal(tmp_path / "link.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    refusal(tmp_path / "loop.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    assert "a pipe" in refusal(tmp_path / "pipe.csv")
    for name in ("trips.xlsx", "trips", "trips.parquet.gz", "trips.gz"):
        (tmp_path / name).write_text("x")
        assert ".parquet, .csv" in refusal(tmp_path / name)


def test_an_unreadable_file_is_refused():
    user = os.geteuid()
    folder = Path(
        tempfile.mkdtemp(dir="/tmp")
    )  # unlike tmp_path, other users may open it after a chmod
    try:
        folder.chmod(0o755)
        path = write(folder / "trips.csv")
        path.chmod(0)
        if user == 0:  # root can read every file
            os.seteuid(65534)
        assert "Permission denied" in refusal(path)
    finally:
        os.seteuid(user)
        shutil.rmtree(folder)


# Names of files


@pytest.mark.parametrize(
    "name",
    [
        "it's.parquet",
        'say "hi".parquet',
        "a*b?.parquet",
        "[2025].parquet",
        "with space .parquet",
        "Straße-東京-🚕.parquet",
        "-rf.parquet",
        "two\nlines.parquet",
        "a;DROP TABLE x;--.parquet",
        "{a,b}.parquet",
        "%s${HOME}.parquet",
        "back\\slash.parquet",
        "key=value.parquet",
        "l" * 247 + ".parquet",
        "tab\t.csv",
        "[a].csv.gz",
        "*'\".ndjson",
    ],
)
def test_odd_names_are_only_names(tmp_path, name):
    folder = tmp_path / "[x]*" / "year=2025" / "it's"
    path = write(folder / name)
    assert landing.inspect(path).name == name
    got = lake(path, tmp_path / "it's out.parquet")
    assert len(got) == 40 and got[0][-4] == name


def test_a_name_that_is_no_unicode_is_loaded(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.parquet"))
    try:
        write(tmp_path / "a.parquet").rename(path)
    except OSError:
        pytest.skip("the file system takes only UTF-8 names")
    assert lake(path, tmp_path / "out.parquet")[0][-4] == "caf\N{REPLACEMENT CHARACTER}.parquet"


def test_a_link_is_followed_and_its_own_name_kept(tmp_path):
    (tmp_path / "link_2025-02.parquet").symlink_to(write(tmp_path / "a.parquet"))
    assert (
        lake(tmp_path / "link_2025-02.parquet", tmp_path / "out.parquet")[0][-4]
        == "link_2025-02.parquet"
    )


def test_a_relative_path_is_kept_absolute(tmp_path, monkeypatch):
    write(tmp_path / "trips.parquet")
    monkeypatch.chdir(tmp_path)
    assert landing.inspect(Path("trips.parquet")).path == tmp_path / "trips.parquet"


# How files are written


def test_the_lake_file_says_where_its_rows_come_from(tmp_path):
    path = write(tmp_path / "trips.parquet")
    source = landing.inspect(path)
    landing.convert(
        source,
        tmp_path / "out.parquet",
        load_id=3,
        loaded_at=datetime(2025, 6, 1, 14, tzinfo=timezone(timedelta(hours=2))),
    )
    meta = (
        duckdb.connect()
        .execute(
            "SELECT _origin, _month, _source_file, _row, _load_id, _loaded_at FROM "
            f"'{tmp_path}/out.parquet' WHERE _row = 5"
        )
        .fetchone()
    )
    assert meta == (
        "file",
        datetime(2025, 2, 1).date(),
        "trips.parquet",
        5,
        3,
        datetime(2025, 6, 1, 12),
    )


def test_the_lake_file_is_zstd_in_bounded_row_groups(tmp_path):
    source = landing.inspect(write(tmp_path / "trips.parquet", rows=300_000))
    landing.convert(source, tmp_path / "out.parquet", load_id=1, loaded_at=NOW)
    rows = (
        duckdb.connect()
        .execute(
            "SELECT DISTINCT compression, max(row_group_num_rows) OVER () FROM "
            f"parquet_metadata('{tmp_path}/out.parquet')"
        )
        .fetchall()
    )
    assert rows == [("ZSTD", lakefile.ROW_GROUP)]


@pytest.mark.parametrize("how", ["content", "time", "gone"])
def test_a_file_that_changed_since_it_was_inspected_is_not_loaded(tmp_path, how):
    path = write(tmp_path / "trips.csv")
    source = landing.inspect(path)
    if how == "gone":
        path.unlink()
    else:
        stat = path.stat()
        if how == "content":
            path.write_text(path.read_text().replace("10.5", "99.9"))
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        else:
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(LocError):
        landing.convert(source, tmp_path / "lake" / "out.parquet", load_id=1, loaded_at=NOW)
    assert not list(tmp_path.glob("lake/*")) and not list(tmp_path.glob("lake/.*"))


def test_a_loss_of_rows_is_an_error_and_leaves_nothing(tmp_path):
    source = landing.inspect(write(tmp_path / "trips.parquet"))
    object.__setattr__(source, "rows", 41)
    with pytest.raises(LocError, match="Of 41 rows, 40 arrived"):
        landing.convert(source, tmp_path / "lake" / "out.parquet", load_id=1, loaded_at=NOW)
    assert not os.listdir(tmp_path / "lake")


def test_scratch_is_removed(tmp_path, data):
    lake(write(tmp_path / "trips.csv.gz"), tmp_path / "out.parquet")
    refusal(write(tmp_path / "bad.csv", "* EXCLUDE (fare_amount)"))
    assert not os.listdir(tmp_path / "run" / "tmp")


def test_scratch_of_a_killed_process_is_removed_and_of_a_living_one_kept(data):
    code = (
        "import os; from pipelines.taxi.reader import scratch_folder\n"
        "with scratch_folder() as folder: (folder / 'spill').mkdir(); os.kill(os.getpid(), 9)"
    )
    with reader.scratch_folder() as ours:
        (ours.parent / "not-ours").mkdir()
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
        assert done.returncode == -signal.SIGKILL and len(os.listdir(ours.parent)) == 3
        with reader.scratch_folder() as second:
            assert set(ours.parent.iterdir()) == {ours, second, ours.parent / "not-ours"}
