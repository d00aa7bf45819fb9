"""Checks SQL for Trino that a person or a language model wrote.

Trino's own rules let the readers of the published data do nothing but read (see
:mod:`proto_loc.trino.configuration`). Beyond that, a statement may only read the version for which
it was written, without what Trino keeps beside the rows: files, statistics, earlier snapshots. So
an allow-list accepts one query, as sqlglot parses it, an EXPLAIN of one, or a SHOW or DESCRIBE.

sqlglot reads Trino's SQL almost as Trino does. What depends on the difference, the rules for rows,
is therefore decided by words of the text (:mod:`proto_loc.warehouse.iceberg.row_rules`), and Trino
gets the words of the text, without its comments, and not SQL that sqlglot generates.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.parser import Parser
from sqlglot.tokens import Token, TokenType

from proto_loc.sql import identifier
from proto_loc.warehouse import guard
from proto_loc.warehouse.guard import Refused

DIALECT = "trino"
PROD = "prod"
"""The catalogue by which people name the published version, whichever it is."""
MAX_TOKENS = 20_000
MAX_DEPTH = 40
"""Brackets in one another. sqlglot and Trino call themselves for each; thousands end a process."""
MAX_TYPED = 6
"""Such brackets after a type's name or before one, as in ``array[`` or ``date (``: sqlglot tries
each twice, so that its time doubles with each level."""

_PARTS = {
    "Alias", "AtTimeZone", "CTE", "ColumnDef", "Cube", "DataType", "DataTypeParam", "DistinctFrom", "Distinct",
    "Fetch", "Filter", "FormatJson", "From", "Group", "GroupingSets", "Having", "Identifier",
    "IgnoreNulls", "Interval", "IntervalSpan", "JSONExtractQuote", "JSONKeyValue",
    "JSONPath", "JSONPathKey", "JSONPathRoot", "JSONPathSubscript", "JSONPathWildcard",
    "JSONValue", "Join", "Lambda", "Lateral", "Limit", "LimitOptions", "Offset", "OnCondition", "Order",
    "Ordered", "RespectNulls", "Rollup", "Star", "Table", "TableAlias", "TableSample", "Tuple",
    "Unnest", "Values", "Var", "When", "Where", "WindowSpec", "With", "WithinGroup",
}  # fmt: skip
"""Names of sqlglot's classes that a query may hold, besides queries, conditions and functions."""
_OF_A_TABLE = {"this", "db", "catalog", "alias", "joins", "laterals", "sample"}
_REFUSED_WORDS = {
    TokenType.TABLE: "TABLE",  # TABLE name, and TABLE(function(...)), which sqlglot reads otherwise
    TokenType.HINT: "A hint",
    TokenType.AMP: "&",  # of U&"...", a name with escapes
}
_HIDDEN = re.compile(r"\$\w+")
"""A hidden column, such as ``$path``."""

_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d]\w*)'
_LIKE = r"(?:\s+like\s+(?P<like>'(?:[^']|'')*'))?"
_SHOWN = re.compile(
    rf"\s*(?:(?P<schemas>show\s+schemas){_LIKE}"
    rf"|(?P<functions>show\s+functions){_LIKE.replace('like>', 'of>')}"
    rf"|(?P<tables>show\s+tables)(?:\s+(?:from|in)\s+(?P<schema>{_NAME}(?:\s*\.\s*{_NAME})?))?"
    rf"{_LIKE.replace('like>', 'named>')}"
    rf"|(?P<columns>show\s+columns\s+(?:from|in)|describe|desc)\s+"
    rf"(?P<table>{_NAME}(?:\s*\.\s*{_NAME}){{0,2}}))\s*;?\s*",
    re.IGNORECASE,
)
_EXPLAIN = re.compile(
    r"\s*explain(?:\s+analyze(?:\s+verbose)?|\s*\([\w\s,]*\))?(?=[\s(])", re.IGNORECASE
)


@dataclass(frozen=True)
class Query:
    """A query that is allowed, or what an EXPLAIN explains."""

    start: str
    """The EXPLAIN before it, as text; empty if there is none."""
    text: str
    """The query, without the semicolon at its end."""
    tokens: tuple[Token, ...]
    tree: exp.Expression
    """Do not change it: it is cached."""

    def tables(self) -> list[exp.Table]:
        """The nodes that name a table, or what a WITH clause defines."""
        return list(self.tree.find_all(exp.Table))

    def ctes(self) -> set[str]:
        """The names that WITH clauses define, in lower case."""
        return {cte.alias.lower() for cte in self.tree.find_all(exp.CTE)}

    def written(self, replaced: Mapping[int, str]) -> str:
        """The words of the query with single spaces or none between them, and no comments.

        Args:
            replaced: number of a token → other text for it.
        """
        parts, end = [], None
        for number, token in enumerate(self.tokens):
            if end is not None and token.start > end:
                parts.append(" ")
            parts.append(replaced.get(number, self.text[token.start : token.end + 1]))
            end = token.end + 1
        return "".join(parts)


@dataclass(frozen=True)
class Shown:
    """A SHOW or DESCRIBE."""

    words: str
    """Such as ``show tables``."""
    name: tuple[str, ...] = ()
    """The schema or table that it names, each part without quotes."""
    catalogue: str = ""
    """The catalogue that it names."""
    like: str = ""
    """The pattern of a LIKE, as written."""

    def written(self, catalogue: str) -> str:
        """The statement for Trino, with the catalogue of the version."""
        place = ""
        if self.words == "describe":
            whole = len(self.name) > 1
            place = f" {identifier(*((catalogue,) if whole else ()), *self.name)}"
        elif self.words == "show schemas" or self.name:
            place = f" from {identifier(catalogue, *self.name)}"
        return f"{self.words}{place}{f' like {self.like}' if self.like else ''}"


def split(script: str) -> list[str]:
    """Split a script into its statements, without their semicolons.

    Raises:
        Refused: it is too long, or has an end of a text or name missing.
    """
    starts, texts = 0, []
    tokens = _tokens(script)
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            texts.append((starts, token.start))
            starts = token.end + 1
    texts.append((starts, len(script)))
    return [
        script[start:end].strip()
        for start, end in texts
        if any(start <= token.start < end for token in tokens)
    ]


def check(sql: str) -> None:
    """Raise unless ``sql`` is one statement that only reads the published version.

    Raises:
        Refused: it is empty, too long, too deep, does not parse, or does what a reader may not do.
    """
    parse(sql)


@lru_cache(maxsize=256)
def parse(sql: str) -> Query | Shown:
    """Check a statement, and return what it is.

    Raises:
        Refused: see :func:`check`.
    """
    guard.check_length(sql) if isinstance(sql, str) else _tokens(sql)
    if shown := _SHOWN.fullmatch(sql):
        return _shown(shown)
    explain = _EXPLAIN.match(sql)
    start = explain[0] if explain else ""
    texts = split(sql[len(start) :])
    if not texts:
        raise Refused(
            "There is no statement.", "The SQL is empty or holds only comments.", "Write a SELECT."
        )
    if len(texts) > 1:
        raise Refused(
            "Only one statement is allowed.",
            f"There are {len(texts)}.",
            "Send a single SELECT.",
        )
    return _query(start.strip(), texts[0])


def query(sql: str) -> Query:
    """Check a statement that has to be a query, or an EXPLAIN of one.

    Raises:
        Refused: see :func:`check`; or it is a SHOW or DESCRIBE.
    """
    parsed = parse(sql)
    if isinstance(parsed, Shown):
        raise Refused("This is not a query.", "It shows names.", "Write a SELECT.")
    return parsed


def _tokens(sql: str) -> list[Token]:
    if not isinstance(sql, str):
        raise Refused(
            "The SQL is not text.", f"It is of type {type(sql).__name__}.", "Pass a string."
        )
    guard.check_length(sql)
    if "\0" in sql or any("\ud800" <= char <= "\udfff" for char in sql):
        raise Refused(
            "The SQL holds a NUL byte or half a character.",
            "It cannot be read reliably.",
            "Remove it.",
        )
    try:
        return sqlglot.tokenize(sql, read=DIALECT)
    except SqlglotError as error:
        raise Refused(
            "The SQL does not parse.",
            "It has a text, name or comment without an end.",
            "Correct it and try again.",
        ) from error


def _shown(match: re.Match) -> Shown:
    like = match["like"] or match["of"] or match["named"] or ""
    if match["columns"]:
        *schema, name = parts = _parts(match["table"])
        _check_name(name, schema[-1] if schema else "")
        return Shown("describe", parts[-2:], "".join(parts[:-2]))
    if match["tables"]:
        parts = _parts(match["schema"] or "")
        _check_name("", "".join(parts[-1:]))
        return Shown("show tables", parts[-1:], "".join(parts[:-1]), like)
    return Shown("show schemas" if match["schemas"] else "show functions", like=like)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(
        part[1:-1].replace('""', '"') if part.startswith('"') else part
        for part in re.findall(_NAME, name)
    )


def _query(start: str, text: str) -> Query:
    tokens = _tokens(text)
    if tokens[0].token_type not in (
        TokenType.SELECT, TokenType.WITH, TokenType.VALUES, TokenType.L_PAREN
    ):  # fmt: skip
        word = tokens[0].text.upper()[:30]
        raise Refused(
            f"{f'EXPLAIN of {word}' if start else word} is not allowed here.",
            "Only reading is.",
            "Write a SELECT, SHOW TABLES, SHOW COLUMNS or DESCRIBE, or EXPLAIN of a SELECT.",
        )
    _check_depth(tokens)
    for token in tokens:
        if word := _REFUSED_WORDS.get(token.token_type):
            raise Refused(
                f"{word} is not allowed here.",
                "It can be read in more than one way.",
                "Write SELECT ... FROM with the table's name.",
            )
    try:
        tree, *more = sqlglot.parse(text, read=DIALECT)
        for node in tree.walk():
            _check_node(node)
    except RecursionError:
        raise _too_deep() from None
    except SqlglotError as error:
        raise Refused(
            "The SQL does not parse.", _why(error), "Correct it and try again."
        ) from error
    if more or not isinstance(tree, (exp.Query, exp.Values)):
        raise Refused("This is not a query.", "Only reading is allowed.", "Write a SELECT.")
    return Query(start, text, tuple(tokens), tree)


def _check_depth(tokens: list[Token]) -> None:
    if len(tokens) > MAX_TOKENS:
        raise Refused(
            f"The SQL is too long, {len(tokens)} words.",
            f"At most {MAX_TOKENS} are read.",
            "Shorten it.",
        )
    opened: list[bool] = []  # for each bracket that is open, whether sqlglot may try a type there
    cases = 0
    previous = TokenType.COMMA
    for token in tokens:
        kind = token.token_type
        if kind in (TokenType.L_PAREN, TokenType.L_BRACKET):
            opened.append(kind == TokenType.L_BRACKET or previous in Parser.TYPE_TOKENS)
        elif kind in (TokenType.R_PAREN, TokenType.R_BRACKET) and opened:
            opened.pop()
        cases += (kind == TokenType.CASE) - (kind == TokenType.END)
        if len(opened) + cases > MAX_DEPTH or sum(opened) > MAX_TYPED:
            raise _too_deep()
        previous = kind


def _check_node(node: exp.Expression) -> None:
    kind = type(node).__name__
    if not (isinstance(node, (exp.Condition, exp.Query)) or kind in _PARTS):
        raise Refused(
            f"{_words(kind)} is not allowed here.",
            "Only queries of tables are.",
            "Write a SELECT without it.",
        )
    if isinstance(node, exp.Table):
        more = {key for key, value in node.args.items() if value} - _OF_A_TABLE
        if more or not isinstance(node.this, exp.Identifier):
            raise Refused(
                "FROM takes only tables, queries and lists of values here.",
                "Functions, FOR VERSION and FOR TIMESTAMP reach beyond the published version.",
                "Read tables; SHOW TABLES lists them.",
            )
        _check_name(node.name, node.db)
    elif isinstance(node, exp.Column) and _HIDDEN.fullmatch(node.name):
        raise Refused(
            f"{node.name} is not a column.", "It says where rows are stored.", "Leave it out."
        )
    elif isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
        raise Refused(
            "Functions of a catalogue are not allowed here.",
            "They can reach beyond the version.",
            "Call a function by its name alone.",
        )


def _check_name(name: str, schema: str) -> None:
    """Refuse what is stored beside the rows."""
    if "$" in name or schema.lower() == "system" or schema.lower().startswith("raw__"):
        raise Refused(
            f"{'.'.join(filter(None, (schema, name)))} is not a table.",
            "It would say how tables are stored.",
            "Read tables; SHOW TABLES lists them.",
        )


def ready(sql: str, catalogue: str) -> str:
    """The statement for Trino, with the version's catalogue in place of :data:`PROD`.

    Raises:
        Refused: see :func:`check`; or it names another catalogue.
    """
    parsed = parse(sql)
    if isinstance(parsed, Shown):
        if parsed.catalogue:
            _check_catalogue(parsed.catalogue, catalogue)
        return parsed.written(catalogue)
    places = {token.start: number for number, token in enumerate(parsed.tokens)}
    replaced: dict[int, str] = {}
    for node in parsed.tree.find_all(exp.Table, exp.Column):
        named = node.args.get("catalog")
        if named:
            if isinstance(node, exp.Table):
                _check_catalogue(named.name, catalogue)
            if named.name.lower() == PROD:
                replaced[places[named.meta["start"]]] = identifier(catalogue)
    text = parsed.written(replaced)
    return f"{parsed.start} {text}" if parsed.start else text


def _check_catalogue(named: str, catalogue: str) -> None:
    if named.lower() not in (PROD, catalogue):
        raise Refused(
            f"The catalogue {named} is not allowed here.",
            "A query reads the published version, whose catalogue is prod.",
            "Leave the catalogue out, as in schema.table.",
        )


def tables(sql: str) -> Iterator[tuple[str | None, str]]:
    """The schema (or None) and the name of each table that a statement reads, without CTEs."""
    parsed = parse(sql)
    if isinstance(parsed, Query):
        names = parsed.ctes()
        for node in parsed.tables():
            if node.db or node.name.lower() not in names:
                yield node.db or None, node.name


def _words(kind: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).upper()


def _why(error: SqlglotError) -> str:
    details = (getattr(error, "errors", None) or [{}])[0]
    what = str(details.get("description") or error).splitlines()[0].rstrip(".")
    if "line" in details:
        return f"Line {details['line']}, column {details['col']}: {what}."
    return f"{what}."


def _too_deep() -> Refused:
    return Refused(
        "The SQL is nested too deeply.",
        f"At most {MAX_DEPTH} levels are read, and {MAX_TYPED} of arrays.",
        "Make it simpler.",
    )
