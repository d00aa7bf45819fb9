"""How a figure is shown: one small vocabulary, in the words of each door."""

from dataclasses import dataclass

KINDS = {"count": 0, "number": 2, "money": 2, "percent": 1, "miles": 2, "minutes": 1}
"""What ``config.meta.format`` may say, and how many decimals it has where ``config.meta.decimals`` does not say."""

UNITS = {"miles": "mi", "minutes": "min"}
MAX_DECIMALS = 6  # Cube knows no more


@dataclass(frozen=True)
class Format:
    """How a metric's figures are shown."""

    kind: str
    decimals: int
    currency: str = ""
    """ISO 4217, of ``money``."""

    @property
    def unit(self) -> str:
        """What stands behind the number; empty for counts, numbers, money and shares."""
        return UNITS.get(self.kind, "")

    @property
    def d3(self) -> str:
        """As d3-format writes it, for Superset; the currency is set beside it."""
        return f",.{self.decimals}{'%' if self.kind == 'percent' else 'f'}"

    @property
    def cube(self) -> str:
        """Cube's named format."""
        named = {"money": "currency", "percent": "percent"}.get(self.kind, "number")
        return f"{named}_{self.decimals}"


def parse(meta: dict) -> Format:
    """The format in a metric's ``config.meta``.

    Raises:
        ValueError: it is none of the vocabulary; the message says why.
    """
    kind = meta.get("format", "number")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"Its format is {kind!r}, which is none of {', '.join(KINDS)}")
    decimals = meta.get("decimals", KINDS[kind])
    if type(decimals) is not int or not 0 <= decimals <= MAX_DECIMALS:
        raise ValueError(f"Its decimals are {decimals!r}, which is no whole number from 0 to {MAX_DECIMALS}")
    currency = meta.get("currency", "USD" if kind == "money" else "")
    if kind == "money" and not (
        isinstance(currency, str) and len(currency) == 3 and currency.isascii() and currency.isupper()
    ):
        raise ValueError(f"Its currency is {currency!r}, which is no code such as USD")
    if kind != "money" and currency:
        raise ValueError(f"It has a currency, and its format is {kind}, not money")
    return Format(kind, decimals, currency)
