"""Reads Trino's SQL; implements :class:`proto_loc.superset.doors.Sql`.

What a query reads, and what may be written, is said by
:mod:`proto_loc.warehouse.iceberg.statements`.
"""

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from proto_loc.superset.doors import Rules
from proto_loc.warehouse import guard
from proto_loc.warehouse.iceberg import row_rules, statements
from proto_loc.warehouse.iceberg.statements import Statement

split = statements.split
parse = statements.read
_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET)


def same(one: Statement, other: Statement) -> bool:
    if one.tree is None or other.tree is None:
        return one.sql == other.sql
    return one.explain == other.explain and _bare(one.tree) == _bare(other.tree)


def keeps(pretty: str, sql: str) -> bool:
    """Whether both have the same words: sqlglot's own SQL sometimes has another meaning."""
    try:
        parse(pretty)
        return _words(pretty) == _words(sql)
    except guard.Refused:
        return False


def tables(tree: Statement) -> set[tuple[str | None, str]]:
    return tree.tables


def functions(tree: Statement) -> set[str]:
    return statements.functions(tree.tree) if tree.tree is not None else set()


def has_subquery(tree: Statement) -> bool:
    """Whether a query is inside of the statement."""
    return tree.tree is not None and any(
        node is not tree.tree and isinstance(node, exp.Query) for node in _nodes(tree.tree)
    )


def has_from(tree: Statement) -> bool:
    return not isinstance(tree.tree, exp.Select) or tree.tree.find(exp.From) is not None


def limit(tree: Statement) -> int | None:
    """The number of the LIMIT or FETCH at the end of a statement."""
    return _number(tree.tree.args.get("limit")) if tree.tree is not None else None


def limited(sql: str, rows: int) -> str:
    """The statement with a LIMIT at its end, or around it; a higher one that it has is replaced.

    SHOW, DESCRIBE and EXPLAIN stay as they are.
    """
    try:
        tree = parse(sql)
    except guard.Refused:
        return sql
    written = limit(tree)
    if tree.tree is None or tree.explain or (written is not None and written <= rows):
        return sql
    # The line breaks are needed because a comment may end the text.
    for text, inside in (
        (f"{sql}\nLIMIT {rows}", _without_limit),
        (_replaced(sql, rows), _without_limit),
        (f"SELECT * FROM (\n{sql}\n) LIMIT {rows}", _wrapped),
    ):
        try:
            bounded = parse(text)
            rest = _without_limit(tree.tree) if inside is _without_limit else tree.tree
            if limit(bounded) == rows and inside(bounded.tree) == rest:
                return text
        except guard.Refused:
            continue
    return sql


def put(sql: str, rules: Rules) -> str:
    """Replace each table that has rules by a subquery; without rules, the text stays as it is."""
    return row_rules.put(sql, rules) if rules else sql


def ready(sql: str, rules: Rules) -> str:
    """The statement with its rules, without comments and the name of the catalogue.

    Tables get their rules here again: the person may have written what looks like them.
    """
    return row_rules.put(sql, rules)


def _nodes(tree: exp.Expression):
    return (item[0] if isinstance(item, tuple) else item for item in tree.walk())


def _bare(tree: exp.Expression) -> exp.Expression:
    """The tree without brackets around values: they are in its shape."""
    bare = tree.copy()
    for brackets in list(bare.find_all(exp.Paren)):
        brackets.replace(brackets.this)
    return bare


def _number(bound: exp.Expression | None) -> int | None:
    value = bound and bound.args.get("count" if isinstance(bound, exp.Fetch) else "expression")
    is_number = isinstance(value, exp.Literal) and not value.is_string
    return int(value.name) if is_number and value.name.isdecimal() else None


def _without_limit(tree: exp.Expression) -> exp.Expression:
    rest = tree.copy()
    rest.set("limit", None)
    return rest


def _wrapped(tree: exp.Expression) -> exp.Expression | None:
    """The query inside ``SELECT * FROM (...) LIMIT n``."""
    subquery = tree.find(exp.Subquery)
    return subquery.this if subquery is not None else None


def _replaced(sql: str, rows: int) -> str:
    """The text with another number after its last LIMIT outside of brackets.

    In Trino, a query around another one would lose its order.
    """
    depth, place, before = 0, None, None
    for token in _tokens(sql):
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        if depth == 0 and before is TokenType.LIMIT and token.token_type is TokenType.NUMBER:
            place = token
        before = token.token_type
    if place is None:
        return sql
    return f"{sql[: place.start]}{rows}{sql[place.end + 1 :]}"


def _words(sql: str) -> list[str]:
    return [
        token.text if token.token_type is TokenType.STRING else token.text.lower()
        for token in _tokens(sql)
        if token.token_type is not TokenType.SEMICOLON
    ]


def _tokens(sql: str) -> list[Token]:
    try:
        return sqlglot.tokenize(sql, read=statements.DIALECT)
    except SqlglotError as error:
        raise guard.Refused("The SQL does not parse.", f"{error}.", "Correct it.") from error
