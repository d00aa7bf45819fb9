"""Text of a model or of its program, and figures, made fit to be shown."""

import math
import unicodedata
from decimal import Decimal

MOST = 10_000
"""Characters that are kept."""


def clean(text: object) -> str:
    """Text without control characters, escape sequences and marks that change the direction of
    writing.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(text, str):
        raise TypeError("it is no text")
    # Cut first: what is looked at one by one must not be as long as its writer likes.
    kept = (
        char
        for char in text[:MOST]
        if char in "\n\t" or unicodedata.category(char) not in _CONTROLS
    )
    return "".join(kept)


_CONTROLS = ("Cc", "Cf", "Cs", "Co")


def number(value: float | Decimal, places: int = 2, digits: int = 6) -> str:
    """A number as a person reads it, with as many decimals as tell it from its neighbours and from
    zero.

    Args:
        places: decimals that it has at least.
        digits: significant digits that a double keeps at least; a DECIMAL keeps all of its own.
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
    """A number with so many decimals, as its format says; where they would all be zeros, with
    two digits of its own.
    """
    if not math.isfinite(value):
        return str(float(value))
    shown = f"{value:,.{places}f}"
    return shown if not value or shown.strip("-0.,") else f"{float(value):.2g}"
