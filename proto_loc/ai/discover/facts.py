"""The numbered figures of a report, and the check of a model's text against them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from html import escape

from proto_loc.ai.text import rounded
from proto_loc.metrics.formats import CURRENCY, SYMBOLS, money


@dataclass(frozen=True)
class Fact:
    """One figure of the data."""

    id: str
    """``f1``, ``f2``, ...: the reference to it in a text."""
    what: str
    value: Decimal | date
    """A share is a fraction: 0.12 for 12 %."""
    form: str
    """``count``, ``number``, ``percent``, ``money`` or ``date``."""
    currency: str = CURRENCY
    """ISO 4217 code, used for ``money``."""

    @property
    def shown(self) -> str:
        """The figure as text for a person."""
        if self.form == "date":
            return f"{self.value:%Y-%m-%d}"
        if self.form == "number" and 0 < abs(self.value) < 1:
            return f"{self.value:.3g}"
        return figure(self.value, self.form, currency=self.currency)


def figure(
    value: Decimal,
    form: str,
    *,
    decimals: int | None = None,
    sign: bool = False,
    currency: str = CURRENCY,
) -> str:
    """Write a figure for a person; only zero is shown as zero.

    Args:
        form: that of a :class:`Fact`, except ``date``.
        decimals: minimum number of decimals, instead of the form's own.
        sign: whether a positive figure gets a plus sign.
        currency: ISO 4217 code, used for ``money``.
    """
    places = {"percent": 1, "count": 0}.get(form, 2) if decimals is None else decimals
    shown = rounded(value * 100 if form == "percent" else value, places)
    plus = "+" if sign and value > 0 else ""
    return plus + {"percent": f"{shown} %", "money": money(shown, currency)}.get(form, shown)


@dataclass
class Facts:
    """All figures of a report, in the order in which they were added."""

    facts: list[Fact] = field(default_factory=list)

    def add(self, what: str, value, form: str, currency: str = CURRENCY) -> Fact:
        exact = value if isinstance(value, date) else Decimal(str(value))
        fact = Fact(f"f{len(self.facts) + 1}", what, exact, form, currency)
        self.facts.append(fact)
        return fact

    def __iter__(self) -> Iterator[Fact]:
        return iter(self.facts)

    def __getitem__(self, key: str) -> Fact | None:
        return next((fact for fact in self.facts if fact.id == key), None)


@dataclass(frozen=True)
class Piece:
    """A part of a text: either words, or a figure that was checked against the data."""

    text: str
    fact: Fact | None = None
    wrong: str = ""
    """Why the figure does not check out; empty if it does, and for words."""


_WORDS = (
    "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen"
    "|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion|trillion|dozen"
    "|twice|thrice|half|halves|halved|double|doubled|triple|tripled|quadruple|quadrupled|quarter|third|fifth|tenth"
)
_SYMBOLS = "".join(SYMBOLS.values())
_FIGURE = re.compile(
    rf"""(?P<date>\b\d{{4}}-\d\d-\d\d\b)
    | (?P<number>(?<![\w.])[-+\u2212]?\s?(?P<symbol>[{_SYMBOLS}])?
        (?:\d[\d,\u202f]*(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?)
      (?P<unit>\s?(?:%|percent\b|thousand\b|million\b|billion\b|[km]\b))?
    | (?P<word>\b(?:{_WORDS})(?:s|fold)?\b|[\u00bc-\u00be\u2150-\u215e])""",
    re.VERBOSE | re.IGNORECASE,
)
_REFERENCE = re.compile(r"\s?\[(f\d+)\]")
_TIMES = {"thousand": 3, "k": 3, "million": 6, "m": 6, "billion": 9}


def check(text: str, facts: Facts) -> list[Piece]:
    """Split a text at its figures, and compare each with the fact that it cites: ``12.3 % [f7]``.

    A figure checks out if it equals the fact, rounded to the digits in the text; words may express
    the sign. It does not check out without a reference, with an unknown reference, or in words.
    """
    pieces, at = [], 0
    while match := _FIGURE.search(text, at):
        pieces.append(Piece(_REFERENCE.sub("", text[at : match.start()])))
        reference = _REFERENCE.match(text, match.end())
        fact = facts[reference[1]] if reference else None
        if reference is None:
            wrong = "it refers to no figure of the data"
        elif fact is None:
            wrong = f"there is no figure {reference[1]}"
        else:
            wrong = "" if _checks_out(match, fact) else f"{fact.what} is {fact.shown}"
        pieces.append(Piece(match[0], fact, wrong))
        at = reference.end() if reference else match.end()
    pieces.append(Piece(_REFERENCE.sub("", text[at:])))
    return [piece for piece in pieces if piece.text]


def _checks_out(match: re.Match, fact: Fact) -> bool:
    try:
        return _same(match, fact)
    except ArithmeticError:  # Decimal cannot round to, for example, 1e-40
        return False


def _same(match: re.Match, fact: Fact) -> bool:
    if match["date"]:
        return fact.form == "date" and match["date"] == fact.shown
    if match["word"] or fact.form == "date":
        return False
    if match["symbol"] and (fact.form != "money" or match["symbol"] != SYMBOLS.get(fact.currency)):
        return False
    written = re.sub(rf"[\s{_SYMBOLS},\u202f+]", "", match["number"]).replace("\u2212", "-")
    unit = (match["unit"] or "").strip().lower()
    number, value = Decimal(written), fact.value
    places = Decimal(1).scaleb(int(number.as_tuple().exponent))
    if unit in ("%", "percent"):
        if fact.form != "percent":
            return False
        value *= 100
    elif fact.form == "percent":
        return False
    elif unit:
        value = value.scaleb(-_TIMES[unit])
    if number < 0 and value > 0:
        return False
    rounded = {
        abs(value).quantize(places, rounding=way) for way in (ROUND_HALF_UP, ROUND_HALF_EVEN)
    }
    return abs(number) in rounded


def html(pieces: list[Piece]) -> str:
    """Write the text as HTML; mark each figure with its meaning, or why it does not check out."""
    parts = []
    for piece in pieces:
        if piece.wrong:
            why = escape(piece.wrong, quote=True)
            parts.append(
                f'<mark title="{why}">{escape(piece.text)}</mark><sup class="wrong">does not check'
                f" out: {why}</sup>"
            )
        elif piece.fact:
            parts.append(
                '<span class="checked"'
                f' title="{escape(piece.fact.what, quote=True)}">{escape(piece.text)}</span>'
            )
        else:
            parts.append(escape(piece.text).replace("\n\n", "</p><p>"))
    return f"<p>{''.join(parts)}</p>"
