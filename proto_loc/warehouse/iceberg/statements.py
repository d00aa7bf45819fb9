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
from collections.abc import Mapping
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
MAX_PADDED = 100_000
"""Characters to which ``lpad``, ``rpad`` and ``format`` may pad a text."""
MAX_TYPED = 6
"""Such brackets after a type's name or before one, as in ``array[`` or ``date (``: sqlglot tries
each twice, so that its time doubles with each level."""

_PARTS = {
    "Alias", "AtTimeZone", "CTE", "ColumnDef", "Cube", "DataType", "DataTypeParam", "Distinct",
    "DistinctFrom", "Fetch", "Filter", "FormatJson", "From", "Group", "GroupingSets", "Having",
    "Identifier", "IgnoreNulls", "Interval", "IntervalSpan", "JSONExtractQuote", "JSONKeyValue",
    "JSONPath", "JSONPathKey", "JSONPathRoot", "JSONPathSubscript", "JSONPathWildcard",
    "JSONValue", "Join", "Lambda", "Lateral", "Limit", "LimitOptions", "Offset", "OnCondition",
    "Order", "Ordered", "RespectNulls", "Rollup", "Star", "Table", "TableAlias", "TableSample",
    "Tuple", "Unnest", "Values", "Var", "When", "Where", "WindowSpec", "With", "WithinGroup",
}  # fmt: skip
"""Names of sqlglot's classes that a query may hold, besides queries, conditions and functions."""
_OF_A_TABLE = {"this", "db", "catalog", "alias", "joins", "laterals", "sample"}
_STARTS = {TokenType.SELECT, TokenType.WITH, TokenType.VALUES, TokenType.L_PAREN}
"""The first words of a query."""
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
class Statement:
    """A statement that is allowed."""

    text: str
    """What Trino gets, without the EXPLAIN: no comments, no semicolon, no catalogue."""
    explain: str = ""
    """The EXPLAIN before it and a space; empty if there is none."""
    tree: exp.Expression | None = None
    """sqlglot's tree of a query; None for SHOW and DESCRIBE. It is cached: do not change it."""

    @property
    def sql(self) -> str:
        """The whole statement for Trino."""
        return self.explain + self.text

    @property
    def named(self) -> list[exp.Table]:
        """The nodes that name a table, or what a WITH clause defines."""
        return list(self.tree.find_all(exp.Table)) if self.tree else []

    @property
    def ctes(self) -> set[str]:
        """The names that WITH clauses define, in lower case."""
        return {cte.alias.lower() for cte in self.tree.find_all(exp.CTE)} if self.tree else set()

    @property
    def tables(self) -> set[tuple[str | None, str]]:
        """The schema (or None) and name of each table that it reads, in lower case."""
        own = self.ctes
        return {
            (node.db.lower() or None, node.name.lower())
            for node in self.named
            if node.db or node.name.lower() not in own
        }


def split(script: str) -> list[str]:
    """Split a script into its statements, without their semicolons.

    Raises:
        Refused: it is too long, or has an end of a text or name missing.
    """
    starts, texts = 0, []
    tokens = tokenized(script)
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
    read(sql)


@lru_cache(maxsize=256)
def read(sql: str) -> Statement:
    """Check a statement, and return what is to be known of it.

    Raises:
        Refused: see :func:`check`.
    """
    _check_text(sql)
    if shown := _SHOWN.fullmatch(sql):
        return Statement(_shown(shown))
    explain = _EXPLAIN.match(sql)
    start = explain[0].strip() + " " if explain else ""
    texts = split(sql[len(explain[0]) if explain else 0 :])
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
    tokens = tokenized(texts[0])
    left_out = _catalogues(_parsed(texts[0], tokens, start), tokens)
    text = words(texts[0], tokens, dict.fromkeys(left_out, ""))
    return Statement(text, start, _parsed(text, tokenized(text), start))


def words(text: str, tokens: list[Token], replaced: Mapping[int, str]) -> str:
    """The words of a text with single spaces or none between them, and no comments.

    Args:
        replaced: number of a token → other text for it.
    """
    parts, end = [], None
    for number, token in enumerate(tokens):
        if end is not None and token.start > end:
            parts.append(" ")
        parts.append(replaced.get(number, text[token.start : token.end + 1]))
        end = token.end + 1
    return "".join(parts)


def functions(tree: exp.Expression) -> set[str]:
    """The names of the functions that a query calls, in lower case."""
    calls = tree.find_all(exp.Func)
    return {
        str(call.name if isinstance(call, exp.Anonymous) else call.sql_name()).lower()
        for call in calls
    }


def _catalogues(tree: exp.Expression, tokens: list[Token]) -> set[int]:
    """The numbers of the words that name the catalogue, and of the dots after them."""
    places = {token.start: number for number, token in enumerate(tokens)}
    numbers = set()
    for node in tree.find_all(exp.Table, exp.Column):
        if named := node.args.get("catalog"):
            if isinstance(node, exp.Table):
                _check_catalogue(named.name)
            if named.name.lower() == PROD:
                number = places[named.meta["start"]]
                numbers |= {number, number + 1}
    return numbers


def _check_catalogue(named: str) -> None:
    if named.lower() != PROD:
        raise Refused(
            f"The catalogue {named} is not allowed here.",
            "A query reads the published version, whose catalogue is prod.",
            "Leave the catalogue out, as in schema.table.",
        )


def _check_text(sql: str) -> None:
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


def tokenized(sql: str) -> list[Token]:
    """The words of a text.

    Raises:
        Refused: it is too long, or has an end of a text, name or comment missing.
    """
    _check_text(sql)
    try:
        return sqlglot.tokenize(sql, read=DIALECT)
    except SqlglotError as error:
        raise Refused(
            "The SQL does not parse.",
            "It has a text, name or comment without an end.",
            "Correct it and try again.",
        ) from error


def _shown(match: re.Match) -> str:
    """The text of a SHOW or DESCRIBE for Trino."""
    like = match["like"] or match["of"] or match["named"]
    pattern = f" like {like}" if like else ""
    if match["columns"]:
        parts = _parts(match["table"])
        if len(parts) > 2:
            _check_catalogue(parts[0])
        _check_name(parts[-1], parts[-2] if len(parts) > 1 else "")
        return f"describe {identifier(*parts[-2:])}"
    if match["tables"]:
        parts = _parts(match["schema"] or "")
        if len(parts) > 1:
            _check_catalogue(parts[0])
        _check_name("", "".join(parts[-1:]))
        place = f" from {identifier(parts[-1])}" if parts else ""
        return f"show tables{place}{pattern}"
    return f"show {'schemas' if match['schemas'] else 'functions'}{pattern}"


def _parts(name: str) -> tuple[str, ...]:
    return tuple(
        part[1:-1].replace('""', '"') if part.startswith('"') else part
        for part in re.findall(_NAME, name)
    )


def _parsed(text: str, tokens: list[Token], explain: str) -> exp.Expression:
    """sqlglot's tree of a query that is allowed."""
    if tokens[0].token_type not in _STARTS:
        word = tokens[0].text.upper()[:30]
        raise Refused(
            f"{'EXPLAIN of ' if explain else ''}{word} is not allowed here.",
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
        joins = 0
        for node in tree.walk():
            _check_node(node)
            joins += isinstance(node, exp.Join)
    except RecursionError:
        raise _too_deep() from None
    except SqlglotError as error:
        raise Refused(
            "The SQL does not parse.", _why(error), "Correct it and try again."
        ) from error
    if more or not isinstance(tree, (exp.Query, exp.Values)):
        raise Refused("This is not a query.", "Only reading is allowed.", "Write a SELECT.")
    if joins > guard.MAX_JOINS:
        raise Refused(
            "The query is too large to plan.",
            f"It has over {guard.MAX_JOINS} joins.",
            "Split it.",
        )
    return tree


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
    elif isinstance(node, (exp.Pad, exp.Format)) or (
        isinstance(node, exp.Anonymous) and node.name.lower() in ("lpad", "rpad", "format")
    ):
        _check_length(node)
    elif isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
        raise Refused(
            "Functions of a catalogue are not allowed here.",
            "They can reach beyond the version.",
            "Call a function by its name alone.",
        )


def _check_length(call: exp.Expression) -> None:
    """Refuse what pads a text to a length that takes more memory than Trino has, and ends it."""
    if isinstance(call, exp.Anonymous):  # its name is in quotes
        length = (call.expressions[1:2] or call.expressions or [None])[0]
    else:
        length = call.args.get("expression") or call.this
    numbers = re.findall(r"\d+", length.name) if isinstance(length, exp.Literal) else ["9" * 9]
    if any(int(number) > MAX_PADDED for number in numbers):
        raise Refused(
            "A text may only be padded to a small length.",
            "A long one takes more memory than Trino has.",
            f"Write the length as a number of at most {MAX_PADDED}.",
        )


def _check_name(name: str, schema: str) -> None:
    """Refuse what is stored beside the rows."""
    if "$" in name or schema.lower() == "system" or schema.lower().startswith("raw__"):
        raise Refused(
            f"{'.'.join(filter(None, (schema, name)))} is not a table.",
            "It would say how tables are stored.",
            "Read tables; SHOW TABLES lists them.",
        )


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
