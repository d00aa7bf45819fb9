"""Sorts the rows of a file into good and rejected ones, and tells on which line each is."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from proto_loc.sources import Table
from proto_loc.sources.content import CHUNK, LINE_LIMIT, Content, refused, refusing_damage
from proto_loc.sources.formats import Format
from proto_loc.sql import identifier, literal

BROKEN_LIMIT = 100_000
"""Greatest number of rows with too few or too many values, or an open quote, in one file."""


@dataclass(frozen=True)
class Relation:
    """A prepared file as an SQL relation."""

    sql: str
    fields: Mapping[str, tuple[str, str]]
    """Column of the declaration → expression of its value in the file, and its type."""
    line: str = "null::bigint"
    """Expression of the line of a row, where the relation knows it."""
    unnamed: tuple[str, ...] = ()
    """Expressions of columns without a header, which have to be empty."""
    content: Content | None = None
    """The CSV text, whose broken rows DuckDB reports."""
    offset: int = 0
    """Number of lines of the file before the CSV text."""
    start: int = 0
    """Number of lines of the CSV text before its first row."""
    width: int = 0
    """Number of values of a row of a CSV text."""
    form: Format = field(default_factory=Format)
    """How the text is written."""


@dataclass(frozen=True)
class Broken:
    """A row that DuckDB could not split into values."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True)
class Place:
    """Where a record of a text is."""

    row: int
    """Its position among all records, from 1."""
    line: int
    """The line on which it begins, from 1."""


def lines_of_bytes(path: Path, positions: Sequence[int]) -> list[int]:
    """The line of each record of a text, from 1.

    Args:
        positions: sorted offsets, each of a record or of line ends before it, as DuckDB gives them.
    """
    lines: list[int] = []
    line, offset = 1, 0
    with open(path, "rb") as file:
        for position in positions:
            while offset < position and (chunk := file.read(min(CHUNK, position - offset))):
                line += chunk.count(b"\n")
                offset += len(chunk)
            while (chunk := file.read(1 << 12)) and not (record := chunk.lstrip(b"\r\n")):
                line += chunk.count(b"\n")
                offset += len(chunk)
            ends = chunk[: len(chunk) - len(record)] if chunk else b""
            line, offset = line + ends.count(b"\n"), offset + len(ends)
            file.seek(offset)
            lines.append(line)
    return lines


def records(path: Path, form: Format, offset: int) -> Iterator[Place]:
    """The records of a CSV text after its header, blank lines apart, in one streaming pass.

    Args:
        offset: number of lines of the file before the text.
    """
    csv.field_size_limit(LINE_LIMIT * 1000)
    quote = {"quotechar": form.quote} if form.quote else {"quoting": csv.QUOTE_NONE}
    with open(path, "rb") as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        reader = csv.reader(file, delimiter=form.delimiter[-1], **quote)
        row, end = (0 if form.header else 1), offset
        for record in reader:
            if record:
                if row:
                    yield Place(row, end + 1)
                row += 1
            end = offset + reader.line_num


def settle(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    path: Path,
    relation: Relation,
    fields: Mapping[str, tuple[str, str]],
) -> None:
    """Make ``rows`` and ``rejects`` of ``judged`` and of the rows that DuckDB could not split.

    Raises:
        LocError: a table without rejects has such rows, or its rows cannot be told apart.
    """
    broken = _broken(con, path, relation)
    _mark_duplicates(con, table)
    total, bad = con.execute("select count(*), count(_reason) from judged").fetchone()
    if not (total or broken) and table.min_rows:
        raise refused(
            path,
            "It has no rows.",
            "Fetch or export it again; a table that may be empty declares min_rows=0.",
        )
    con.execute("create table lines (_position bigint, _line bigint)")
    line, rows = "coalesce(lines._line, records._line)", [item.line for item in broken]
    if relation.content is not None:
        if relation.start + total + len(broken) == relation.content.lines:  # a row, a line
            start = relation.offset + relation.start
            line, rows = f"_row + {start}", [row - start for row in rows]
        elif bad or broken:
            rows = _walk(con, path, relation, rows, total)
    _place(con, rows)
    names = ", ".join(map(identifier, table.columns))
    con.execute(f"create view rows as select {names}, _row from placed where _reason is null")
    con.execute("create table rejects (_reason varchar, _record json, _line bigint, _row bigint)")
    if bad:
        raw = ", ".join(f"{identifier(name)} := {text}" for name, (text, _) in fields.items())
        con.execute(
            f"insert into rejects select _reason, _record, {line}, _row from (select _position,"
            f" _row, _reason from placed where _reason is not null"
            f"{'' if table.rejects else ' order by _row limit 1'})"
            f" join (select to_json(struct_pack({raw})) as _record, {relation.line} as _line,"
            f" row_number() over () as _position from {relation.sql}) records using (_position)"
            " left join lines using (_position)"
        )
    if broken:
        con.execute(
            "insert into rejects select unnest(?), json_object('text', unnest(?)), unnest(?),"
            " unnest(?)",
            [[i.reason for i in broken], [i.text for i in broken], [i.line for i in broken], rows],
        )
    if not table.rejects:
        _refuse_first(con, path)


def _refuse_first(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuse a file with its first bad row."""
    first = con.execute("select _row, _reason, _line from rejects order by _row limit 1").fetchone()
    if first:
        line = f", on line {first[2]:,} of the file" if first[2] else ""
        raise refused(path, f"Row {first[0]}, {first[1]}{line}.")


def _broken(con: duckdb.DuckDBPyConnection, path: Path, relation: Relation) -> list[Broken]:
    """The rows that DuckDB could not split into values, in their order."""
    if relation.content is None:
        return []
    errors = con.execute(
        "select line_byte_position, arg_min(error_type::varchar, coalesce(column_idx, 0)),"
        " arg_min(error_message, coalesce(column_idx, 0)), any_value(csv_line) from reject_errors"
        " group by 1 order by 1"
    ).fetchall()
    if len(errors) >= BROKEN_LIMIT:
        raise refused(
            path, f"At least {BROKEN_LIMIT:,} rows have another number of values than the header."
        )
    lines = lines_of_bytes(relation.content.path, [position - 1 for position, *_ in errors])
    return [
        Broken(relation.offset + line, _sentence(kind, message), text or "")
        for line, (_, kind, message, text) in zip(lines, errors, strict=True)
    ]


def _sentence(kind: str, message: str) -> str:
    counts = re.search(r"Columns: (\d+) Found: (\d+)", message or "")
    if counts:
        return f"the row has {counts[2]} values, and the header {counts[1]}"
    if kind == "UNQUOTED VALUE":
        return "a value has an open quote, or text after its closing quote"
    if kind == "LINE SIZE OVER MAXIMUM":
        return f"the row is longer than {LINE_LIMIT:,} bytes"
    return (message or kind.lower()).rstrip(".")


def _mark_duplicates(con: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Give the later rows of a key their reason."""
    if not table.key:
        return
    key = ", ".join(map(identifier, table.key))
    sound = "from judged where _reason is null"
    if con.execute(f"select 1 {sound} group by {key} having count(*) > 1 limit 1").fetchone():
        start = literal(f"key {', '.join(table.key)}: ")
        con.execute(
            f"update judged set _reason = concat({start}, concat_ws(', ', {key}),"
            " ' is there twice') where rowid in (select id from (select rowid as id, row_number()"
            f" over (partition by {key} order by rowid) as number {sound}) where number > 1)"
        )


def _walk(
    con: duckdb.DuckDBPyConnection, path: Path, relation: Relation, broken: list[int], total: int
) -> list[int]:
    """Fill ``lines`` for the bad rows of a text with blank lines or quoted line ends.

    Returns:
        The position among all rows of each broken one.

    Raises:
        LocError: there are too many bad rows, or Python and DuckDB count different rows.
    """
    bad = con.execute(
        "select rowid + 1, _reason from judged where _reason is not null order by 1"
        f" limit {BROKEN_LIMIT + 1}"
    ).fetchall()
    if len(bad) > BROKEN_LIMIT:
        raise refused(
            path,
            f"More than {BROKEN_LIMIT:,} rows break the declaration; the first is row {bad[0][0]},"
            f" {bad[0][1]}.",
        )
    wanted, starts = {position for position, _ in bad}, set(broken)
    places, rows, position = [], [], 0
    with refusing_damage(path):
        for place in records(relation.content.path, relation.form, relation.offset):
            if place.line in starts:
                rows.append(place.row)
                continue
            position += 1
            if position in wanted:
                places.append((position, place.line))
    if position != total or len(rows) != len(broken):
        line = f"Line {broken[0]:,}: " if broken else ""
        raise refused(path, f"{line}A quote is open, so that its rows cannot be told apart.")
    if places:
        con.execute(
            "insert into lines select unnest(?), unnest(?)",
            [list(column) for column in zip(*places, strict=True)],
        )
    return rows


def _place(con: duckdb.DuckDBPyConnection, broken: list[int]) -> None:
    """Make ``placed``: ``judged`` with ``_position`` among its own rows, ``_row`` among all."""
    query = "select *, rowid + 1 as _position from judged"
    if not broken:
        con.execute(f"create view placed as select *, _position as _row from ({query})")
        return
    con.execute(
        "create table gaps as select row - number as behind, max(number) as shift from"
        " (select unnest(?) as row, unnest(?) as number) group by 1",
        [broken, list(range(1, len(broken) + 1))],
    )
    con.execute(
        "create table placed as select * exclude (behind, shift),"
        f" _position + coalesce(shift, 0) as _row from ({query}) asof left join gaps"
        " on _position > behind order by _position"
    )
