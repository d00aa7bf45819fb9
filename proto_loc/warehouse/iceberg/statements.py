"""Checks SQL for Trino that a person or a language model wrote.

Trino itself lets a reader select from what is published and do nothing else (see
:mod:`proto_loc.trino.configuration`). The check comes before: it allows one reading statement of
the version that the connection reads, and finds the tables that it names.

A statement is read twice, by two readings that know nothing of each other. sqlglot parses it, but
sqlglot is not Trino: it reads ``from (table orders)`` as a table named ``table``, and
``decimal '1.20'`` as a whole number. So the text itself goes to Trino, without its comments, and
:func:`_relations` finds in its tokens each place where Trino's grammar has a table. Whoever limits
rows needs both to agree; see :mod:`proto_loc.warehouse.iceberg.row_rules`.

Superset's environment and that of the notebooks import this module; each has another sqlglot.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.dialects.trino import Trino
from sqlglot.errors import SqlglotError
from sqlglot.parser import Parser

from proto_loc.warehouse.guard import MAX_JOINS, Refused, check_length

DIALECT = "trino"
CATALOGUE = "prod"
"""The name by which a statement may call the version that the connection reads."""
MAX_DEPTH = 100  # levels of parentheses
MAX_TYPED = 6  # levels of brackets that may belong to a type: sqlglot tries each twice
MAX_TOKENS = 20_000  # words, signs and values: sqlglot needs two seconds for them
MAX_RELATIONS = 128  # tables, once each WITH clause stands where it is named: Trino plans it so
MAX_RECURSION = 10  # Trino's max_recursion_depth
MAX_PADDED = 100_000  # characters that lpad and rpad may make: two billion end the server
TABLE_FUNCTIONS = frozenset({"sequence"})
"""Functions in ``table(...)`` that a statement may call: they make rows."""

_GAP = re.compile(r"[ \t\r\n]+|--[^\r\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(
    r"""
    (?P<string>(?:[Uu]&|[Xx])?'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<word>[A-Za-z_][A-Za-z_0-9]*)
    | (?P<number>(?:0[xX][0-9a-fA-F_]+|(?:[0-9][0-9_]*(?:\.(?:[0-9][0-9_]*)?)?|\.[0-9][0-9_]*)
        (?:[eE][+-]?[0-9]+)?)(?![A-Za-z_0-9]))
    | (?P<sign><>|!=|<=|>=|=>|->|\|\||\{-|-\}|[-+*/%=<>()\[\],.;:?|^${}])
    """,
    re.VERBOSE,
)
"""Trino's own tokens: a token that another reader would end elsewhere matches none of them."""
_ENDS_RELATIONS = {"WHERE", "GROUP", "HAVING", "ORDER", "UNION", "INTERSECT", "EXCEPT", "WITH"}
"""Words after which no table follows at the same level; all of them are reserved in Trino."""
_NO_ALIAS = _ENDS_RELATIONS | {
    *("JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL", "ON", "USING"),
    *("LIMIT", "OFFSET", "FETCH", "WINDOW", "TABLESAMPLE", "MATCH_RECOGNIZE", "FOR"),
}
_WRITES = tuple(
    getattr(exp, name)
    for name in (
        *("Insert", "Update", "Delete", "Merge", "Create", "Drop", "Alter", "AlterTable"),
        *("Command", "Set", "Use", "Pragma", "Into", "Lock", "Copy", "Kill", "TruncateTable"),
        *("Cache", "Uncache", "LoadData", "Transaction", "Commit", "Rollback", "Comment", "Grant"),
        *("Analyze", "Attach", "Detach", "Execute", "Declare", "Directory", "Show"),
    )
    if hasattr(exp, name)
)
_TYPES = {word for word, kind in Trino.Tokenizer.KEYWORDS.items() if kind in Parser.TYPE_TOKENS}
"""Words that sqlglot takes for a type if brackets follow, as in ``array[`` and ``date (``."""
_HIDDEN = re.compile(r"\$\w+")
"""A column that tells where a row is stored, such as ``$path``."""
_NAME = r"(?:\w+|\"[^\"]+\")"
_LIKE = r"(?: LIKE '[^']*'(?: ESCAPE '[^']')?)?"
_TABLE = rf"{_NAME}(?:\.{_NAME}){{0,2}}"
_SHOW = re.compile(
    rf"SHOW (?:TABLES(?: (?:FROM|IN) (?P<schema>{_NAME}(?:\.{_NAME})?))?{_LIKE}"
    rf"|SCHEMAS(?: (?:FROM|IN) (?P<catalogue>{_NAME}))?{_LIKE}"
    rf"|COLUMNS (?:FROM|IN) (?P<table>{_TABLE}){_LIKE}|FUNCTIONS{_LIKE})"
    rf"|(?:DESCRIBE|DESC) (?P<described>{_TABLE})",
    re.IGNORECASE,
)
_EXPLAIN_WORDS = {
    *("TYPE", "LOGICAL", "DISTRIBUTED", "VALIDATE", "IO", "FORMAT", "TEXT", "GRAPHVIZ", "JSON")
}

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what is refused here


class Token(NamedTuple):
    """A piece of a statement, without comments and white space."""

    kind: str
    """``word``, ``quoted``, ``string``, ``number`` or ``sign``."""
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """An unquoted word in upper case, or a sign."""
        return self.text.upper() if self.kind in ("word", "sign") else ""

    @property
    def is_name(self) -> bool:
        return self.kind in ("word", "quoted")

    @property
    def name(self) -> str:
        """The name as Trino compares it: in lower case, with or without quotes."""
        text = self.text[1:-1].replace('""', '"') if self.kind == "quoted" else self.text
        return text.lower()


class Relation(NamedTuple):
    """A place in a text where Trino reads a table."""

    parts: tuple[str, ...]
    """The names in lower case: catalogue, schema and table, as far as they are written."""
    start: int
    end: int
    is_function: bool
    has_alias: bool

    @property
    def name(self) -> str:
        return self.parts[-1]


@dataclass(frozen=True)
class Statement:
    """A checked statement."""

    text: str
    """What goes to Trino: without comments, a semicolon at the end, and the name of the catalogue.

    An EXPLAIN before it is in ``explain``.
    """
    explain: str
    """The EXPLAIN with its options and the space after it; empty without one."""
    tree: exp.Expression | None
    """sqlglot's tree of a query; None for SHOW and DESCRIBE. It is cached: do not change it."""
    relations: tuple[Relation, ...] = field(default=())
    """Where ``text`` names tables, in order; also the names of WITH clauses."""

    @property
    def sql(self) -> str:
        """The whole statement for Trino."""
        return self.explain + self.text

    @property
    def ctes(self) -> set[str]:
        """The names that WITH clauses define, in lower case."""
        found = self.tree.find_all(exp.CTE) if self.tree else ()
        return {cte.alias.lower() for cte in found}

    @property
    def tables(self) -> set[tuple[str | None, str]]:
        """The schema (or None) and name of each table that it reads, in lower case."""
        named = {relation.parts for relation in self.relations if not relation.is_function}
        named |= set(map(_parts, _tables(self.tree)))
        own = self.ctes
        return {
            (parts[-2] if len(parts) > 1 else None, parts[-1])
            for parts in named
            if len(parts) > 1 or parts[-1] not in own
        }

    @property
    def agrees(self) -> bool:
        """Whether both readings find the same tables."""
        named = Counter(one.parts for one in self.relations if not one.is_function)
        return named == Counter(map(_parts, _tables(self.tree)))


def check(sql: str) -> None:
    """Raise unless ``sql`` is one statement that only reads the version of its connection.

    Placeholders (``?``) pass; their values cannot become SQL.

    Raises:
        Refused: it is empty, too long, too deep, does not parse, or does what a reader may not do.
    """
    read(sql)


def local(sql: str) -> str:
    """A person's text with the name of the catalogue left out, so that it reads one version.

    It is not checked: Trino refuses what a reader may not do.

    Raises:
        Refused: it names the catalogue in a way that is not understood.
    """
    try:
        tokens = _tokens(sql)
        while tokens and tokens[-1].word == ";":
            tokens.pop()
        if not any(token.is_name and token.name == CATALOGUE for token in tokens):
            return sql[: tokens[-1].end] if tokens else sql
        text, tokens = _without_comments(sql, tokens)
        if tokens[0].word in ("SHOW", "DESCRIBE", "DESC"):
            return _shown(text)
        explain = ""
        if tokens[0].word == "EXPLAIN":
            explain, text = _explained(text, tokens)
        return explain + _local(text, _tokens(text))[0]
    except Refused:
        if re.search(rf"\b{CATALOGUE}\b", sql, re.IGNORECASE):
            raise
        return sql


def split(sql: str) -> list[str]:
    """Split a script into its statements, at the semicolons.

    Raises:
        Refused: it is too long, or has characters that no statement has.
    """
    check_length(sql)
    tokens, texts, start = _tokens(sql), [], 0
    for token in [*tokens, Token("sign", ";", len(sql), len(sql))]:
        if token.word == ";":
            if any(start <= one.start < token.start for one in tokens):
                texts.append(sql[start : token.start].strip())
            start = token.end
    return texts


@lru_cache(maxsize=256)
def read(sql: str) -> Statement:
    """Check a statement and return what is to be known of it.

    Raises:
        Refused: see :func:`check`.
    """
    if not isinstance(sql, str):
        raise Refused(
            "The SQL is not text.", f"It is of type {type(sql).__name__}.", "Pass a string."
        )
    check_length(sql)
    written = _tokens(sql)
    while written and written[-1].word == ";":
        written.pop()
    if not written:
        raise Refused(
            "There is no statement.", "The SQL is empty or holds only comments.", "Write a SELECT."
        )
    if any(token.word == ";" for token in written):
        raise Refused("Only one statement is allowed.", "There are several.", "Send them singly.")
    text, tokens = _without_comments(sql, written)
    first = tokens[0].word
    if first in ("SHOW", "DESCRIBE", "DESC"):
        return Statement(_shown(text), "", None)
    explain = ""
    if first == "EXPLAIN":
        explain, text = _explained(text, tokens)
        tokens = _tokens(text)
    text, tokens, relations = _local(text, tokens)
    tree = _parsed(text, tokens)
    _inspect(tree, relations)
    return Statement(text, explain, tree, tuple(relations))


def _tokens(text: str) -> list[Token]:
    tokens, at = [], 0
    while at < len(text):
        if gap := _GAP.match(text, at):
            at = gap.end()
            continue
        found = _TOKEN.match(text, at)
        if found is None:
            shown = text[at : at + 20].split("\n")[0]
            raise Refused(
                "The SQL cannot be read.",
                f"No statement of Trino continues with {shown!r}.",
                "Close each quote and comment, put names of other letters in double quotes, and"
                " end a number with a space.",
            )
        tokens.append(Token(str(found.lastgroup), found[0], at, found.end()))
        at = found.end()
        if len(tokens) > MAX_TOKENS:
            raise Refused(
                "The SQL is too long.",
                f"At most {MAX_TOKENS} words, signs and values are read.",
                "Shorten it.",
            )
    return tokens


def _without_comments(sql: str, tokens: list[Token]) -> tuple[str, list[Token]]:
    """The text with a space or line break for each gap, and its tokens."""
    parts, at, last = [], 0, None
    for token in tokens:
        if last is not None and token.start > last.end:
            parts.append("\n" if "\n" in sql[last.end : token.start] else " ")
        parts.append(token.text)
        last = token
    text, moved = "".join(parts), []
    for token in tokens:
        at = text.index(token.text, at)
        moved.append(Token(token.kind, token.text, at, at + len(token.text)))
        at += len(token.text)
    return text, moved


def _shown(text: str) -> str:
    """Check SHOW and DESCRIBE."""
    flat = re.sub(r"\s*\.\s*", ".", re.sub(r"\s+", " ", text))
    found = _SHOW.fullmatch(flat)
    if not found:
        raise Refused(
            "This SHOW or DESCRIBE is not allowed here.",
            "Allowed are SHOW TABLES, SHOW SCHEMAS, SHOW COLUMNS, SHOW FUNCTIONS and DESCRIBE.",
            "SHOW TABLES FROM marts lists the tables.",
        )
    names = {
        kind: [token.name for token in _tokens(name) if token.is_name]
        for kind, name in found.groupdict().items()
        if name
    }
    if not names:
        return flat
    ((kind, parts),) = names.items()
    if kind == "schema":
        _is_a_schema(parts[-1])
    elif kind != "catalogue":
        _is_a_table(parts)
    if len(parts) == {"schema": 2, "catalogue": 1}.get(kind, 3):
        if parts[0] != CATALOGUE:
            raise _elsewhere(parts)
        before, after = flat[: found.start(kind)], flat[found.start(kind) :]
        if kind == "catalogue":
            return before.rsplit(" ", 2)[0] + after[found.end(kind) - found.start(kind) :]
        return before + after.partition(".")[2]
    return flat


def _explained(text: str, tokens: list[Token]) -> tuple[str, str]:
    """The EXPLAIN with its options, and what is explained."""
    at = 1
    while at < len(tokens) and tokens[at].word in ("ANALYZE", "VERBOSE"):
        at += 1
    if (
        at + 1 < len(tokens)
        and tokens[at].word == "("
        and tokens[at + 1].word in ("TYPE", "FORMAT")
    ):
        while at < len(tokens) and tokens[at].word != ")":
            if tokens[at].word not in _EXPLAIN_WORDS | {"(", ","}:
                raise Refused(
                    "This form of EXPLAIN is not allowed.",
                    f"{tokens[at].text} is no option of it.",
                    "Write EXPLAIN or EXPLAIN ANALYZE, then the SELECT.",
                )
            at += 1
        at += 1
    if at >= len(tokens):
        raise Refused("There is no statement.", "EXPLAIN stands alone.", "Write a SELECT after it.")
    if tokens[at].word in ("SHOW", "DESCRIBE", "DESC", "EXPLAIN"):
        raise _not_a_query(tokens[at].word, "EXPLAIN of ")
    start = tokens[at].start
    return text[:start].rstrip() + " ", text[start:]


class _Level:
    """What is known inside of one pair of parentheses."""

    def __init__(self, relations: bool = False) -> None:
        self.selects = False
        """Whether a SELECT is at this level, so that a FROM is followed by tables."""
        self.relations = relations
        """Whether a comma is followed by a table."""


def _relations(tokens: list[Token]) -> list[Relation]:
    """Find each place where Trino's grammar has the name of a table.

    A table follows FROM, JOIN, TABLE, and a comma or parenthesis among tables. In doubt a place
    counts as one.

    Raises:
        Refused: parentheses are not balanced, or too deep.
    """
    found, levels, expected, at = [], [_Level()], False, 0
    while at < len(tokens):
        token, before = tokens[at], tokens[at - 1].word if at else ""
        level, word, at = levels[-1], token.word, at + 1
        after = tokens[at].word if at < len(tokens) else ""
        if word == "(":
            levels.append(_Level(relations=expected))
            if len(levels) > MAX_DEPTH:
                raise too_deep()
        elif word == ")":
            levels.pop()
            expected = False
            if not levels:
                raise Refused("The SQL cannot be read.", "A ) has no (.", "Correct it.")
        elif word == ",":
            expected = level.relations
        elif word == "SELECT":
            level.selects, level.relations, expected = True, False, False
        elif word == "FROM" and level.selects:
            is_compared = before == "DISTINCT" and tokens[at - 3].word in ("IS", "NOT")
            expected = not is_compared
            level.relations = level.relations or expected
        elif word in ("JOIN", "TABLE"):
            expected = True
        elif word in _ENDS_RELATIONS or word == "VALUES" or _begins_windows(tokens, at - 1):
            level.relations = expected = False
        elif expected and word in ("UNNEST", "LATERAL", "JSON_TABLE") and after == "(":
            expected = False
        elif expected and token.is_name:
            parts, start = [token], token.start
            while after == "." and at + 1 < len(tokens) and tokens[at + 1].is_name:
                parts.append(tokens[at + 1])
                at += 2
                after = tokens[at].word if at < len(tokens) else ""
            names = tuple(part.name for part in parts)
            follows = tokens[at] if at < len(tokens) else None
            has_alias = follows is not None and follows.is_name and after not in _NO_ALIAS
            found.append(Relation(names, start, parts[-1].end, after == "(", has_alias))
            if after == "FOR":
                raise Refused(
                    "FOR VERSION and FOR TIMESTAMP are not allowed here.",
                    "A statement reads one version.",
                    "Leave it out; `loc db history` lists the versions.",
                )
            expected = False
        else:
            expected = False
    if len(levels) > 1:
        raise Refused("The SQL cannot be read.", "A ( has no ).", "Correct it.")
    return found


def _begins_windows(tokens: list[Token], at: int) -> bool:
    """Whether the clause WINDOW begins here; the word may also be an alias."""
    following = tokens[at + 1 : at + 4]
    return (
        tokens[at].word == "WINDOW"
        and len(following) == 3
        and following[0].is_name
        and [one.word for one in following[1:]] == ["AS", "("]
    )


def _local(text: str, tokens: list[Token]) -> tuple[str, list[Token], list[Relation]]:
    """Leave out the name of the catalogue, before tables and before columns with all their names.

    Raises:
        Refused: a table is in another catalogue, or is none.
    """
    whole = set()
    for relation in (relations := _relations(tokens)):
        if relation.is_function:
            name = ".".join(relation.parts)
            if name not in TABLE_FUNCTIONS:
                raise Refused(
                    f"The table function {name} is not allowed here.",
                    "It can reach beyond the tables of the version.",
                    "Read tables; SHOW TABLES FROM marts lists them.",
                )
            continue
        if len(relation.parts) > 2:
            if len(relation.parts) > 3 or relation.parts[0] != CATALOGUE:
                raise _elsewhere(list(relation.parts))
            whole.add(relation.parts)
        _is_a_table(list(relation.parts))
    if not whole:
        return text, tokens, relations
    pieces, at = [], 0
    for place, token in enumerate(tokens):
        names = [one.name if one.is_name else one.word for one in tokens[place : place + 5]]
        if (
            token.is_name
            and (not place or tokens[place - 1].word != ".")
            and names[1::2] == [".", "."]
            and tuple(names[::2]) in whole
        ):
            pieces.append(text[at : token.start])
            at = tokens[place + 2].start
    text = "".join([*pieces, text[at:]])
    tokens = _tokens(text)
    return text, tokens, _relations(tokens)


def _is_a_table(parts: list[str]) -> None:
    if "$" in parts[-1] or "@" in parts[-1]:
        raise Refused(
            f"{'.'.join(parts)} is not a table.",
            "It names what Iceberg knows of a table, such as the least value of each file.",
            "Read tables; SHOW TABLES FROM marts lists them.",
        )
    if parts[1:]:
        _is_a_schema(parts[-2])


def _is_a_schema(name: str) -> None:
    if name == "system" or name.startswith("raw__"):
        raise Refused(
            f"The schema {name} is not allowed here.",
            "It holds what the tables are made of.",
            "SHOW SCHEMAS lists those that can be read.",
        )


def _elsewhere(parts: list[str]) -> Refused:
    return Refused(
        f"{'.'.join(parts)} may not be read here.",
        f"It is in the catalogue {parts[0]}; a statement reads one version of {CATALOGUE}.",
        "Name a table as schema.table; SHOW TABLES FROM marts lists them.",
    )


def _check_types(tokens: list[Token]) -> None:
    """Refuse nested brackets for which sqlglot's time doubles with each level.

    Raises:
        Refused: there are more than :data:`MAX_TYPED`.
    """
    opened: list[bool] = []
    before = ""
    for token in tokens:
        if token.word in ("(", "["):
            opened.append(token.word == "[" or before in _TYPES)
        elif token.word in (")", "]") and opened:
            opened.pop()
        if sum(opened) > MAX_TYPED:
            raise Refused(
                "The SQL is nested too deeply.",
                f"At most {MAX_TYPED} levels of arrays, rows and types are read.",
                "Make it simpler.",
            )
        before = token.word


def _parsed(text: str, tokens: list[Token]) -> exp.Expression:
    _check_types(tokens)
    try:
        trees = sqlglot.parse(text, read=DIALECT)
    except RecursionError:
        raise too_deep() from None
    except SqlglotError as error:
        first = str(error).split("\n")[0]
        raise Refused(
            "The SQL cannot be analysed.",
            f"Its parser says: {re.sub(chr(27) + r'.[0-9;]*m', '', first)}",
            "Write it in the SQL of Trino, more simply.",
        ) from error
    first = next((token.word for token in tokens if token.word != "("), "")
    if len(trees) != 1 or not isinstance(trees[0], exp.Query | exp.Values):
        if first == "TABLE":  # an older sqlglot reads `table orders` as an expression
            raise Refused(
                "TABLE is not allowed here.", "Only reading is.", "Write SELECT * FROM the table."
            )
        raise _not_a_query(first)
    if first not in ("SELECT", "WITH", "VALUES", "TABLE"):
        raise _not_a_query(first)
    return trees[0]


def _not_a_query(word: str, before: str = "") -> Refused:
    return Refused(
        f"{before}{word or 'This'} is not allowed here.",
        "Only reading is.",
        "Write a SELECT, SHOW or DESCRIBE, or EXPLAIN of a SELECT.",
    )


def _inspect(tree: exp.Expression, relations: list[Relation]) -> None:
    """Refuse what reaches out or is too large to plan, as far as sqlglot's tree shows it."""
    for node in _nodes(tree):
        if isinstance(node, _WRITES):
            raise _not_a_query(type(node).__name__.upper())
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            parts = list(_parts(node))
            if len(parts) > 2:
                raise _elsewhere(parts)
            _is_a_table(parts)
        if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
            raise Refused(
                f"The function {node.expression.name or type(node.expression).__name__} of another"
                " schema is not allowed here.",
                "It can reach beyond the tables of the version.",
                "Call Trino's own functions.",
            )
        if isinstance(node, exp.Column) and _HIDDEN.fullmatch(node.name):
            raise Refused(
                f"{node.name} is not a column.", "It tells where rows are stored.", "Leave it out."
            )
        if isinstance(node, exp.UserDefinedFunction):
            raise Refused(
                "WITH FUNCTION is not allowed here.", "Only queries are.", "Leave it out."
            )
        if _function(node) in ("lpad", "rpad", "format"):
            _is_short(node)
    joins = sum(1 for node in _nodes(tree) if isinstance(node, exp.Join))
    if joins > MAX_JOINS or _planned(tree) > MAX_RELATIONS:
        raise Refused(
            "The query is too large to plan.",
            f"It has over {MAX_JOINS} joins, or reads over {MAX_RELATIONS} tables, each WITH"
            " clause counted where it is named.",
            "Split it.",
        )


def functions(tree: exp.Expression) -> set[str]:
    """The names of the functions that a query calls, in lower case, as sqlglot writes them."""
    return {name for node in _nodes(tree) if (name := _function(node))}


def _function(node: exp.Expression) -> str:
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    if isinstance(node, exp.Pad):
        return "lpad" if node.args.get("is_left") else "rpad"
    return node.sql_name().lower() if isinstance(node, exp.Func) else ""


def _is_short(node: exp.Expression) -> None:
    """Refuse ``lpad``, ``rpad`` and ``format`` to a length that is not small."""
    arguments = [node.this, node.args.get("expression"), *node.expressions]
    if isinstance(node, exp.Anonymous):
        arguments = list(node.expressions)
    length = arguments[0 if _function(node) == "format" else 1] if arguments[1:] else None
    known = isinstance(length, exp.Literal)
    numbers = re.findall(r"\d+", length.name.replace("_", "")) if known else []
    if not known or any(int(number) > MAX_PADDED for number in numbers):
        raise Refused(
            "The length of lpad, rpad and in format must be a small number.",
            "A long one ends the server.",
            f"Write it as a literal of at most {MAX_PADDED}.",
        )


def _planned(tree: exp.Expression) -> int:
    """How many tables the plan reads once each WITH clause stands where it is named."""
    direct: dict[str, list[exp.Table]] = {}
    recursive = set()
    for cte in tree.find_all(exp.CTE):
        direct[cte.alias.lower()] = []
        if cte.parent is not None and cte.parent.args.get("recursive"):
            recursive.add(cte.alias.lower())
    for table in _tables(tree):
        cte = table.find_ancestor(exp.CTE)
        direct.setdefault(cte.alias.lower() if cte is not None else "", []).append(table)
    sizes: dict[str, int] = {}

    def size(name: str) -> int:
        if name not in sizes:
            sizes[name] = 1  # for a recursive clause that names itself
            total = sum(
                size(table.name.lower()) if not table.db and table.name.lower() in direct else 1
                for table in direct[name]
            )
            sizes[name] = total * (MAX_RECURSION if name in recursive else 1)
        return sizes[name]

    return size("") if "" in direct else 0


def _nodes(tree: exp.Expression) -> Iterator[exp.Expression]:
    return (item[0] if isinstance(item, tuple) else item for item in tree.walk())


def _tables(tree: exp.Expression | None) -> list[exp.Table]:
    """The nodes of tables, without table functions."""
    found = tree.find_all(exp.Table) if tree is not None else ()
    return [table for table in found if isinstance(table.this, exp.Identifier)]


def _parts(table: exp.Table) -> tuple[str, ...]:
    return tuple(part.lower() for part in (table.catalog, table.db, table.name) if part)


def too_deep() -> Refused:
    return Refused(
        "The SQL is nested too deeply.",
        f"At most {MAX_DEPTH} levels are read.",
        "Make it simpler.",
    )
