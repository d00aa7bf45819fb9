"""Compares TLC's zone lookup file with the zones in the dbt seed; it loads nothing."""

from pathlib import Path

import duckdb

from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.sql import exact_glob, open_duckdb

SEED = ROOT / "dbt" / "seeds" / "taxi_zones.csv"
COLUMNS = ["locationid", "borough", "zone", "service_zone"]

# The releases of the table have null, N/A or Unknown for unknown values.
_KNOWN = "nullif(nullif(trim({0}::varchar), 'N/A'), 'Unknown')"


def is_lookup(path: Path) -> bool:
    """Whether a Parquet or CSV file has exactly the columns of the zone lookup table."""
    if path.suffix.lower() not in (".parquet", ".csv") or not path.is_file():
        return False
    try:
        with open_duckdb() as con:
            return [name.strip().lower() for name in _relation(con, path).columns] == COLUMNS
    except duckdb.Error:
        return False  # the check of trip files reports what is wrong with it


def compare(path: Path) -> int:
    """Compare a lookup file with the seed; return the number of zones.

    Raises:
        LocError: they differ; the message names the first zone that differs.
    """
    with open_duckdb() as con:
        known = ", ".join(f"{_KNOWN.format(column)} as {column}" for column in COLUMNS[1:])
        con.read_csv(str(SEED), header=True, all_varchar=True).create_view("seed")
        _relation(con, path).create_view("file")
        con.execute(
            f"create temp table ours as select location_id::integer as id, {known} from seed"
        )
        con.execute(
            f"create temp table theirs as select try_cast(locationid as integer) as id, {known}"
            " from file"
        )
        _refuse_ids(con, path)
        changed = con.execute(
            "select id, ours, theirs from ours full join theirs using (id) "
            "where ours is distinct from theirs order by id"
        ).fetchall()
        if changed:
            zone, seed, found = changed[0]
            raise LocError(
                f"{path} differs from {SEED.relative_to(ROOT)} in {len(changed)} zones, first in"
                f" zone {zone}.",
                f"The file has {_shown(found)}, the seed {_shown(seed)}.",
                "If TLC changed its zones, edit the seed (with a centre for a new zone), then run"
                " `loc refresh`.",
            )
        return con.table("theirs").count("*").fetchone()[0]


def _refuse_ids(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    wrong = con.sql(
        "select locationid::varchar from file where try_cast(locationid as integer) is null"
    ).fetchone()
    if wrong:
        raise LocError(
            f"{path} is no zone lookup table.",
            f"A LocationID in it is {wrong[0] or 'missing'}, which is no whole number.",
            "Mend the file, or take it away.",
        )
    twice = con.sql(
        "select id, count(*) from theirs group by id having count(*) > 1 order by id"
    ).fetchone()
    if twice:
        raise LocError(
            f"{path} is no zone lookup table.",
            f"It has {twice[1]} rows of zone {twice[0]}.",
            "Leave one of them.",
        )


def _relation(con: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation:
    name = exact_glob(path.absolute())
    if path.suffix.lower() == ".parquet":
        return con.read_parquet(name)
    return con.read_csv(name, header=True, all_varchar=True)


def _shown(zone: dict) -> str:
    return (
        ", ".join(str(value) for key, value in zone.items() if key != "id")
        if zone["id"] is not None
        else "no such zone"
    )
