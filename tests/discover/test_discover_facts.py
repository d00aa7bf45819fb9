"""A figure in a text is accepted only if it equals the fact that it cites."""

from datetime import date
from decimal import Decimal

import pytest

from proto_loc.ai.discover.changes import difference
from proto_loc.ai.discover.facts import Facts, check, figure, html


@pytest.fixture
def facts() -> Facts:
    made = Facts()
    made.add("relative change of revenue", Decimal("0.12345"), "percent")  # f1
    made.add("revenue", Decimal("2674932.68"), "money")  # f2
    made.add("trips", 95215, "count")  # f3
    made.add("a day", date(2025, 1, 20), "date")  # f4
    made.add("change of tips", Decimal("-0.031"), "percent")  # f5
    made.add("r of fare and distance", Decimal("0.8974"), "number")  # f6
    return made


@pytest.mark.parametrize(
    "text",
    [
        "It rose by 12.3 % [f1].", "It rose by 12% [f1].", "by 12.35 percent [f1]",
        "by 12.345 % [f1]",
        "$2,674,932.68 [f2]", "$2.7 million [f2]", "2.67M [f2]", "2674933 [f2]",
        "95,215 [f3] trips",
        "95 thousand [f3]", "on 2025-01-20 [f4]", "tips fell by 3.1 % [f5]", "tips: -3.1 % [f5]",
        "\u22123 % [f5]",
        "r is 0.9 [f6]", "(0.897 [f6])",
        "No figure at all, and column_2 is a name.",
    ],
)  # fmt: skip
def test_what_is_in_the_data_checks_out(facts, text):
    assert [piece.wrong for piece in check(text, facts) if piece.wrong] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("It rose by 12.4 % [f1].", "relative change of revenue is 12.3 %"),
        ("It rose by 12.3 [f1].", "relative change of revenue"),
        ("It rose by -12.3 % [f1].", "relative change of revenue"),
        ("It rose by 12.3 %.", "refers to no figure"),
        ("12.3 % [f99]", "no figure f99"),
        ("$2,674,932.69 [f2]", "revenue is $2,674,932.68"),
        ("2.7 thousand [f2]", "revenue is"),
        ("2.674 million [f2]", "revenue is"),
        ("95,216 [f3]", "trips is 95,215"),
        ("95,215 % [f3]", "trips is"),
        ("on 2025-01-21 [f4]", "a day is 2025-01-20"),
        ("on 2025-01-20", "refers to no figure"),
        ("in 2025 [f4]", "a day is"),
        ("It doubled.", "refers to no figure"),
        ("Three boroughs [f3] lead.", "refers to no figure"),
        ("three [f3] boroughs", "trips is"),
        ("0.9 [f1]", "relative change"),
        ("by .5 %", "refers to no figure"),
        ("by \u00bd [f1]", "relative change"),
        ("It rose tenfold.", "refers to no figure"),
        ("sixty boroughs", "refers to no figure"),
        ("1e-40 [f2]", "revenue is"),
        ("1e999999999999999999999 [f2]", "revenue is"),
    ],
)
def test_what_is_not_is_marked_with_the_reason(facts, text, why):
    wrong = [piece.wrong for piece in check(text, facts) if piece.wrong]
    assert len(wrong) == 1 and why in wrong[0], wrong


def test_the_text_stays_as_it_is_without_its_references_and_is_no_markup(facts):
    text = "Trips <b>rose</b> to 95,215 [f3], by 40 % [f1]; see [f2] & more."
    pieces = check(text, facts)
    assert (
        "".join(piece.text for piece in pieces)
        == "Trips <b>rose</b> to 95,215, by 40 %; see & more."
    )
    page = html(pieces)
    assert "&lt;b&gt;rose" in page and "<b>" not in page
    assert '<span class="checked" title="trips">95,215</span>' in page
    assert page.count("<mark") == 1 and "does not check out" in page


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("3.0", "3.0000000000000004", "0"),
        ("0.12345678901234567", "0.12345678901234561", "0"),
        ("3.0", "3.0000001000000004", "1.000000004E-7"),
        ("2674932.68", "2674932.69", "0.01"),
        ("3000000000", "3000000001", "1"),
        ("0", "0.0034", "0.0034"),
    ],
)
def test_the_order_of_adding_up_is_no_change_and_a_cent_is_one(before, after, change):
    assert difference(Decimal(before), Decimal(after)) == Decimal(change)


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        ("0.0034", "money", "$0.0034"), ("0.000034", "percent", "0.0034 %"),
        ("0", "percent", "0.0 %"),
        ("0.4", "count", "0.4"), ("1234.5", "number", "1,234.50"), ("-0.001", "number", "-0.001"),
    ],
)  # fmt: skip
def test_no_figure_but_zero_is_shown_as_zero(value, form, text):
    assert figure(Decimal(value), form) == text


@pytest.mark.parametrize(
    ("currency", "text", "right"),
    [
        ("EUR", "€1,234.50 [f1]", True), ("EUR", "EUR 1,234.50 [f1]", True),
        ("EUR", "$1,234.50 [f1]", False), ("CHF", "CHF 1,234.50 [f1]", True),
        ("CHF", "€1,234.50 [f1]", False), ("USD", "$1.2 thousand [f1]", True),
    ],
)  # fmt: skip
def test_money_is_of_the_currency_of_its_metric(currency, text, right):
    """Bug: every currency was shown as dollars, and a figure in dollars was accepted for each."""
    facts = Facts()
    facts.add("revenue", Decimal("1234.50"), "money", currency)
    assert [not piece.wrong for piece in check(text, facts) if piece.fact] == [right]
    shown = {"EUR": "€1,234.50", "CHF": "CHF 1,234.50", "USD": "$1,234.50"}
    assert facts["f1"].shown == shown[currency]
