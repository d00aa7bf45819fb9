"""The seeds: TLC's zones with plausible centres, and the codes of the data dictionaries."""

import csv
from math import cos, hypot, radians

import duckdb
import pytest

from proto_loc.settings import ROOT

SEEDS = ROOT / "dbt/seeds"

# Bounding boxes of the boroughs' zones: latitude from, to, longitude from, to.
BOROUGHS = {
    "EWR": (40.67, 40.71, -74.20, -74.15),
    "Manhattan": (40.68, 40.88, -74.05, -73.90),
    "Bronx": (40.79, 40.92, -73.94, -73.74),
    "Brooklyn": (40.56, 40.74, -74.05, -73.85),
    "Queens": (40.54, 40.80, -73.97, -73.70),
    "Staten Island": (40.49, 40.66, -74.26, -74.05),
}
LANDMARKS = {
    1: (40.69, -74.175),
    132: (40.645, -73.785),
    138: (40.774, -73.873),
    230: (40.7595, -73.985),
    43: (40.7826, -73.9656),
    12: (40.7033, -74.0165),
    199: (40.791, -73.884),
    44: (40.527, -74.23),
}


def rows(name: str) -> list[dict[str, str]]:
    with open(SEEDS / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_zones_are_tlcs(tlc):
    real = (
        duckdb.connect()
        .execute(
            "SELECT LocationID, Borough, Zone, service_zone FROM read_parquet(?) ORDER BY 1",
            [str(tlc / "taxi_zone_lookup.parquet")],
        )
        .fetchall()
    )
    ours = (
        duckdb.connect()
        .execute(
            "SELECT location_id, borough, zone, service_zone FROM read_csv(?, header=true) ORDER"
            " BY 1",
            [str(SEEDS / "taxi_zones.csv")],
        )
        .fetchall()
    )
    assert ours == real and len(ours) == 265


def test_every_known_zone_has_a_centre_in_its_borough():
    for row in rows("taxi_zones"):
        if row["borough"] == "Unknown":
            assert (row["latitude"], row["longitude"]) == ("", ""), row
            continue
        south, north, west, east = BOROUGHS[row["borough"]]
        latitude, longitude = float(row["latitude"]), float(row["longitude"])
        assert south <= latitude <= north and west <= longitude <= east, row
        assert 40.49 <= latitude <= 40.92 and -74.26 <= longitude <= -73.69, row
        assert all(len(row[name].split(".")[1]) == 4 for name in ("latitude", "longitude")), row


def test_only_the_two_unknown_zones_lack_a_centre():
    assert [row["location_id"] for row in rows("taxi_zones") if not row["latitude"]] == [
        "264",
        "265",
    ]


def test_zones_of_one_name_have_their_own_centres():
    centres = [(row["latitude"], row["longitude"]) for row in rows("taxi_zones") if row["latitude"]]
    assert len(set(centres)) == 263


@pytest.mark.parametrize("zone", LANDMARKS)
def test_landmarks_are_where_they_are(zone):
    row = rows("taxi_zones")[zone - 1]
    latitude, longitude = LANDMARKS[zone]
    miles = (
        hypot(
            float(row["latitude"]) - latitude,
            (float(row["longitude"]) - longitude) * cos(radians(40.7)),
        )
        * 69
    )
    assert row["location_id"] == str(zone) and miles < 0.7, row


@pytest.mark.parametrize(
    ("name", "columns", "ids"),
    [
        ("vendors", ["vendor_id", "vendor"], [1, 2, 4, 6, 7]),
        ("rate_codes", ["rate_code_id", "rate_code"], [1, 2, 3, 4, 5, 6, 99]),
        ("payment_types", ["payment_type_id", "payment_type"], [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_codes_are_those_of_the_data_dictionary(name, columns, ids):
    found = rows(name)
    assert list(found[0]) == columns
    assert [int(row[columns[0]]) for row in found] == ids
    assert all(row[columns[1]].strip() for row in found)


def test_every_code_of_the_real_files_has_a_seed(tlc):
    """Files of 2019 contain vendor 4, which is in no data dictionary."""
    parquet = [
        f"read_parquet('{tlc}/green_tripdata_2025-11.parquet')",
        f"read_parquet('{tlc}/yellow_tripdata_2025-02_sample.parquet')",
    ]
    csv = f"read_csv('{tlc}/yellow_tripdata_sample_2019-01.csv', strict_mode=false)"
    for name, column, old in (
        ("vendors", "VendorID", "vendor_id"),
        ("rate_codes", "RatecodeID", "rate_code_id"),
        ("payment_types", "payment_type", "payment_type"),
    ):
        selects = [f"SELECT {column} FROM {file}" for file in parquet] + [
            f"SELECT {old} FROM {csv}"
        ]
        found = duckdb.connect().execute(" UNION ".join(selects)).fetchall()
        known = {int(next(iter(row.values()))) for row in rows(name)}
        assert {int(code) for (code,) in found if code is not None} <= known, name
