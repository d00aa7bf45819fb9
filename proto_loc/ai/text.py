"""Makes texts of a model or its program safe to print, and formats numbers for people."""

import math
import unicodedata
from decimal import Decimal

MOST = 10_000
"""The number of characters that are kept."""


def clean(text: object) -> str:
    """Remove control characters, escape sequences and marks of writing direction; cut the text.

    Raises:
        TypeError: it is not a string.
    """
    if not isinstance(text, str):
        raise TypeError("it is not text")
    # Cut first, because the text may have any length.
    kept = (
        char
        for char in text[:MOST]
        if char in "\n\t" or unicodedata.category(char) not in _CONTROLS
    )
    return "".join(kept)


_CONTROLS = ("Cc", "Cf", "Cs", "Co")


def number(value: float | Decimal, places: int = 2, digits: int = 6) -> str:
    """Format a number for a person; a number that is not zero never looks like zero.

    Args:
        places: minimum number of decimals.
        digits: minimum number of significant digits of a double; a DECIMAL keeps all its digits.
    """
    if not math.isfinite(value):
        return str(float(value))
    if isinstance(value, float):
        if value and not 1e-6 <= abs(value) < 1e15:
            return f"{value:.{digits}g}"
        value = Decimal(repr(value or 0.0))  # a zero has no sign
        value = round(value, max(places, digits - 1 - value.adjusted())) if value else value
    whole, _, fraction = f"{value:,f}".partition(".")
    fraction = fraction.rstrip("0").ljust(places, "0")
    return f"{whole}.{fraction}" if fraction else whole


def rounded(value: float | Decimal, places: int) -> str:
    """Round a number to the decimals of its format, or to two digits if the result would be 0."""
    if not math.isfinite(value):
        return str(float(value))
    shown = f"{value:,.{places}f}"
    return shown if not value or shown.strip("-0.,") else f"{float(value):.2g}"
