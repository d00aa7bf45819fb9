"""Frames of rows from Trino have the types of those from DuckDB, as notebooks get them."""

import os
import subprocess

from proto_loc.settings import ROOT
from proto_loc.setup import environments

COMPARE = """
import itertools
from pandas.testing import assert_frame_equal
from proto_loc import sql
from proto_loc.warehouse.iceberg import rows

KINDS = {  # types of Trino, which DuckDB has by the same names, with two values each
    "tinyint": ("1", "-1"), "smallint": ("1", "-1"), "integer": ("1", "2147483647"),
    "bigint": ("1", "9223372036854775807"), "boolean": ("true", "false"), "real": ("1.5", "-0.25"),
    "double": ("1.5", "-0.1"), "decimal(9,2)": ("1.25", "-0.10"),
    "date": ("2025-01-31", "1969-12-31"), "varchar": ("a", ""),
    "timestamp(6)": ("2025-01-31 10:00:00.000001", "1969-12-31 00:00:00"),
}
con, compared = sql.open_duckdb(), 0
for (kind, (one, other)), at in itertools.product(KINDS.items(), range(3)):
    name = kind.removesuffix("(6)")
    rest = (f"union all select '{other}'::{name}", "union all select null", "where false")[at]
    query = f"select '{one}'::{name} as x {rest}"
    made = rows.frame(["x"], [kind], con.sql(query).fetchall())
    assert_frame_equal(made, con.sql(query).df(), obj=query)
    compared += 1
print(compared)
"""


def test_frames_are_those_of_duckdb(tmp_path):
    """Bug: whole numbers with a NULL were doubles, which do not hold 64 bits."""
    environments.sync("notebooks")
    done = subprocess.run(
        [ROOT / ".venvs/notebooks/bin/python", "-c", COMPARE],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "33\n"), done.stderr
