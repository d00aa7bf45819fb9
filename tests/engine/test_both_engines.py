"""The same project gives the same rows, figures and verdicts on DuckDB and on Trino."""

import json
import math
import subprocess
import sys
from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import pytest
from published import plain, sorted_rows

from proto_loc import warehouse
from proto_loc.settings import ROOT, settings
from proto_loc.sql import identifier, literal, open_duckdb, value, values
from proto_loc.trino import places
from proto_loc.warehouse.iceberg import column_types, connection, raw_tables
from proto_loc.warehouse.ledger import Load

pytestmark = pytest.mark.slow  # three servers of Java: see conftest

READ = """
import json, sys
from proto_loc import warehouse
version = warehouse.current("prod")
print(json.dumps([str(version.path), version.tables, version.facts["metrics"],
    version.facts["outcomes"], version.checks]))
"""


@pytest.fixture(scope="module")
def files(on_files) -> list:
    """Path, tables, metrics, outcomes and checks of the version that is in DuckDB's file."""
    import os

    done = subprocess.run(
        [sys.executable, "-c", READ],
        env=os.environ | on_files | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def first(sample) -> warehouse.Version:
    """The version that `loc load sample` published on Trino."""
    return warehouse.find("prod", 1)


def test_every_row_of_every_table_is_equal(files, first):
    own = {"marts.publication"}  # says when and by what commit
    with open_duckdb(files[0], read_only=True) as duck, first.open() as trino:
        tables = [
            f"{schema}.{name}"
            for schema, name in duck.execute(
                "select schema_name, table_name from duckdb_tables() union all"
                " select schema_name, view_name from duckdb_views() where not internal order by all"
            ).fetchall()
        ]
        assert set(tables) == first.tables.keys()
        for table in sorted(set(tables) - own):
            name = identifier(*table.split("."))
            columns = [c[0] for c in duck.execute(f"select * from {name} limit 0").description]
            # When it was loaded, and by dbt's snapshot found, differs; load ids are random.
            chosen = [
                c
                for c in columns
                if not c.startswith("dbt_") and not c.endswith(("load_id", "loaded_at"))
            ]
            listed = ", ".join(map(identifier, chosen))
            query = f"select {listed} from {name}"
            one, other = (sorted_rows(con.execute(query).fetchall()) for con in (duck, trino))
            assert one == other, table


def test_every_metric_outcome_and_check_is_equal(files, first):
    _, tables, metrics, outcomes, checks = files
    assert plain(first.facts["metrics"]) == plain(metrics) and metrics
    # Load ids have a random part.
    assert sorted(map(str, first.facts["outcomes"].values())) == sorted(map(str, outcomes.values()))
    assert first.checks == checks and checks["pass"] > 20
    assert {name: rows for name, rows in first.tables.items() if name in tables} == tables


@pytest.mark.parametrize(
    "plain_value",
    [
        None,
        True,
        -3,
        2**62,
        1.5,
        float("inf"),
        float("-inf"),
        float("nan"),
        Decimal("12.340"),
        "it's ünïcode; -- '",
        datetime(2025, 1, 2, 3, 4, 5, 678),
        datetime(2025, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        datetime(2025, 1, 2).date(),
        ["a", "b"],
    ],
    ids=repr,
)
def test_a_value_is_the_same_in_both(sample, plain_value):
    query = f"select {value(plain_value)}"
    with open_duckdb() as duck, connection.TrinoConnection("cli") as trino:
        for con in (duck, trino):
            (found,) = con.execute(query).fetchone()
            if isinstance(plain_value, float) and math.isnan(plain_value):
                assert math.isnan(found)
            else:
                assert found == plain_value
                assert not isinstance(plain_value, datetime) or bool(found.tzinfo) == bool(
                    plain_value.tzinfo
                )


def test_what_is_no_plain_value_is_refused():
    with pytest.raises(TypeError, match="no plain value"):
        values([(object(),)])


@pytest.mark.parametrize(
    "duckdb, trino",
    [
        ("SMALLINT", "integer"),
        ("UINTEGER", "bigint"),
        ("UBIGINT", "decimal(20, 0)"),
        ("HUGEINT", "decimal(38, 0)"),
        ("DECIMAL(18,2)", "decimal(18, 2)"),
        ("VARCHAR", "varchar"),
        ("JSON", "varchar"),
        ("TIMESTAMP", "timestamp(6)"),
        ("TIMESTAMP WITH TIME ZONE", "timestamp(6) with time zone"),
        ("DATE", "date"),
        ("DOUBLE", "double"),
        ("BOOLEAN", "boolean"),
        ("INTEGER[]", "array(integer)"),
        ("STRUCT(a BIGINT, b VARCHAR[])", 'row("a" bigint, "b" array(varchar))'),
        ("MAP(VARCHAR, TIMESTAMP)", "map(varchar, timestamp(6))"),
    ],
)
def test_a_type_of_duckdb_is_one_of_iceberg(duckdb, trino, sample):
    assert column_types.of_duckdb(duckdb).replace(", ", ",") == trino.replace(", ", ",")
    with connection.TrinoConnection("cli") as con:
        con.execute(f"select cast(null as {column_types.of_duckdb(duckdb)})")


@pytest.mark.parametrize("kind", ["INTERVAL", "TIME WITH TIME ZONE"])
def test_a_type_that_iceberg_lacks_is_named(kind):
    with pytest.raises(ValueError, match=kind):
        column_types.of_duckdb(kind)


IN_A_LAKE = {
    "tiny": ("cast(-128 as tinyint)", -128),
    "small": ("cast(65535 as usmallint)", 65535),
    "unsigned": ("cast(4294967295 as uinteger)", 4294967295),
    "large": ("cast(18446744073709551615 as ubigint)", 18446744073709551615),
    "real": ("cast(1.5 as float)", 1.5),
    "money": ("cast(-1.25 as decimal(38, 10))", Decimal("-1.25")),
    "truth": ("true", True),
    "day": ("date '0044-03-15'", date(44, 3, 15)),
    "at": ("timestamp '0044-03-15 10:00:00.123456'", datetime(44, 3, 15, 10, 0, 0, 123456)),
    "nano": (
        "cast('2025-06-01 10:00:00.123456789' as timestamp_ns)",
        datetime(2025, 6, 1, 10, 0, 0, 123456),
    ),
    "zoned": ("timestamptz '2025-06-01 10:00:00+02'", datetime(2025, 6, 1, 8, tzinfo=UTC)),
    "clock": ("time '10:00:00.123456'", time(10, 0, 0, 123456)),
    "id": ("cast('00000000-0000-0000-0000-000000000001' as uuid)", UUID(int=1)),
    "bytes": ("cast('ab' as blob)", b"ab"),
    "json": ("""'{"a": "é"}'::json""", '{"a": "é"}'),
    "list": ("[1, null]", [1, None]),
    "jsons": ("['{}'::json]", ["{}"]),
    "map": ("map {'a': cast(1 as ubigint)}", {"a": 1}),
    "nothing": ("cast(null as json)", None),
}
"""Column → DuckDB's value in a file of the lake, and the value that Trino reads."""


def test_a_file_of_the_lake_reads_the_same_whatever_types_it_has(sample):
    """Bug: Trino registers no file with JSON or unsigned numbers, so that a source of an API, or
    one with a rejected row, could not be built at all.
    """
    file = settings().lake / "types/all.parquet"
    file.parent.mkdir(exist_ok=True)
    row = ", ".join(f"{sql} as {name}" for name, (sql, _) in IN_A_LAKE.items())
    row += ", {'A b': 4294967295::uinteger, 'c': '{}'::json} as pair"
    with open_duckdb() as duck:
        duck.execute(f"copy (select {row}) to {literal(str(file))} (format parquet)")
        described = duck.execute(f"describe from {literal(str(file))}").fetchall()
    columns = {name: kind for name, kind, *_ in described}
    load = Load(
        *(1, "types", "all", "all", "file", "types/all.parquet", 1, file.stat().st_size),
        *(file.name, None, datetime(2025, 1, 1)),
    )
    copy = places.lake_copies() / load.file
    with warehouse.write("prod", who="types") as session, session.connect() as con:
        raw_tables._register(con, "types.all", {"columns": columns, "loads": [1]}, None, [load])
        assert copy.exists()
        (*found, pair) = con.execute('select * from raw__types."all"').fetchone()
        session.discard()
    assert dict(zip(IN_A_LAKE, found, strict=True)) == {
        name: expected for name, (_, expected) in IN_A_LAKE.items()
    }
    assert tuple(pair) == (4294967295, "{}")
    file.unlink()
    raw_tables.clear_copies()
    assert not copy.exists()
