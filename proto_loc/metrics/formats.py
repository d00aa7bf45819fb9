"""Display formats of metrics, and their translation for each interface."""

from dataclasses import dataclass
from decimal import Decimal

KINDS = {"count": 0, "number": 2, "money": 2, "percent": 1}
"""Values of ``config.meta.format``, with their decimals unless ``config.meta.decimals`` is set."""

CURRENCY = "USD"
"""Currency of ``money`` unless ``config.meta.currency`` is set."""
SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
"""Symbols by currency; any other currency is shown by its code."""

MAX_UNIT = 12
"""Characters that a unit may have."""
MAX_DECIMALS = 6  # Cube's limit


@dataclass(frozen=True)
class Format:
    """How a metric's figures are shown."""

    kind: str
    decimals: int
    currency: str = ""
    """ISO 4217 code, for ``money``."""
    unit: str = ""
    """Text behind a ``number``, such as km; empty for the other kinds."""

    @property
    def d3(self) -> str:
        """Format of d3, for Superset; the currency is set beside it."""
        return f",.{self.decimals}{'%' if self.kind == 'percent' else 'f'}"

    def text(self, figure: float | int | str) -> str:
        """A figure as a person reads it: ``$1,234.50``, ``4.7%``, ``3.20 km``."""
        number = Decimal(str(figure)) * (100 if self.kind == "percent" else 1)
        if not number.is_finite():
            return str(figure)
        shown = f"{number:,.{self.decimals}f}"
        if self.kind == "money":
            return money(shown, self.currency)
        return f"{shown}%" if self.kind == "percent" else f"{shown} {self.unit}".rstrip()

    @property
    def cube(self) -> str:
        """Cube's named format."""
        named = {"money": "currency", "percent": "percent"}.get(self.kind, "number")
        return f"{named}_{self.decimals}"


def money(amount: str, currency: str = CURRENCY) -> str:
    """An amount with its currency: ``$1.50``, ``€1.50``, ``CHF 1.50``."""
    return SYMBOLS.get(currency, f"{currency} ") + amount


def parse(meta: dict) -> Format:
    """The format in a metric's ``config.meta``.

    Raises:
        ValueError: it is not in the vocabulary; the message says why.
    """
    kind = meta.get("format", "number")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"Its format is {kind!r}, not one of {', '.join(KINDS)}")
    decimals = meta.get("decimals", KINDS[kind])
    if type(decimals) is not int or not 0 <= decimals <= MAX_DECIMALS:
        raise ValueError(
            f"Its decimals are {decimals!r}, not a whole number from 0 to {MAX_DECIMALS}"
        )
    currency = meta.get("currency", CURRENCY if kind == "money" else "")
    if kind == "money" and not (
        isinstance(currency, str)
        and len(currency) == 3
        and currency.isascii()
        and currency.isupper()
    ):
        raise ValueError(f"Its currency is {currency!r}, not a code such as USD")
    if kind != "money" and currency:
        raise ValueError(f"It has a currency, and its format is {kind}, not money")
    unit = meta.get("unit", "")
    if not isinstance(unit, str) or len(unit) > MAX_UNIT or not unit.isprintable():
        raise ValueError(f"Its unit is {unit!r}, not a text of up to {MAX_UNIT} characters")
    if unit and kind != "number":
        raise ValueError(f"It has a unit, and its format is {kind}, not number")
    return Format(kind, decimals, currency, unit)
