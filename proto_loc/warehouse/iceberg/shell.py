"""A prompt for SQL on a version that Trino keeps, read-only."""

import sys
from contextlib import suppress

from proto_loc.warehouse.iceberg.connection import StatementFailed
from proto_loc.warehouse.iceberg.persons import PersonsConnection, Results

MOST = 1000
"""Rows that are printed of one statement."""
HELP = "SQL of Trino, ended by a semicolon; `show tables;` lists the tables; `exit` or Ctrl+D ends."


def run(connection: PersonsConnection, title: str, command: str | None) -> None:
    """Run one statement and print its rows, or ask a person for statements until the end.

    Raises:
        StatementFailed: the one statement cannot be run.
    """
    if command is not None:
        for text in _statements(command):
            _print(connection.sql(text))
        return
    with suppress(ImportError):
        import readline  # noqa: F401  # input() then has a history
    if sys.stdin.isatty():
        print(f"{title}\n{HELP}")
    written = ""
    while True:
        try:
            line = input(("   ...> " if written else "prod> ") if sys.stdin.isatty() else "")
        except EOFError:
            break
        except KeyboardInterrupt:
            print()
            written = ""
            continue
        if not written and line.strip().rstrip(";").lower() in ("exit", "quit", ".quit", ".exit"):
            return
        written += line + "\n"
        if line.rstrip().endswith(";"):
            _try(connection, written)
            written = ""
    if written.strip():
        _try(connection, written)


def _try(connection: PersonsConnection, text: str) -> None:
    try:
        for statement in _statements(text):
            _print(connection.sql(statement))
    except StatementFailed as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)


def _statements(text: str) -> list[str]:
    """Split at semicolons; a text that no statement of Trino has goes to it whole."""
    from proto_loc.warehouse.guard import Refused
    from proto_loc.warehouse.iceberg import statements

    try:
        return statements.split(text)
    except Refused:
        return [text]


def _print(results: Results) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    rows = results.fetchmany(MOST + 1)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for name, kind in zip(results.columns, results.types, strict=True):
        is_number = kind.partition("(")[0] in _NUMBERS
        table.add_column(escape(name), justify="right" if is_number else "left", overflow="fold")
    for row in rows[:MOST]:
        table.add_row(*("NULL" if value is None else escape(str(value)) for value in row))
    Console(soft_wrap=not sys.stdout.isatty()).print(table)
    if len(rows) > MOST:
        print(f"These are the first {MOST:,} rows.")
    results.close()


_NUMBERS = ("tinyint", "smallint", "integer", "bigint", "decimal", "real", "double")
