"""Locks read-only connections, and checks SQL that a person or a language model wrote.

There are two layers. ``connect`` opens a published file so that DuckDB itself refuses writes,
files, the network, extensions, secrets and changes of configuration. ``check`` parses a statement
with DuckDB's own parser and allows one SELECT, SHOW, DESCRIBE or SUMMARIZE, or an EXPLAIN of one.
The first layer alone is not enough: on a locked connection of DuckDB 1.5.5, ``CALL
enable_logging(storage = 'file', ...)``, ``json_structure`` of deeply nested text and ``lead(x,
-9223372036854775808)`` end the process, and temporary tables can shadow real ones.

``check`` does not look into views and macros of the database: they are trusted, like the pipelines
that publish them. DuckDB does not limit the memory of one string or list value (``repeat('x',
4000000000)``) nor the time of one call on it. So SQL of people or models runs in
:mod:`proto_loc.warehouse.query_process`, a process whose memory the system limits.
"""

import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import duckdb

from proto_loc.errors import LocError
from proto_loc.settings import settings
from proto_loc.sql import open_duckdb

LOCKED = {
    "enable_external_access": "false",
    "temp_directory": "",  # no spilling: a query over its memory fails and does not fill the disk
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    # without these two, FROM name reads a Python variable of the calling process
    "python_enable_replacements": "false",
    "python_scan_all_frames": "false",
    "lock_configuration": "true",
}
"""Options of every locked reader; ``config`` adds the limits."""

TABLE_FUNCTIONS = frozenset(
    {
        "generate_series",
        "range",
        "unnest",
        "json_each",
        "json_tree",
        "duckdb_columns",
        "duckdb_constraints",
        "duckdb_databases",
        "duckdb_functions",
        "duckdb_indexes",
        "duckdb_keywords",
        "duckdb_schemas",
        "duckdb_sequences",
        "duckdb_tables",
        "duckdb_types",
        "duckdb_views",
        "icu_calendar_names",
        "pg_timezone_names",
        "pragma_table_info",
        "pragma_version",
    }
)
"""Table functions that a checked statement may call: they make rows or describe the catalogue."""

REFUSED_FUNCTIONS = frozenset(
    {
        "currval",
        "getenv",
        "getvariable",
        "nextval",
        "pg_sleep",
        "setseed",
        "sleep_ms",
        "which_secret",
        "write_log",
        # odd arguments cause an internal error, after which the whole database object is invalid
        "reservoir_quantile",
        "make_type",
    }
)
# The json functions recurse, so that deeply nested text overflows the stack and kills the process.
_REFUSED_PATTERN = re.compile(
    r"(from_json|json_transform|json_structure|json_group_structure|json_merge_patch|json_contains"
    r"|json_(de)?serialize|json_execute|variant_|read_|write_|scan_)"
)

# Names that DuckDB reads as a file or a URL if no such table exists.
_FILE = re.compile(
    r"[/\\*?]|^~|\.(csv|tsv|txt|json|jsonl|ndjson|geojson|parquet|arrows?|feather|ipc|avro|orc|xlsx?|shp|gpkg"
    r"|db|ddb|duckdb|sqlite3?)(\.(gz|zst|bz2|xz|br|lz4))?$",
    re.IGNORECASE,
)

# DuckDB can serialise the statement after EXPLAIN, but not the EXPLAIN. This pattern matches only
# unambiguous prefixes: ASCII white space, and comments without another comment inside (DuckDB nests
# block comments).
_GAP = r"(?:[ \t\r\n\f\v]|--[^\r\n]*[\r\n]|/\*(?:(?!/\*|\*/).)*\*/)"
_EXPLAIN = re.compile(
    rf"{_GAP}*+explain(?:{_GAP}++analyze\b|{_GAP}*+\([ \t\r\n]*(?:analyze|format)\b[\w"
    rf" \t\r\n,]*\))?(?={_GAP}|\()",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)

MAX_LENGTH = 100_000  # characters
MAX_DEPTH = 600  # levels of the parse tree: about 290 operators in a row, or nested function calls
MAX_JOINS = 64  # planning 100 joins takes 12 seconds and cannot be interrupted
# nested subqueries and lambdas in expressions: each level doubles the time of planning
MAX_NESTED = 12
# CTEs that are NOT MATERIALIZED: each may double the plan, and the parse tree does not show them
MAX_INLINED = 8
_INLINED = re.compile(r"(?<!\bAS )\bMATERIALIZED\b", re.IGNORECASE)
_INT32 = 2**31


class Refused(LocError):
    """The statement is not allowed; nothing was run."""


class TooLong(LocError):
    """The statement ran longer than its timeout."""


@dataclass(frozen=True)
class Result:
    """The rows of a statement, at most ``limit`` of them."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    """The type of each column, as DuckDB names it."""
    rows: list[tuple]
    truncated: bool
    """Whether there were more rows than the limit."""


def config(memory: str | None = None, threads: int | None = None) -> dict[str, str]:
    """The DuckDB options of a locked reader.

    Args:
        memory: DuckDB's ``memory_limit``, such as ``512MB``; by default ``LOC_QUERY_MEMORY``.
        threads: worker threads; by default ``LOC_QUERY_THREADS``.
    """
    current = settings()
    return {
        "memory_limit": memory or current.query_memory,
        "threads": str(threads or current.query_threads),
        **LOCKED,
    }


def connect(
    path: str | os.PathLike, *, memory: str | None = None, threads: int | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a database file read-only and locked.

    Symbolic links are resolved first: the connection keeps one published version, and a later call
    opens the newest one. All calls of a process for one file must have the same limits.

    Raises:
        LocError: the file is missing, not a DuckDB database, locked by a writer, or open with
            another configuration.
    """
    file, options = Path(path).resolve(), config(memory, threads)
    try:
        try:
            return open_duckdb(file, read_only=True, config=options)
        except duckdb.PermissionException:
            # DuckDB applies options in the order of a hash table, and rejects temp_directory once
            # external access is disabled.
            return open_duckdb(file, read_only=True, config=dict(reversed(options.items())))
    except duckdb.ConnectionException as error:
        raise LocError(
            f"{file} is open in this process with another configuration.",
            _sentence(error),
            "Open it everywhere with the same memory and threads.",
        ) from error
    except duckdb.Error as error:
        raise LocError(
            f"{file} cannot be opened for reading.",
            _sentence(error),
            "Check that the path is that of a published database, and the settings LOC_QUERY_*.",
        ) from error


def check_length(sql: str) -> None:
    """Raise :class:`Refused` if ``sql`` is longer than :data:`MAX_LENGTH`."""
    if len(sql) > MAX_LENGTH:
        raise Refused(
            f"The SQL is too long, {len(sql)} characters.",
            f"At most {MAX_LENGTH} are read.",
            "Shorten it.",
        )


def split(sql: str) -> list[str]:
    """Split a script into its statements.

    Raises:
        Refused: it is too long, or does not parse.
    """
    texts = [statement.query for statement in _extract(sql)]
    return texts if all(texts) else [sql]  # no texts: DuckDB rewrote one statement into several


def explain(sql: str) -> str:
    """The EXPLAIN prefix of a statement; empty if it has none."""
    prefix = _EXPLAIN.match(sql)
    return prefix[0] if prefix else ""


def nodes(tree: object) -> Iterator[dict]:
    """Walk all nodes of a parse tree."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def same(one: object, other: object) -> bool:
    """Whether two parse trees are equal, apart from the positions of their nodes in the text."""
    return _without_positions(one) == _without_positions(other)


def check(sql: str) -> None:
    """Raise unless ``sql`` is one statement that only reads the database.

    Placeholders (``?``, ``$1``, ``$name``) pass; their values cannot become SQL.

    Raises:
        Refused: it is empty, too long, too deep, does not parse, or does what a reader may not do.
    """
    tree(sql)


@lru_cache(maxsize=256)
def tree(sql: str) -> dict:
    """Check a statement and return DuckDB's parse tree of it, without an EXPLAIN prefix.

    The tree is that of ``json_serialize_sql``. It is cached: do not change it.

    Raises:
        Refused: see :func:`check`.
    """
    kinds = [statement.type.name for statement in _extract(sql)]
    if not kinds:
        raise Refused(
            "There is no statement.", "The SQL is empty or holds only comments.", "Write a SELECT."
        )

    body = sql
    if kinds == ["EXPLAIN"]:
        prefix = explain(sql)
        if not prefix:
            raise Refused(
                "This form of EXPLAIN is not allowed.",
                "The statement after it cannot be parsed reliably.",
                "Write EXPLAIN or EXPLAIN ANALYZE, then the SELECT.",
            )
        body = sql[len(prefix) :]
    try:
        text = _parse(
            lambda con: con.execute(
                "SELECT json_serialize_sql(?::VARCHAR, skip_null := true, skip_empty := true,"
                " skip_default := true)",
                [body],
            ).fetchone()[0]
        )
        parsed = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    except (duckdb.Error, ValueError) as error:
        raise Refused(
            "The SQL cannot be analysed.", _sentence(error), "Make it simpler."
        ) from error
    if parsed["error"]:
        raise _not_a_select(sql, kinds, body is not sql)
    if len(parsed["statements"]) != 1:
        raise Refused(
            "Only one statement is allowed.",
            f"There are {len(parsed['statements'])}.",
            "Send them singly.",
        )
    (statement,) = parsed["statements"]
    _inspect(statement, inlined=len(_INLINED.findall(body)))
    return statement


def run(
    con: duckdb.DuckDBPyConnection,
    sql: str,
    params: list | dict | None = None,
    *,
    timeout: float = 30.0,
    limit: int = 10_000,
) -> Result:
    """Check a statement, run it and fetch its rows within ``timeout`` seconds.

    The rows are fetched here because DuckDB computes most of them during the fetch, and does not
    count fetched rows in its memory limit. A connection runs one statement at a time; each thread
    needs its own ``con.cursor()``. After an internal error of DuckDB, open a new connection.

    Raises:
        Refused: see :func:`check`; nothing was run.
        TooLong: it ran longer than ``timeout``.
        LocError: it ran out of memory, or DuckDB rejected it (no such column, a failed cast, ...).
    """
    check(sql)
    return execute(con, sql, params, timeout=timeout, limit=limit)


def execute(
    con: duckdb.DuckDBPyConnection,
    sql: str,
    params: list | dict | None = None,
    *,
    timeout: float = 30.0,
    limit: int = 10_000,
) -> Result:
    """Run a statement that :func:`check` has allowed, as :func:`run` does.

    Raises:
        TooLong, LocError: see :func:`run`.
    """
    expired = threading.Event()

    def cut() -> None:
        expired.set()
        con.interrupt()

    timer = threading.Timer(timeout, cut)
    timer.daemon = True
    timer.start()
    try:
        cursor = con.execute(sql, params)
        rows = cursor.fetchmany(limit + 1)
        names, types = zip(
            *((column[0], str(column[1])) for column in cursor.description), strict=True
        )
        return Result(names, types, rows[:limit], len(rows) > limit)
    except duckdb.Error as error:
        if expired.is_set():
            raise too_long(timeout) from error
        if isinstance(error, duckdb.OutOfMemoryException):
            raise LocError(
                "The query ran out of memory.",
                _sentence(error).split("\n")[0],
                "Read fewer columns or rows, aggregate more, or raise LOC_QUERY_MEMORY.",
            ) from error
        if isinstance(error, (duckdb.InternalException, duckdb.FatalException)):
            raise LocError(
                "DuckDB failed on this query.",
                _sentence(error).split("\n")[0],
                "Write the query differently, and open a new connection.",
            ) from error
        raise LocError(
            "The query failed.", _sentence(error), "Correct it and try again."
        ) from error
    finally:
        timer.cancel()
        timer.join()  # an interrupt on its way must not hit the next statement


def too_long(timeout: float) -> TooLong:
    """The error of a statement that ran longer than ``timeout`` seconds."""
    return TooLong(
        "The query was stopped.",
        f"It ran longer than {round(timeout, 2):g} seconds.",
        "Narrow it with WHERE, aggregate more, or check for a join without a condition.",
    )


def _extract(sql: str) -> list[duckdb.Statement]:
    if not isinstance(sql, str):
        raise Refused(
            "The SQL is not text.", f"It is of type {type(sql).__name__}.", "Pass a string."
        )
    check_length(sql)
    if "\0" in sql or any("\ud800" <= char <= "\udfff" for char in sql):
        raise Refused(
            "The SQL holds a NUL byte or half a character.",
            "It cannot be read reliably.",
            "Remove it.",
        )
    try:
        return _parse(lambda con: con.extract_statements(sql))
    except duckdb.Error as error:
        raise Refused(
            "The SQL does not parse.", _sentence(error), "Correct it and try again."
        ) from error


def _without_positions(node: object) -> object:
    if isinstance(node, dict):
        return {
            key: _without_positions(value) for key, value in node.items() if key != "query_location"
        }
    return [_without_positions(part) for part in node] if isinstance(node, list) else node


_parser_lock = threading.Lock()
_parser: duckdb.DuckDBPyConnection | None = None


def _parse(work):
    """Call ``work`` with a private, locked connection, in one thread at a time."""
    global _parser
    with _parser_lock:
        if _parser is None:
            # Locked as well, since the parser opens the files of IMPORT DATABASE.
            _parser = duckdb.connect(
                config={
                    "enable_external_access": "false",
                    "python_enable_replacements": "false",
                    "memory_limit": "256MB",
                    "threads": "1",
                }
            )
        return work(_parser)


def _inspect(statement: dict, inlined: int) -> None:
    """Walk the parse tree without recursion, and refuse functions and names that are forbidden."""
    joins = 0
    stack = [(statement, 0, 0)]
    while stack:
        node, depth, nested = stack.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        if isinstance(node, list):
            stack.extend(
                (child, depth + 1, nested) for child in node if isinstance(child, (dict, list))
            )
            continue
        kind = node.get("type")
        if kind == "TABLE_FUNCTION":
            name = (node.get("function") or {}).get("function_name", "")
            if name.lower() not in TABLE_FUNCTIONS:
                raise Refused(
                    f"The table function {name} is not allowed here.",
                    "It can reach beyond the database.",
                    "Read tables and views; SHOW ALL TABLES lists them.",
                )
        if "function_name" in node:
            name = node["function_name"].lower()
            if name in REFUSED_FUNCTIONS or _REFUSED_PATTERN.match(name):
                raise Refused(
                    f"The function {name} is not allowed here.",
                    "It has effects, or can end the process.",
                    "For JSON use json_extract or ->>; otherwise leave it out.",
                )
        if kind in ("BASE_TABLE", "SHOW_REF"):
            parts = (node.get("catalog_name"), node.get("schema_name"), node.get("table_name"))
            name = ".".join(part for part in parts if part)
            if _FILE.search(name.strip('"')):
                raise Refused(
                    f"{name} is not a table.",
                    "It names a file or an address, which a reader cannot open.",
                    "Read tables and views; SHOW ALL TABLES lists them.",
                )
        if node.get("id") == "VARIANT":
            raise Refused(
                "The type VARIANT is not allowed here.",
                "Nested JSON cast to it can end the process.",
                "Use JSON.",
            )
        offset = node.get("offset_expr")
        if offset is not None:
            value = (offset.get("value") or {}).get("value")
            if not isinstance(value, int) or abs(value) >= _INT32:
                raise Refused(
                    "The offset of lead or lag must be a small number.",
                    "Others can end the process.",
                    "Write it as a literal.",
                )
        joins += kind == "JOIN"
        nested += node.get("class") in ("LAMBDA", "SUBQUERY")
        if joins > MAX_JOINS or inlined > MAX_INLINED or nested > MAX_NESTED:
            raise Refused(
                "The query is too large to plan.",
                f"It has over {MAX_JOINS} joins, {MAX_NESTED} subqueries "
                f"or lambdas in one another, or {MAX_INLINED} CTEs that are NOT MATERIALIZED.",
                "Split it.",
            )
        stack.extend(
            (child, depth + 1, nested) for child in node.values() if isinstance(child, (dict, list))
        )


def _not_a_select(sql: str, kinds: list[str], explained: bool) -> Refused:
    if kinds == ["CREATE", "SELECT"] and re.search(r"\bpivot\b", sql, re.IGNORECASE):
        return Refused(
            "PIVOT needs its values named.",
            "Without them it takes two statements, one of them a CREATE.",
            "Write PIVOT ... ON column IN (value, ...).",
        )
    if len(kinds) > 1:
        return Refused(
            "Only one statement is allowed.",
            f"There are {len(kinds)}: {', '.join(kinds[:5])}.",
            "Send a single SELECT.",
        )
    # DuckDB rewrites a PRAGMA to a SELECT before it reports the kind.
    kind = (
        "EXPLAIN of this"
        if explained
        else {"SELECT": "PRAGMA"}.get(kinds[0], kinds[0].replace("_", " "))
    )
    return Refused(
        f"{kind} is not allowed here.",
        "Only reading is.",
        "Write a SELECT, SHOW, DESCRIBE or SUMMARIZE, or EXPLAIN of one.",
    )


def _too_deep() -> Refused:
    return Refused(
        "The SQL is nested too deeply.", f"At most {MAX_DEPTH} levels are read.", "Make it simpler."
    )


def _sentence(error: BaseException) -> str:
    text = str(error).strip()
    return text + "\n" if text.endswith("^") else text.rstrip(".") + "."
