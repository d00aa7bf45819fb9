"""Says what of a statement DuckDB runs and Trino does not, or reads in another way.

sqlglot's Trino parser accepts more than Trino, so each construct here is one that it lets through.
docs/portable-sql.md has what to write instead.
"""

from collections.abc import Iterator
from pathlib import Path

import jinja2
import sqlglot
from sqlglot import Token, TokenType, exp

from proto_loc.settings import ROOT

FUNCTIONS = {
    *("abs", "bool_and", "bool_or", "cast", "coalesce", "count", "date_diff", "date_trunc"),
    *("dense_rank", "extract", "first_value", "floor", "lag", "last_value", "lead", "length", "ln"),
    *("lower", "max", "min", "mod", "nullif", "power", "rank", "replace", "round", "row"),
    *("row_number", "split_part", "sqrt", "starts_with", "strpos", "substr", "sum", "to_base64"),
    *("trim", "try_cast", "upper"),
}
"""Functions that both engines have, with the same arguments and the same result."""
TYPES = {"boolean", "int", "bigint", "double", "decimal", "varchar", "date", "timestamp"}
"""Types that DuckDB, Trino and Iceberg have."""
PARTS = {"year", "quarter", "month", "week", "day", "hour", "minute", "second"}
"""Parts of a time that mean the same; ``dow`` does so only modulo 7."""
RESERVED = {
    *("alter", "constraint", "current_catalog", "current_path", "current_role"),
    *("current_schema", "current_user", "deallocate", "delete", "describe", "drop", "execute"),
    *("insert", "json_array", "json_exists", "json_object", "json_query", "json_table"),
    *("json_value", "listagg", "localtime", "localtimestamp", "normalize", "prepare", "skip"),
    *("trim", "uescape"),
}
"""Words that Trino reserves, and that DuckDB takes for a name."""
CONSTRUCTS = {
    exp.Distinct: ("distinct on", lambda node: node.args.get("on")),
    exp.Glob: ("glob", None),
    exp.Group: ("group by all", lambda node: node.args.get("all")),
    exp.ILike: ("ilike", None),
    exp.Is: ("is true", lambda node: not isinstance(node.expression, exp.Null)),
    exp.Lambda: ("a lambda", None),
    exp.Pivot: ("pivot", None),
    exp.SetOperation: ("by name", lambda node: node.args.get("by_name")),
    exp.Slice: ("a slice", None),
    exp.Star: ("a star without some columns", lambda node: any(node.args.values())),
    exp.Struct: ("a struct", None),
    exp.TableSample: ("a sample", None),
    exp.Tuple: ("a tuple", lambda node: not isinstance(node.parent, exp.Values)),
    exp.Join: ("an anti, semi, asof or positional join", lambda node: (
        {node.kind, node.method} & {"ANTI", "SEMI", "ASOF", "POSITIONAL"}
    )),
}  # fmt: skip
"""Node → what it is, and whether it is one that Trino refuses."""
MACROS = ("calendar", "json")
"""Files of the platform's macros that models may use."""
WORDS_BEFORE_BRACKETS = {
    *("and", "any", "as", "between", "by", "case", "distinct", "else", "except", "exists"),
    *("filter", "from", "having", "in", "intersect", "is", "join", "not", "on", "or", "over"),
    *("select", "then", "union", "using", "values", "when", "where", "all", "like"),
}
"""Words that an opening parenthesis may follow without being a function."""


def faults(sql: str) -> list[str]:
    """Return what of a statement is not portable; an empty list if all of it is."""
    items = set(_in_tokens(sqlglot.tokenize(sql, read="duckdb")))
    try:
        items.update(_in_tree(sqlglot.parse_one(sql, dialect="trino")))
    except sqlglot.errors.ParseError as error:
        fault = error.errors[0]
        items.add(f"line {fault['line']} does not parse as Trino: {fault['description']}")
    return sorted(items)


def _in_tokens(tokens: list[Token]) -> Iterator[str]:
    """What sqlglot rewrites while it parses."""
    words = ["(", *(token.text.lower() for token in tokens), "", ""]
    for place, token in enumerate(tokens, 1):
        before, word, after = words[place - 1 : place + 2]
        if token.token_type == TokenType.DCOLON:
            yield "a cast by ::"
        elif word in ("==", "//", "^", "**", "~", "!~"):
            yield f"the operator {word}"
        elif word == "[" and not _is_subscript_or_array(tokens[place - 2] if place > 1 else None):
            yield "a list without the word array"
        elif word == "limit" and "offset" in words[place:]:
            yield "limit before offset"
        elif word == "from" and before == "(":
            yield "from without select"
        elif token.token_type == TokenType.IDENTIFIER:
            continue
        elif word == "interval" and tokens[place].token_type != TokenType.STRING:
            yield "an interval without quotes"
        elif after == "(" and word.isidentifier():
            known = word in FUNCTIONS | TYPES | WORDS_BEFORE_BRACKETS
            if not known and before != "as" and not _names_columns(words, place + 1):
                yield f"the function {word}"
        elif word in RESERVED and place > 1:  # the first word is the statement's
            yield f"the name {word}, which Trino reserves"


def _names_columns(words: list[str], opening: int) -> bool:
    """Whether a parenthesis has the columns of a common table: ``with NAME (COLUMN) as (``."""
    closing = words.index(")", opening) if ")" in words[opening:] else opening
    return words[closing + 1 : closing + 3] == ["as", "("]


def _is_subscript_or_array(before: Token | None) -> bool:
    return before is not None and (
        before.token_type in (TokenType.VAR, TokenType.IDENTIFIER, TokenType.R_PAREN)
        or before.text.lower() in ("array", "]")
    )


def _in_tree(tree: exp.Expression) -> Iterator[str]:
    for node in tree.walk():
        for kind, (name, refused) in CONSTRUCTS.items():
            if isinstance(node, kind) and (refused is None or refused(node)):
                yield name
        if isinstance(node, exp.DataType):
            yield from _in_type(node)
        elif isinstance(node, exp.Div) and not any(map(_is_double, (node.left, node.right))):
            yield "a division without a cast to double"
        elif isinstance(node, exp.Extract):
            yield from _in_extract(node)
        elif isinstance(node, (exp.DateTrunc, exp.TimestampTrunc)):
            if _unit(node) not in PARTS:
                yield f"date_trunc of {_unit(node)}"
        elif isinstance(node, exp.DateDiff):
            if not all(_is_whole(side, _unit(node)) for side in (node.this, node.expression)):
                yield "date_diff of times that are not whole units"
        elif isinstance(node, exp.Bracket) and not all(
            isinstance(index, exp.Literal) and index.is_int for index in node.expressions
        ):  # sqlglot counts from 0, and has a negative number for what SQL counts from 0
            yield "an index that is no number from 1 on"
        elif isinstance(node, exp.SplitPart):
            if not (isinstance(node.args["part_index"], exp.Literal)):
                yield "split_part by something other than a number from 1 on"
        elif isinstance(node, exp.Select):
            yield from _in_names(node)


def _in_type(node: exp.DataType) -> Iterator[str]:
    name = node.this.value.lower()
    if name == "decimal" and len(node.expressions) < 2:
        yield "a decimal without precision and scale"
    elif name not in TYPES | {"interval"}:
        yield f"the type {name}"


def _in_extract(node: exp.Extract) -> Iterator[str]:
    part, above = node.name.lower(), node.parent
    while isinstance(above, (exp.Paren, exp.Add)):
        above = above.parent
    if part == "dow" and isinstance(above, exp.Mod) and above.expression.name == "7":
        return
    if part not in PARTS:
        yield f"extract of {part}"


def _in_names(select: exp.Select) -> Iterator[str]:
    """Names that Trino does not know at their place: aliases of the same select, columns of using.

    Where an alias is made of a column of the same name, that column is meant.
    """
    aliases = {
        item.alias.lower()
        for item in select.expressions
        if isinstance(item, exp.Alias)
        and item.alias.lower() not in {column.name.lower() for column in item.find_all(exp.Column)}
    }
    joined = {
        column.name.lower()
        for join in select.args.get("joins") or ()
        for column in join.args.get("using") or ()
    }
    order = select.args.get("order")
    for column in select.find_all(exp.Column):
        if column.find_ancestor(exp.Select) is not select:
            continue
        name = column.name.lower()
        if column.table and name in joined:
            yield f"{column.table}.{name}, which the join by using has merged"
        if column.table or name not in aliases:
            continue
        if order is None or order not in _ancestors(column):  # order by may name an alias
            yield f"the alias {name} in the select that makes it"


def _ancestors(node: exp.Expression) -> list[exp.Expression]:
    above = []
    while node := node.parent:
        above.append(node)
    return above


def _unit(node: exp.Expression) -> str:
    return (node.args.get("unit") or exp.var("day")).name.lower()


def _is_double(node: exp.Expression) -> bool:
    node = node.unnest()
    return isinstance(node, (exp.Cast, exp.TryCast)) and node.to.is_type("double")


def _is_whole(node: exp.Expression, unit: str) -> bool:
    """Whether a time has nothing below a unit, so that both engines count the same."""
    if isinstance(node, (exp.DateTrunc, exp.TimestampTrunc)):
        return _unit(node) == unit
    return unit == "day" and isinstance(node, exp.Cast) and node.to.is_type("date")


def rendered(sql: str, **names: object) -> str:
    """Render a model's text with :data:`MACROS`, without dbt.

    Args:
        names: what else the text uses.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    macros = [(ROOT / f"proto_loc/dbt/macros/{name}.sql").read_text() for name in MACROS]
    return environment.from_string("".join([*macros, sql])).render(
        {
            "ref": lambda *parts: f'"{parts[-1]}"',
            "source": lambda *parts: f'"raw"."{parts[0]}"."{parts[1]}"',
        }
        | names
    )


def models(folder: Path) -> dict[str, str]:
    """The rendered models of a folder, by path."""
    return {
        str(path.relative_to(folder)): rendered(path.read_text())
        for path in sorted(folder.rglob("*.sql"))
    }
