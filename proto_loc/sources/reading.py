"""Reads a file of a declared table into DuckDB: rows with typed values, and rejected rows."""

import csv
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace as changed
from pathlib import Path
from urllib.parse import unquote

import duckdb

from proto_loc.errors import disk_is_full
from proto_loc.sources import Table
from proto_loc.sources.content import (
    CHUNK,
    LINE_LIMIT,
    Content,
    first_lines,
    prepare,
    refused,
    refusing_damage,
)
from proto_loc.sources.formats import Format
from proto_loc.sources.json_numbers import refuse_inexact
from proto_loc.sources.places import BROKEN_LIMIT, Relation, settle
from proto_loc.sources.values import Value, alias, columns, reasons, value
from proto_loc.sql import exact_glob, identifier, literal

NO_TEXT = "\x01\x02"
"""A text that no file has, so that DuckDB reads none as null and the declaration decides it."""

STORED_TEXT = "stored text"
"""Type of a text in a file that has null of its own, so that an empty text is no null."""

_PARTITION = re.compile(r"([^=/]+)=([^/]*)")


def partition_values(path: Path) -> dict[str, str]:
    """The values in the names of a file's folders, such as ``year=2025``, the outermost first."""
    values: dict[str, str] = {}
    for folder in reversed(path.absolute().parent.parts):
        if not (match := _PARTITION.fullmatch(folder)):
            break
        values = {match[1]: unquote(match[2]), **values}
    return values


def unique_headers(headers: Sequence[str]) -> list[str]:
    """Name every column of a file: the second ``x`` is ``x_2``, an empty third ``column_3``.

    Names that differ only in case are the same, as in DuckDB.
    """
    names: list[str] = []
    used = {header.strip().lower() for header in headers}
    seen: set[str] = set()
    for place, header in enumerate(headers, 1):
        name = header.strip() or f"column_{place}"
        number, free = 1, name
        while free.lower() in seen or (number > 1 and free.lower() in used):
            number += 1
            free = f"{name}_{number}"
        seen.add(free.lower())
        names.append(free)
    return names


def relation_of(
    con: duckdb.DuckDBPyConnection, path: Path, form: Format, scratch: Path
) -> tuple[Relation, Content, list[str]]:
    """Prepare a file, and return it as a relation whose fields have the file's own headers.

    Returns:
        The relation, the content, and the headers that the file leaves empty.

    Raises:
        LocError: the file cannot be read; the message names file and line.
    """
    content = prepare(path, form, scratch)
    if content.kind == "parquet":
        relation, empty = _parquet(con, path, content), []
    elif content.kind == "json":
        relation, empty = _json(con, path, content), []
    elif content.kind == "excel":
        relation, empty = _excel(path, content, form, scratch)
    else:
        relation, empty = _csv(path, content, form, scratch)
    return relation, content, empty


def _csv(path: Path, content: Content, form: Format, scratch: Path) -> tuple[Relation, list[str]]:
    lines = first_lines(content)
    with refusing_damage(path):
        header, before = csv_header(lines, form)
    if not header:
        raise refused(path, "It is empty: it has not even a header.", "Fetch or export it again.")
    start = 0
    if before:  # DuckDB would take a quote in such a line for the beginning of a value
        content = _without_lines(content, before, scratch / "tail.csv")
    if not form.header:
        headers = [f"column_{place}" for place in range(1, len(header) + 1)]
    else:
        headers = header
        start += sum(text.count("\n") for text in header) + 1
    return _relation_of_csv(content, headers, form, before, start), [
        name
        for name, text in zip(unique_headers(headers), headers, strict=True)
        if not text.strip()
    ]


def _without_lines(content: Content, count: int, target: Path) -> Content:
    """Copy a text without its first lines."""
    with open(content.path, "rb") as file, open(target, "wb") as copy:
        for _ in range(count):
            file.readline()
        shutil.copyfileobj(file, copy, CHUNK)
    return changed(content, path=target, lines=content.lines - count)


def csv_header(lines: Iterator[str], form: Format) -> tuple[list[str], int]:
    """The first record of a CSV text after skipped and blank lines, and the lines before it."""
    csv.field_size_limit(LINE_LIMIT)
    before = 0
    for _ in range(form.skip):
        if not next(lines, ""):
            return [], before
        before += 1
    quote = {"quotechar": form.quote} if form.quote else {"quoting": csv.QUOTE_NONE}
    for line in lines:
        if line.strip("\r\n"):
            if len(form.delimiter) > 1:
                return line.rstrip("\r\n").split(form.delimiter), before
            rest = (text for part in ([line], lines) for text in part)
            return next(csv.reader(rest, delimiter=form.delimiter, **quote), []), before
        before += 1
    return [], before


def _relation_of_csv(
    content: Content, headers: Sequence[str], form: Format, before: int, start: int, extra: str = ""
) -> Relation:
    places = [f"c{place}" for place in range(len(headers))] + ([extra] if extra else [])
    types = ", ".join(f"'{place}': 'VARCHAR'" for place in places)
    # Nobody asks for the rejects of a sheet, so a row that DuckDB cannot read is an error.
    rejects = "false" if extra else f"true, rejects_limit = {BROKEN_LIMIT}"
    sql = (
        f"read_csv({literal(exact_glob(content.path.absolute()))}, auto_detect = false,"
        f" header = {str(form.header and not extra).lower()}, skip = 0,"
        f" delim = {literal(form.delimiter)}, quote = {literal(form.quote)},"
        f" escape = {literal(form.quote)}, nullstr = {literal(NO_TEXT)}, columns = {{{types}}},"
        f" strict_mode = true, compression = 'none', hive_partitioning = false,"
        f" store_rejects = {rejects})"
    )
    fields = {
        name: (place, "VARCHAR")
        for name, place in zip(unique_headers(headers), places, strict=False)
    }
    return Relation(
        sql, fields, content=content, offset=before, start=start, width=len(places), form=form
    )


def _excel(path: Path, content: Content, form: Format, scratch: Path) -> tuple[Relation, list[str]]:
    from proto_loc.sources.sheets import write_csv

    target = scratch / "sheet.csv"
    headers = write_csv(path, content.path, form, target)
    text = Content(target, "excel", encoding="utf-8")
    relation = _relation_of_csv(text, headers, Format(), 0, 0, extra="line")
    empty = [
        name for name, header in zip(relation.fields, headers, strict=True) if not header.strip()
    ]
    return changed(relation, line="line::bigint", content=None), empty


def _json(con: duckdb.DuckDBPyConnection, path: Path, content: Content) -> Relation:
    objects = (
        f"read_json_objects({literal(exact_glob(content.path.absolute()))}, format = 'auto',"
        " compression = 'uncompressed', hive_partitioning = false)"
    )
    shapes = con.execute(
        "select case when json_type(json) = 'OBJECT' then json_keys(json) end as keys, count(*)"
        f" from {objects} group by keys"
    ).fetchall()
    names: dict[str, None] = {}
    for keys, _ in shapes:
        if keys is None:
            raise refused(
                path,
                "It has a value that is no record ({...}).",
                "Write one array of records, or one record a line.",
            )
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise refused(path, f"A record has the key {twice!r} twice.", "Keep one of them.")
        names |= dict.fromkeys(keys)
    rows = sum(count for _, count in shapes)
    pointers = [literal("/" + name.replace("~", "~0").replace("/", "~1")) for name in names]
    values = f"json_extract_string(json, [{', '.join(pointers)}]::varchar[])" if names else "[]"
    return Relation(
        f"(select {values} as texts, json from {objects})",
        {name: (f"texts[{place}]", STORED_TEXT) for place, name in enumerate(names, 1)},
        line="row_number() over ()" if rows == content.lines else "null::bigint",
    )


def _parquet(con: duckdb.DuckDBPyConnection, path: Path, content: Content) -> Relation:
    file = literal(exact_glob(content.path.absolute()))
    depth, names = 0, []
    schema = con.execute(f"select name, num_children, precision from parquet_schema({file})")
    for name, children, precision in schema.fetchall()[1:]:
        if depth == 0:
            names.append(name)
        if (precision or 0) > 38:
            raise refused(
                path,
                f"Column {name} is a decimal of {precision} digits, and DuckDB has 38.",
                "Write it with at most 38 digits, or as text; nothing was loaded.",
            )
        depth = max(depth - 1, 0) + (children or 0)
    sql = f"read_parquet({file}, binary_as_string = true, hive_partitioning = false)"
    described = con.execute(f"describe select * from {sql}").fetchall()
    return Relation(
        sql,
        {
            name: (identifier(row[0]), STORED_TEXT if row[1] == "VARCHAR" else row[1])
            for name, row in zip(unique_headers(names), described, strict=True)
        },
    )


def read(con: duckdb.DuckDBPyConnection, table: Table, path: Path, scratch: Path) -> None:
    """Read the file into the views ``rows`` and ``rejects``, each with a column ``_row``.

    ``rejects`` has the rows that break the declaration, with ``_reason``, ``_record``, ``_line``.

    Raises:
        LocError: the file cannot be read, has other columns, or has a row that breaks the
            declaration of a table without rejects. The message names file, row, line and column.
    """
    try:
        relation, content, empty = relation_of(con, path, table.format, scratch)
        fields = _fields(table, path, relation, empty, content)
        if content.kind == "json":
            columns_of = {field: column for column, field in fields.items()}
            keys = {
                key: columns_of[field]
                for key, field in relation.fields.items()
                if field in columns_of
            }
            lines = not relation.line.startswith("null")
            refuse_inexact(con, path, relation.sql, keys, table.columns, lines)
        values = [
            _value(index, column, kind, *fields[column], table.format)
            for index, (column, kind) in enumerate(table.columns.items())
        ]
        used = {expression for expression, _ in fields.values()}
        unnamed = [relation.fields[name][0] for name in empty]
        unnamed = tuple(place for place in unnamed if place not in used)
        places = [place for place, _ in relation.fields.values()]
        places = {
            index: places.index(expression)
            for index, (expression, _) in enumerate(fields.values())
            if expression in places
        }
        _judge(con, table, changed(relation, unnamed=unnamed), values, places)
        settle(con, table, path, relation, fields)
    except duckdb.Error as error:
        if disk_is_full(error):
            raise
        raise refused(path, str(error).split("\n\n")[0][:1000]) from error


def _value(
    index: int, column: str, kind: str, expression: str, file_kind: str, form: Format
) -> Value:
    if file_kind == STORED_TEXT:
        texts = form.nulls if form.text_nulls is None else form.text_nulls
        form = changed(form, text_nulls=tuple(text for text in texts if text))
        file_kind = "VARCHAR"
    return value(index, column, kind, expression, file_kind, form)


def _fields(
    table: Table, path: Path, relation: Relation, empty: Sequence[str], content: Content
) -> dict[str, tuple[str, str]]:
    """Find the declared columns among the file's, and in the names of its folders.

    Raises:
        LocError: a column is missing, or not declared.
    """
    form = table.format
    if content.kind in ("csv", "excel") and not form.header:
        places = [*relation.fields.values()]
        folders = [name for name in table.columns if name in partition_values(path)]
        names = [name for name in table.columns if name not in folders]
        fields = dict(zip(names, places, strict=False))
        more = [f"column {place}" for place in range(len(names) + 1, len(places) + 1)]
    else:
        lower = {name.lower(): name for name in table.columns}
        fields = {}
        headers: dict[str, str] = {}
        for header, field in relation.fields.items():
            name = form.headers.get(header, header)
            name = lower.get(name.lower(), name)
            if name in fields:
                raise refused(
                    path,
                    f"Two of its columns are {name}: {headers[name]} and {header}.",
                    "Remove one of them from the file, or give each a column in `headers` of the"
                    " declaration's format; nothing was loaded.",
                )
            fields[name], headers[name] = field, header
        left_out = {form.headers.get(name, name) for name in empty}
        more = [name for name in fields if name not in table.columns and name not in left_out]
    for name, text in partition_values(path).items():
        if name in table.columns and name not in fields:
            text = "null" if text == "__HIVE_DEFAULT_PARTITION__" else literal(text)
            fields[name] = f"{text}::varchar", "VARCHAR"
    if content.kind == "json" and not relation.fields:  # it has no records
        fields |= dict.fromkeys(table.columns, ("null::varchar", "VARCHAR"))
    missing = [column for column in table.columns if column not in fields]
    if missing or more:
        hint = ""
        if content.kind == "csv" and len(relation.fields) == 1 and len(table.columns) > 1:
            only = next(iter(relation.fields))
            marks = [mark for mark in ",;\t|" if mark in only and mark != form.delimiter]
            hint = f" Its delimiter may be {marks[0]!r}." if marks else ""
        raise refused(
            path,
            f"Columns missing: {', '.join(missing) or 'none'}; not declared:"
            f" {', '.join(more) or 'none'}.{hint}",
        )
    return {column: fields[column] for column in table.columns}


def _judge(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    relation: Relation,
    values: Sequence[Value],
    places: Mapping[int, int],
) -> None:
    """Read the relation once, into ``judged``: typed values and the reason of a bad row.

    Args:
        places: index of a value → index of its field in the file.
    """
    required = {column: "its key" for column in table.key}
    if table.partition_column:
        required[table.partition_column] = "its partition"
    faults = reasons(values, required)
    faults += [
        f"case when {place} <> '' then concat('a value without a header: ''', {place}, '''') end"
        for place in relation.unnamed
    ]
    if relation.content and relation.width > 3:
        faults += [
            _swallowing(index, place, relation.width, table.format)
            for index, place in places.items()
            if not values[index].faults
        ]
    sources = ", ".join(
        f"{column.source} as {alias(index)[0]}" for index, column in enumerate(values)
    )
    typed = ", ".join(f"{column.typed} as {alias(index)[1]}" for index, column in enumerate(values))
    more = "".join(f", {place}" for place in relation.unnamed)
    con.execute(
        f"create table judged as select {columns(values)},"
        f" {'coalesce(' + ', '.join(faults) + ', null)' if faults else 'null::varchar'} as _reason"
        f" from (select *, {typed} from (select {sources}{more} from {relation.sql}))"
    )


def _swallowing(index: int, place: int, width: int, form: Format) -> str:
    """The reason of a text that seems to hold whole rows, after a quote that is never closed.

    Such a text ends at a quote in the same field of a later row: its first line has the delimiters
    after that field, its last line those before it, and every line between those of a row.
    """
    text, _ = alias(index)
    lines = f"string_split({text}, chr(10))"
    marks = (
        f"list_transform(list_filter({lines}, lambda line: trim(line, chr(13)) <> ''),"
        f" lambda line: len(string_split(line, {literal(form.delimiter)})) - 1)"
    )
    return (
        f"case when contains({text}, chr(10)) and len({marks}) > 1"
        f" and {marks}[1] = {width - 1 - place}"
        f" and {marks}[-1] = {place}"
        f" and len(list_filter({marks}[2:-2], lambda number: number <> {width - 1})) = 0"
        " then 'an open quote takes in the next row' end"
    )
