"""Columns of the trip tables that New York's Taxi & Limousine Commission (TLC) publishes.

Names, order and types are those of the Parquet files of 2025, checked against
``green_tripdata_2025-11.parquet``. In that file the codes that can be null are doubles. They stay
doubles here, since the lake has the published types and the staging models cast them. ``whole``
marks such columns: their values must be whole numbers.
"""

from dataclasses import dataclass
from enum import StrEnum


class Colour(StrEnum):
    """The two kinds of taxi with meters; the value is the prefix of TLC's file names."""

    YELLOW = "yellow"
    GREEN = "green"


@dataclass(frozen=True)
class Column:
    """One column of a trip table.

    ``name`` and ``type`` (a DuckDB type) are canonical. A column that is not ``required`` may be
    missing in older files and is then NULL. ``whole`` values have no fraction. ``aliases`` are
    other names of the column in files. Names are compared without case.
    """

    name: str
    type: str
    required: bool = True
    whole: bool = False
    aliases: tuple[str, ...] = ()


def _whole(name: str, duckdb_type: str, *aliases: str, required: bool = True) -> Column:
    return Column(name, duckdb_type, required, whole=True, aliases=aliases)


def _amounts(*names: str, required: bool = True) -> tuple[Column, ...]:
    """Declare columns in dollars."""
    return tuple(Column(name, "DOUBLE", required) for name in names)


_VENDOR = _whole("VendorID", "INTEGER", "vendor_id")
_PICKUP_ZONE = _whole("PULocationID", "INTEGER", "pickup_location_id")
_DROPOFF_ZONE = _whole("DOLocationID", "INTEGER", "dropoff_location_id")
_DISTANCE = Column("trip_distance", "DOUBLE")  # miles, as the meter says
_FLAG = Column("store_and_fwd_flag", "VARCHAR")

# Times are New York's local time, without a zone, as in the files.
COLUMNS: dict[Colour, tuple[Column, ...]] = {
    Colour.YELLOW: (
        _VENDOR,
        Column("tpep_pickup_datetime", "TIMESTAMP", aliases=("pickup_datetime",)),
        Column("tpep_dropoff_datetime", "TIMESTAMP", aliases=("dropoff_datetime",)),
        _whole("passenger_count", "BIGINT"),
        _DISTANCE,
        _whole("RatecodeID", "BIGINT", "rate_code_id"),
        _FLAG,
        _PICKUP_ZONE,
        _DROPOFF_ZONE,
        _whole("payment_type", "BIGINT"),
        *_amounts("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount"),
        *_amounts("improvement_surcharge", required=False),  # since 2015
        *_amounts("total_amount"),
        *_amounts("congestion_surcharge", required=False),  # since 2019
        *_amounts("Airport_fee", required=False),  # since 2022; "airport_fee" until 2023
        *_amounts("cbd_congestion_fee", required=False),  # since 2025-01-05
    ),
    Colour.GREEN: (
        _VENDOR,
        Column("lpep_pickup_datetime", "TIMESTAMP", aliases=("pickup_datetime",)),
        Column("lpep_dropoff_datetime", "TIMESTAMP", aliases=("dropoff_datetime",)),
        _FLAG,
        _whole("RatecodeID", "DOUBLE", "rate_code_id"),
        _PICKUP_ZONE,
        _DROPOFF_ZONE,
        _whole("passenger_count", "DOUBLE"),
        _DISTANCE,
        *_amounts("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount"),
        *_amounts("ehail_fee", required=False),  # always null; some years give it no type
        *_amounts("improvement_surcharge", required=False),
        *_amounts("total_amount"),
        _whole("payment_type", "DOUBLE"),
        _whole("trip_type", "DOUBLE", required=False),
        *_amounts("congestion_surcharge", required=False),
        *_amounts("cbd_congestion_fee", required=False),
    ),
}

META: tuple[Column, ...] = (
    Column("_origin", "VARCHAR"),  # 'synthetic' or 'file'
    Column("_month", "DATE"),  # the first day of the partition's month
    Column("_source_file", "VARCHAR"),  # base name as given
    Column("_row", "BIGINT"),  # position in the source file, from 1
    Column("_load_id", "BIGINT"),
    Column("_loaded_at", "TIMESTAMP"),  # UTC
)
"""Columns of every file in the lake, after the columns of the source."""


def lake_schema(colour: Colour) -> dict[str, str]:
    """Names and DuckDB types of a lake file, in order: the source's columns and :data:`META`."""
    return {column.name: column.type for column in (*COLUMNS[colour], *META)}


def pickup(colour: Colour) -> str:
    """The name of the pick-up time: ``tpep_pickup_datetime`` or ``lpep_pickup_datetime``."""
    return COLUMNS[colour][1].name


def dropoff(colour: Colour) -> str:
    """The name of the drop-off time: ``tpep_dropoff_datetime`` or ``lpep_dropoff_datetime``."""
    return COLUMNS[colour][2].name
