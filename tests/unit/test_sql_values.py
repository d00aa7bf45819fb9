"""Values as SQL that DuckDB and Trino read in the same way."""

from decimal import Decimal

import pytest

from proto_loc import sql


@pytest.mark.parametrize(
    "number",
    [
        *(5, -7, 2**63 - 1, 2**63, -(2**63), 2**100),
        *map(Decimal, ("0.0000000", "12345678901.1234567", "1E+3", "-0.5", "9" * 38, "1E-7")),
    ],
)
def test_an_exact_number_stays_exact(number):
    """Bug: a zero with seven digits was written as 0E-7, by which both engines read a double; Trino
    refused whole numbers of more than 64 bits.
    """
    text = sql.value(number)
    with sql.open_duckdb() as con:
        kind, found = con.execute(f"select typeof({text}), {text}").fetchone()
    assert found == number and kind != "DOUBLE"
    assert "E" not in text and (abs(number) < 2**63 or "." in text or text.startswith("cast("))
