"""Makes Superset keep a statement unchanged, and read it as the engine of the data does.

Superset parses each statement of SQL Lab, virtual datasets and charts with sqlglot, and runs the
SQL that sqlglot generates. That is not always the same: in DuckDB, ``interval '1 day 06:30:00'``
lost its hours, ``4!`` became false; in Trino, ``decimal '1.50'`` became 2. This module keeps the
text of the statement. It adds a LIMIT at the end or around the statement, and replaces a table's
name by a row-level rule. After each change, the statement is parsed again, and the rest of it must
be the same; otherwise the statement is refused. What belongs to the engine's SQL is in
:class:`proto_loc.superset.doors.Sql`.
"""

import re

from flask import g
from superset.errors import ErrorLevel, SupersetError, SupersetErrorType
from superset.exceptions import (
    QueryClauseValidationException,
    SupersetErrorException,
    SupersetParseError,
    SupersetSecurityException,
)
from superset.sql import parse
from superset.sql.parse import BaseSQLStatement, LimitMethod, SQLScript, SQLStatement, Table

from proto_loc.superset import rules
from proto_loc.superset.doors import Tree, door
from proto_loc.warehouse import guard

_START = re.compile(r"\s*SELECT\s+(?:1\s+ORDER\s+BY\s+)?", re.IGNORECASE)
"""The text that Superset puts before an expression to parse it."""
_DOUBLE = 2**53


class Statement(BaseSQLStatement[str]):
    """One statement; its parsed form, in Superset's terms, is its text."""

    @classmethod
    def split_script(cls, script: str, engine: str) -> list["Statement"]:
        """Split a script into statements.

        Raises:
            SupersetParseError: it cannot be parsed.
        """
        try:
            found = [cls(text, engine) for text in door().sql.split(script)]
        except guard.Refused as error:
            raise SupersetParseError(script, engine, message=str(error)) from error
        if not found:  # Superset would answer with an error of its own code
            raise SupersetParseError(script, engine, message="There is no statement in it.")
        return found

    @classmethod
    def _parse_statement(cls, statement: str, engine: str) -> str:
        return statement

    @classmethod
    def _extract_tables_from_statement(cls, parsed: str, engine: str) -> set[Table]:
        sql = door().sql
        try:
            return {_as_named(*names) for names in sql.tables(sql.parse(parsed))}
        except guard.Refused:
            return set()  # the cursor refuses the statement later

    def format(self, comments: bool = True) -> str:
        return self._parsed

    def get_settings(self) -> dict[str, str | bool]:
        return {}

    def is_select(self) -> bool:
        return True

    def is_mutating(self) -> bool:
        return False  # the guard refuses other statements

    def optimize(self) -> "Statement":
        return self

    def check_functions_present(self, functions: set[str]) -> bool:
        names = {name.lower() for name in functions}
        return not door().sql.functions(self._tree()).isdisjoint(names)

    def check_tables_present(self, tables: set[str]) -> bool:
        return not {table.table.lower() for table in self.tables}.isdisjoint(
            name.lower() for name in tables
        )

    def get_limit_value(self) -> int | None:
        """The number of the LIMIT at the end of the statement, if any."""
        try:
            return door().sql.limit(self._tree())
        except guard.Refused:
            return None

    def set_limit_value(self, limit: int, method: LimitMethod = LimitMethod.FORCE_LIMIT) -> None:
        """Limit its rows, unless it is an EXPLAIN or ends with a LIMIT that is as low."""
        self._parsed = door().sql.limited(self._parsed, limit)

    def has_cte(self) -> bool:
        return False  # Superset asks only for databases whose subqueries have no CTE

    def has_subquery(self) -> bool:
        return door().sql.has_subquery(self._tree())

    def parse_predicate(self, predicate: str) -> str:
        return predicate

    def apply_rls(
        self, catalog: object, schema: object, predicates: object, method: object
    ) -> None:
        """Apply the user's rules; Superset's own search knows only one spelling of a name."""
        self._parsed = rules.put(self._parsed)

    def _tree(self) -> Tree:
        return door().sql.parse(self._parsed)


def _as_named(schema: str | None, name: str) -> Table:
    """The table with the exact name of its dataset: Superset's names are case-sensitive.

    By that name Superset finds a user's rules, rights and cache key.
    """
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db

    if "loc_datasets" not in g:
        rows = db.session.query(SqlaTable.schema, SqlaTable.table_name).filter(
            SqlaTable.sql.is_(None)
        )
        g.loc_datasets = {
            (str(schema).lower(), table.lower()): (schema, table) for schema, table in rows
        }
    known = g.loc_datasets.get((str(schema).lower(), name.lower()))
    return Table(known[1], known[0]) if known else Table(name, schema)


def clause(text: str, engine: str) -> str:
    """Check an expression, and return it in a form that is safe within other SQL.

    It may follow ``SELECT`` or ``SELECT 1 ORDER BY``. The text stays as it is if possible. If not,
    for example because a comment at its end would hide the following SQL, Superset's rewrite is
    used, provided that it parses to the same tree.

    Raises:
        QueryClauseValidationException: it is not an expression, or is not safe within other SQL.
    """
    start = (_START.match(text) or ["SELECT "])[0]
    expression = _START.sub("", text)
    try:
        written = door().sql.parse(f"{start}{expression}\n")
    except guard.Refused as error:
        raise QueryClauseValidationException(str(error)) from error
    if _reads(f"{start}({expression})", written):
        return text
    rewritten = _sanitize_clause(text, engine)
    if _reads(start + _START.sub("", rewritten), written):
        return rewritten
    raise QueryClauseValidationException(
        f"This cannot stand between other SQL: {text}. Leave out its comments."
    )


def _reads(text: str, tree: Tree) -> bool:
    """Whether a statement is parsed to this tree."""
    try:
        return door().sql.same(door().sql.parse(text), tree)
    except guard.Refused:
        return False


def expression(text: str, *_: object) -> str:
    """Replace Superset's ``validate_adhoc_subquery``: refuse every subquery in an expression.

    Raises:
        SupersetParseError: it cannot be parsed, or the guard refuses it.
        SupersetSecurityException: it has a subquery or a FROM clause.
    """
    sql = door().sql
    try:
        tree = sql.parse(text if _START.match(text) else f"SELECT {text}")
    except guard.Refused as error:
        raise SupersetParseError(text, door().name, message=str(error)) from error
    if sql.has_from(tree) or sql.has_subquery(tree):
        message = "Custom SQL fields cannot contain sub-queries."
        kind = SupersetErrorType.ADHOC_SUBQUERY_NOT_ALLOWED_ERROR
        raise SupersetSecurityException(SupersetError(message, kind, ErrorLevel.ERROR))
    return text


class _Pretty:
    """Formats a script for SQL Lab; keeps a statement whose meaning the format would change."""

    def __init__(self, script: str, engine: str) -> None:
        self._texts = [statement.format() for statement in Statement.split_script(script, engine)]

    def format(self) -> str:
        return ";\n".join(map(self._laid_out, self._texts))

    @staticmethod
    def _laid_out(text: str) -> str:
        try:
            pretty = SQLStatement(text, door().name).format()
            return pretty if door().sql.keeps(pretty, text) else text
        except (SupersetErrorException, guard.Refused):
            return text


def _exact(normalize_df):
    """Wrap Superset's ``normalize_df`` so that integers beyond a double's precision stay exact."""

    def normalized(self, df, query_object):
        exact = {
            name: column.copy()
            for name, column in df.items()
            if column.dtype == object
            and any(isinstance(value, int) and abs(value) > _DOUBLE for value in column)
        }
        df = normalize_df(self, df, query_object)
        for name, column in exact.items():
            df[name] = column
        return df

    return normalized


_sanitize_clause = parse.sanitize_clause


def install() -> None:
    """Replace Superset's SQL parsing for the engine everywhere."""
    from superset import viz
    from superset.common import query_object
    from superset.models import helpers
    from superset.sqllab import api
    from superset.utils import core

    SQLScript.special_engines = SQLScript.special_engines | {door().name: Statement}
    for module in (parse, viz, query_object, helpers, core):
        module.sanitize_clause = clause
    helpers.validate_adhoc_subquery = expression
    helpers.ExploreMixin.normalize_df = _exact(helpers.ExploreMixin.normalize_df)
    api.SQLScript = _Pretty
