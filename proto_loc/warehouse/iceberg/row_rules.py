"""Applies row-level security to SQL for Trino.

A table with rules is replaced by a subquery with them, wherever the statement names it. That does
not depend on whether sqlglot reads the statement as Trino does: each word that is the name of such
a table has to be one that sqlglot takes for the table, so that it is replaced, or one that cannot
be a table for Trino. Otherwise the statement is refused. A list of conditions per table is taken,
by the table's name in lower case; a row must meet all of them.
"""

from collections.abc import Mapping, Sequence

from sqlglot import exp
from sqlglot.tokens import Token, TokenType

from proto_loc.sql import identifier
from proto_loc.warehouse.guard import Refused
from proto_loc.warehouse.iceberg import statements
from proto_loc.warehouse.iceberg.statements import Statement

_RELATION = {TokenType.FROM, TokenType.JOIN, TokenType.TABLE, TokenType.LATERAL}
"""Words before a relation."""


def put(statement: str, clauses: Mapping[str, Sequence[str]]) -> str:
    """Replace each table that has rules by a subquery with them; leave out comments.

    Raises:
        Refused: the statement is not allowed, or has a form that cannot take the rules.
    """
    known = statements.read(statement)
    if not clauses or known.tree is None:
        return known.sql
    if both := known.ctes & clauses.keys():
        name = min(both)
        raise Refused(
            f"A WITH clause names {name}.",
            "You may read only some rows of the table of that name, and the two would be mixed up.",
            "Give what the WITH clause defines another name.",
        )
    conditions = {
        name: " AND ".join(map(written, parts)) for name, parts in clauses.items() if parts
    }
    tokens = statements.tokenized(known.text)
    text = statements.words(known.text, tokens, _replaced(known, tokens, conditions))
    try:
        statements.check(text)
    except Refused as error:
        raise _cannot(min(clauses)) from error
    return known.explain + text


def written(condition: str) -> str:
    """A condition in brackets, without its comments.

    Raises:
        Refused: it does not parse as one condition, or reads a table.
    """
    known = statements.read(f"SELECT 1 WHERE ({condition}\n)")
    where = known.tree.args.get("where") if known.tree else None
    only = known.tree and {key for key, value in known.tree.args.items() if value} == {
        "expressions",
        "where",
    }
    if not (only and where and isinstance(where.this, exp.Paren)) or known.named:
        raise Refused(
            f"The rule {condition} is not a condition.", "A rule is put after WHERE.", "Correct it."
        )
    return known.text.removeprefix("SELECT 1 WHERE ")


def _replaced(
    known: Statement, tokens: Sequence[Token], conditions: Mapping[str, str]
) -> dict[int, str]:
    """Other texts for the last word of each ruled table's name, and none for those before it.

    Raises:
        Refused: a word may be the name of such a table for Trino, and is not for sqlglot.
    """
    tables = {node.this.meta["start"]: node for node in known.named}
    columns = {
        node.this.meta["start"]
        for node in known.tree.find_all(exp.Column)
        if isinstance(node.this, exp.Identifier)
    }
    replaced: dict[int, str] = {}
    for number, token in enumerate(tokens):
        name = token.text.lower()
        if name not in conditions or token.token_type == TokenType.STRING:
            continue
        first = _first(tokens, number)
        if node := tables.get(token.start):
            words = tokens[first : number + 1]
            table = "".join(known.text[word.start : word.end + 1] for word in words)
            alias = "" if node.args.get("alias") else f" AS {identifier(node.name)}"
            replaced |= dict.fromkeys(range(first, number), "")
            replaced[number] = f"(SELECT * FROM {table} WHERE {conditions[name]}){alias}"
        elif not (
            _kind(tokens, number + 1) == TokenType.DOT  # the table of a column
            or _kind(tokens, number - 1) == TokenType.ALIAS
            or (token.start in columns and _kind(tokens, first - 1) not in _RELATION)
        ):
            raise _cannot(name)
    return replaced


def _first(tokens: Sequence[Token], number: int) -> int:
    """The number of the first word of a name with dots."""
    while number >= 2 and tokens[number - 1].token_type == TokenType.DOT:
        number -= 2
    return number


def _kind(tokens: Sequence[Token], number: int) -> TokenType | None:
    return tokens[number].token_type if 0 <= number < len(tokens) else None


def _cannot(name: str) -> Refused:
    return Refused(
        f"You may read only some rows of {name}.",
        "A rule says which ones, and it cannot be put into this form of query.",
        f"Write SELECT ... FROM with the table's name as it is in the list of tables: {name}.",
    )
