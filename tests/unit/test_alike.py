"""Figures of two engines: an exact one is equal, a double is to nine digits."""

import pytest

from proto_loc.dbt.moving import _alike


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("9.456792991423555", "9.45679299142356", True),
        ("9.5", "9.500000000000002", True),
        ("9.456792991423555", "9.45679399142356", False),
        ("300000000.00", "300000000.01", False),
        ("1234.50", "1234.50", True),
        (0.1 + 0.2, 0.3, True),
        (0.3, 0.31, False),
        (3, 4, False),
        ("1.25", None, False),
        ("inf", "inf", True),
    ],
)
def test_figures_are_alike(one, other, alike):
    assert _alike(one, other) is alike
