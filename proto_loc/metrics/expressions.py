"""Metrics as expressions: aggregates of columns, ratios of them and arithmetic on them.

The SQL of a definition is kept as a sequence of text and columns, so that each generated file can
write the columns in its own way. This module does not parse SQL. It refuses characters that could
end the expression early, and characters that Cube or dbt would read as a template.

sqlglot was tried in place of the tokens below. It rewrites what it parses, reads ``a -- x`` as an
expression with a comment and ``{{x}}`` as a struct, so these refusals would still be needed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Column:
    """A column of the mart, by its name in SQL."""

    name: str


Sql: TypeAlias = tuple[str | Column, ...]


@dataclass(frozen=True)
class Aggregate:
    """An aggregate over the rows that pass all filters."""

    measure: str
    """Name of dbt's measure."""
    function: str
    """A key of :data:`FUNCTIONS`."""
    of: Sql
    filters: tuple[Sql, ...] = ()


@dataclass(frozen=True)
class Ratio:
    """A quotient, in double precision; null where the denominator is zero."""

    numerator: "Expression"
    denominator: "Expression"


@dataclass(frozen=True)
class Derived:
    """An arithmetic expression: a sequence of text and other expressions."""

    parts: "tuple[str | Expression, ...]"


Expression: TypeAlias = Aggregate | Ratio | Derived

FUNCTIONS = {
    "sum": "sum({})",
    "count": "count({})",
    "count_distinct": "count(distinct {})",
    "average": "avg(cast({} as double))",  # Trino's average of decimals has their scale
    "min": "min({})",
    "max": "max({})",
}
"""SQL of the aggregations of dbt's measures that every interface (Cube, Superset) supports."""

_TOKEN = re.compile(
    r"(?P<text>'(?:[^']|'')*')|(?P<quoted>\"(?:[^\"]|\"\")*\")|(?P<comment>--|/\*|;)|(?P<name>[^\W\d]\w*)|(?P<open>\()|(?P<close>\))"
    r"|(?P<broken>['\"])|(?P<other>\s+|[\d.]+|.)",
    re.DOTALL,
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_TEMPLATED = re.compile(r"[{}\\`\x00-\x08\x0b-\x0c\x0e-\x1f\x7f]")


def sql(text: str, columns: Callable[[str], Sql | None] = lambda name: None) -> Sql:
    """Check a piece of SQL from a definition, and split it into text and columns.

    Args:
        columns: returns the SQL that replaces a name, or None to keep the name.

    Raises:
        ValueError: the text cannot be part of a larger expression; the message says why.
    """
    if template := _TEMPLATED.search(text):
        raise ValueError(f"it holds {template[0]!r}, which could be part of a template")
    depth, parts = 0, []
    tokens = list(_TOKEN.finditer(text.strip()))
    for i, token in enumerate(tokens):
        kind = token.lastgroup
        if kind == "comment":
            raise ValueError(
                f"it holds {token[0]!r}, which could end the expression that it stands in"
            )
        if kind == "broken":
            raise ValueError(f"a quote, {token[0]}, is not closed")
        if kind in ("text", "quoted") and "\n" in token[0]:
            raise ValueError(f"{token[0]!r} has a line break in it")
        depth += (kind == "open") - (kind == "close")
        if depth < 0:
            break
        is_part = i and tokens[i - 1][0].endswith(".")
        is_call = i + 1 < len(tokens) and tokens[i + 1].lastgroup == "open"
        meant = columns(token[0]) if kind == "name" and not is_part and not is_call else None
        parts += ([" "] if token[0].isspace() else [token[0]]) if meant is None else meant
    if depth:
        raise ValueError("its parentheses do not match")
    if not text.strip():
        raise ValueError("it is empty")
    return joined(parts)


def column(text: str) -> Sql:
    """Parse the SQL of a measure or dimension: a plain name is a column, other text an expression.

    Raises:
        ValueError: see :func:`sql`.
    """
    return (Column(text),) if _IDENTIFIER.match(text) else sql(text)


def joined(parts: list) -> tuple:
    """Join adjacent texts in a sequence of parts."""
    made: list = []
    for part in parts:
        if isinstance(part, str) and made and isinstance(made[-1], str):
            made[-1] += part
        else:
            made.append(part)
    return tuple(made)


def written(parts: Sql, name: Callable[[str], str] = str) -> str:
    """Write the parts as SQL text; ``name`` formats the name of each column."""
    return "".join(part if isinstance(part, str) else name(part.name) for part in parts)


def conjunction(filters: tuple[Sql, ...], name: Callable[[str], str] = str) -> str:
    """Join all filters with AND into one condition."""
    texts = [written(condition, name) for condition in filters]
    return texts[0] if len(texts) == 1 else " and ".join(f"({text})" for text in texts)


def render(
    expression: Expression, known: Callable[[Expression], str | None] = lambda expression: None
) -> str:
    """Write an expression as SQL over the mart's rows.

    Args:
        known: returns a reference to an expression, such as a column's name, or None if the
            expression must be written in full.
    """
    if (reference := known(expression)) is not None:
        return reference
    match expression:
        case Aggregate():
            text = FUNCTIONS[expression.function].format(written(expression.of))
            return (
                f"{text} filter (where {conjunction(expression.filters)})"
                if expression.filters
                else text
            )
        case Ratio():  # the same SQL as MetricFlow's
            over, under = render(expression.numerator, known), render(expression.denominator, known)
            return f"cast({over} as double) / cast(nullif({under}, 0) as double)"
        case Derived():
            # Trino divides whole numbers and decimals in their own type.
            divides = any(isinstance(part, str) and "/" in part for part in expression.parts)
            operand = "cast({} as double)" if divides else "({})"
            return "".join(
                part if isinstance(part, str) else operand.format(render(part, known))
                for part in expression.parts
            )


def aggregates(expression: Expression) -> list[Aggregate]:
    """Return the distinct aggregates of an expression, in their order."""
    match expression:
        case Aggregate():
            return [expression]
        case Ratio():
            inner = [expression.numerator, expression.denominator]
        case Derived():
            inner = [part for part in expression.parts if not isinstance(part, str)]
    return list(dict.fromkeys(aggregate for part in inner for aggregate in aggregates(part)))
