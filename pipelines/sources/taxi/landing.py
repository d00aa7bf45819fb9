"""Files that the user drops: TLC's shapes as Parquet, CSV or JSON, checked whole and brought into the lake's form.

:func:`inspect` reads a file to its end and either says what it is or refuses it; only then does :func:`convert` write.
All reading of rows is DuckDB's, streaming. Text is read as text first and cast by us, so that a value which does not
fit is named instead of guessed at.
"""

import csv
import glob
import gzip
import hashlib
import io
import json
import os
import re
import stat
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from pipelines.sources.taxi.schema import COLUMNS, META, Colour, Column, pickup
from proto_loc.errors import LocError
from proto_loc.settings import settings

ROW_GROUP = 122_880
NAME_IT = "Name it as TLC does, for example yellow_tripdata_2025-02.parquet."

_FORMATS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".ndjson": "json", ".jsonl": "json"}
_MONTH = re.compile(r"(?<!\d)(20\d\d-(?:0[1-9]|1[0-2]))(?!\d)")
_FOR_HIRE = {"dispatching_base_num", "hvfhs_license_num", "affiliated_base_number", "originating_base_num"}
_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)")
# A time without a zone: the tables hold New York's local time, and a cast would drop an offset without a word.
_TIME = r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"


@dataclass(frozen=True)
class SourceFile:
    """A file that :func:`inspect` has read and found good."""

    path: Path
    name: str
    """Base name as given; becomes ``_source_file``."""
    format: str
    """``parquet``, ``csv`` or ``json`` (an array of records, or a record a line)."""
    colour: Colour
    month: str
    """``YYYY-MM``."""
    rows: int
    sha256: str
    size: int
    """Bytes."""
    mtime_ns: int
    columns: Mapping[str, str | None] = field(hash=False)
    """Canonical column name → the file's own name for it, or None where it is absent and becomes NULL."""
    extra: tuple[str, ...] = ()
    """Columns of the file that the trip tables do not have; they are left out."""


def inspect(path: Path) -> SourceFile:
    """Read ``path`` to its end and say what it is; write nothing but scratch.

    Names are matched without regard to case and surrounding spaces. The month is the one in the file's name, else the
    one that at least 95 % of the pick-ups are in.

    Raises:
        LocError: the file is not usable, with the column, row and value where it is one of those. Rows are counted
            from 1, without a CSV file's header.
    """
    path = Path(path).absolute()
    format = _format(path)
    before = _stat(path)
    sha256 = _sha256(path)
    with _reading(path, format) as reader:
        colour, columns, extra = _match(path, reader.names)
        rows, months = _check(reader, path, colour, columns)
        month = _month(path, rows, months)
    _unchanged(path, before)
    return SourceFile(path, os.fsencode(path.name).decode(errors="replace"), format, colour, month, rows, sha256,
                      before.st_size, before.st_mtime_ns, columns, extra)


def convert(source: SourceFile, target: Path, *, load_id: int, loaded_at: datetime) -> int:
    """Write ``source`` to ``target`` as one Parquet file in :func:`schema.lake_schema`'s form; return its rows.

    ``target`` appears whole or not at all, and replaces a file of that name. ``loaded_at`` is taken as UTC where it
    has no zone.

    Raises:
        LocError: the file has changed since :func:`inspect`, or not all of its rows arrived.
    """
    if _sha256(source.path) != source.sha256:
        raise _changed(source.path)
    with _reading(source.path, source.format) as reader:
        fields = ", ".join(_field(column, reader, source.columns[column.name]) for column in COLUMNS[source.colour])
        meta = meta_fields("file", source.month, source.name, reader.row, load_id, loaded_at)
        written = write_parquet(reader.connection, f"SELECT {fields}, {meta} FROM {reader.relation}", target,
                                source.rows, lambda: _unchanged(source.path, source))
    return written


def meta_fields(origin: str, month: str, source_file: str, row: str, load_id: int, loaded_at: datetime) -> str:
    """The select list of :data:`schema.META`; ``row`` is an SQL expression, the rest are values."""
    moment = loaded_at.astimezone(UTC).replace(tzinfo=None) if loaded_at.tzinfo else loaded_at
    values = (_text(origin), _text(f"{month}-01"), _text(source_file), row, str(int(load_id)), _text(str(moment)))
    return ", ".join(f"CAST({value} AS {column.type}) AS {column.name}"
                     for value, column in zip(values, META, strict=True))


def write_parquet(connection: duckdb.DuckDBPyConnection, query: str, target: Path, rows: int,
                  still_good=lambda: None) -> int:
    """Stream ``query`` into ``target``, which appears only if there are ``rows`` rows and ``still_good()`` is silent.

    Raises:
        LocError: another number of rows came out, or the query or the disk failed.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        written = connection.execute(f"COPY ({query}) TO {_text(part)} "
                                     f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})").fetchone()[0]
        if written != rows:
            raise LocError(f"{_shown(target)} was not written.", f"Of {rows} rows, {written} arrived.",
                           "Please report this with the source file.")
        still_good()
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
    except (duckdb.Error, OSError) as error:
        raise LocError(f"{_shown(target)} could not be written.", _first_lines(error),
                       "Check the free space and the permissions of its folder.") from error
    finally:
        part.unlink(missing_ok=True)
    return written


def connect(scratch: Path, memory: str = "1GB") -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that spills to ``scratch`` and keeps rows in order."""
    return duckdb.connect(config={
        "memory_limit": memory, "temp_directory": str(scratch / "spill"), "preserve_insertion_order": True,
        "autoinstall_known_extensions": False, "autoload_known_extensions": False})


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder under the run folder, which is on disk where ``/tmp`` may be memory."""
    base = settings().run / "tmp"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base) as folder:
        yield Path(folder)


# What and where the file is


def _format(path: Path) -> str:
    suffix = path.suffix.lower()
    packed = suffix == ".gz"
    format = _FORMATS.get(Path(path.stem).suffix.lower() if packed else suffix)
    if format is None or (packed and format == "parquet"):
        raise _refused(path, f"Its name ends in {suffix or 'no extension'!r}.",
                       f"Give it one of {', '.join(_FORMATS)}; the text formats may be packed (.csv.gz).")
    return format


def _stat(path: Path) -> os.stat_result:
    try:
        found = path.stat()
        kind = stat.S_IFMT(found.st_mode)
        if kind != stat.S_IFREG:
            word = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}.get(kind, "a device or socket")
            raise _refused(path, f"It is {word}.", "Name one file.")
        with open(path, "rb"):
            pass
    except FileNotFoundError as error:
        if path.is_symlink():
            raise _refused(path, f"It is a link to {_shown(os.readlink(path))}, which does not exist.",
                           "Mend or remove the link.") from error
        raise _refused(path, "It does not exist.", "Check the name.") from error
    except OSError as error:
        raise _refused(path, f"{error.strerror}.", "Make it readable for this user.") from error
    if found.st_size == 0:
        raise _refused(path, "It is empty (0 bytes).", "Fetch or export it again.")
    return found


def _sha256(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _refused(path, f"{error.strerror}.", "Make it readable for this user.") from error


def _unchanged(path: Path, before) -> None:
    """``before`` is what :func:`_stat` gave, or the SourceFile."""
    size, mtime_ns = ((before.size, before.mtime_ns) if isinstance(before, SourceFile)
                      else (before.st_size, before.st_mtime_ns))
    now = _stat(path)
    if (now.st_size, now.st_mtime_ns) != (size, mtime_ns):
        raise _changed(path)


def _changed(path: Path) -> LocError:
    return _refused(path, "It changed while it was being loaded.", "Load it again when it is complete.")


# Reading: one relation of three formats


@dataclass(frozen=True)
class _Reader:
    """A file as DuckDB sees it: ``expressions`` and ``types`` (DuckDB's) by the file's own column names."""

    connection: duckdb.DuckDBPyConnection
    names: list[str]
    relation: str
    row: str
    """SQL expression of the position in the file, from 1."""
    expressions: Mapping[str, str]
    types: Mapping[str, str]
    lines: int | None = None
    """Rows that a plain count of lines finds, where that is meaningful."""


@contextmanager
def _reading(path: Path, format: str) -> Iterator[_Reader]:
    """Open the file under a plain name, because DuckDB takes a path for a pattern and its folders for partitions."""
    with scratch_folder() as scratch:
        plain = scratch / f"source.{format}"
        try:
            lines = None
            if format == "csv" or path.suffix.lower() == ".gz":
                lines = _plain_text(path, plain)
            else:
                plain.symlink_to(path)
            with connect(scratch) as connection:
                yield {"parquet": _parquet, "csv": _csv, "json": _json}[format](connection, path, plain, lines)
        except duckdb.Error as error:
            raise _refused(path, f"It cannot be read as {format}: {_first_lines(error, plain)}",
                           "Fetch or export it again.") from error
        except (OSError, EOFError, zlib.error) as error:
            raise _refused(path, f"It cannot be read: {error}.", "Fetch or export it again.") from error


def _parquet(connection, path: Path, plain: Path, lines) -> _Reader:
    file = _text(glob.escape(str(plain)))
    # The footer's names: a relation's are made unique, and would hide that a column is there twice.
    depth, names = 0, []
    for name, children in connection.execute(f"SELECT name, num_children FROM parquet_schema({file})").fetchall()[1:]:
        if depth == 0:
            names.append(name)
        depth = max(depth - 1, 0) + (children or 0)
    relation = f"read_parquet({file}, binary_as_string=true, hive_partitioning=false)"
    described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    # DuckDB's own position, unless the file has a column of that name; the window is right too, but on one thread.
    shadowed = "file_row_number" in (name.lower() for name in names)
    return _Reader(connection, names, relation, "row_number() OVER ()" if shadowed else "file_row_number + 1",
                   {name: _identifier(row[0]) for name, row in zip(names, described, strict=True)},
                   {name: row[1] for name, row in zip(names, described, strict=True)})


def _csv(connection, path: Path, plain: Path, lines: int | None) -> _Reader:
    with open(plain, encoding="utf-8-sig", errors="replace", newline="") as file:
        first = file.readline(1 << 20)
    delimiter = max(",;\t|", key=first.count)
    names = next(csv.reader(io.StringIO(first), delimiter=delimiter), [])
    columns = {f"c{n}": "VARCHAR" for n in range(len(names))}
    # The dialect is stated, not sniffed: a sniffer that is wrong drops or merges rows. Strict mode refuses the rest.
    relation = (f"read_csv({_text(glob.escape(str(plain)))}, auto_detect=false, header=true, delim={_text(delimiter)}, "
                f"quote='\"', escape='\"', new_line='\\n', strict_mode=true, hive_partitioning=false, "
                f"columns={columns or {'c0': 'VARCHAR'}})")
    return _Reader(connection, names, relation, "row_number() OVER ()",
                   {name: f"nullif(trim(c{n}), '')" for n, name in enumerate(names)},
                   dict.fromkeys(names, "VARCHAR"), lines)


def _json(connection, path: Path, plain: Path, lines) -> _Reader:
    objects = f"read_json_objects({_text(glob.escape(str(plain)))}, format='auto', hive_partitioning=false)"
    shapes = connection.execute(f"SELECT CASE WHEN json_type(json) = 'OBJECT' THEN json_keys(json) END AS keys, "
                                f"count(*) FROM {objects} GROUP BY keys").fetchall()
    if any(keys is None for keys, _ in shapes):
        raise _refused(path, "It holds a value that is not a record ({...}).",
                       "Write one array of records, or one record a line.")
    for keys, _ in shapes:
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise _refused(path, f"A record has the key {twice[0]!r} twice.", "Keep one of them.")
    names = list(dict.fromkeys(key for keys, _ in shapes for key in keys))
    pointers = [_text("/" + name.replace("~", "~0").replace("/", "~1")) for name in names]
    relation = f"(SELECT json_extract_string(json, [{', '.join(pointers)}]::VARCHAR[]) AS v FROM {objects})"
    return _Reader(connection, names, relation, "row_number() OVER ()",
                   {name: f"nullif(trim(v[{n}]), '')" for n, name in enumerate(names, 1)},
                   dict.fromkeys(names, "VARCHAR"))


def _plain_text(path: Path, plain: Path) -> int | None:
    """Unpack, and give every line one ending: old files of TLC mix ``\\r\\n`` and ``\\n``, which DuckDB refuses.

    Returns the number of lines that are not blank, less the header; None where quotes may hide line ends.
    """
    unpack = gzip.open if path.suffix.lower() == ".gz" else open
    lines, quoted, last, held = -1, False, b"\n", b""
    with unpack(path, "rb") as source, open(plain, "wb") as target:
        while chunk := source.read(1 << 22):
            chunk = held + chunk
            held = b"\r" if chunk.endswith(b"\r") else b""  # its "\n" may be in the next chunk
            chunk = chunk[:len(chunk) - len(held)]
            if b"\r" in chunk:
                chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            lines += _line_ends(chunk, last)
            last, quoted = chunk[-1:] or last, quoted or b'"' in chunk
            target.write(chunk)
        lines += bool(held or last != b"\n")
    return None if quoted else lines


def _line_ends(chunk: bytes, last: bytes) -> int:
    """Count the ends of lines that are not blank; ``last`` is the byte before ``chunk``."""
    ends = chunk.count(b"\n")
    if b"\n\n" in chunk or (last == b"\n" and chunk.startswith(b"\n")):
        ends -= len(re.findall(rb"(?<=\n)\n", last + chunk))
    return ends


# Checking


def _match(path: Path, names: list[str]) -> tuple[Colour, dict[str, str | None], tuple[str, ...]]:
    """Find the colour, and for each canonical column the file's own; refuse what is no trip table."""
    own: dict[str, list[str]] = {}
    for name in names:
        own.setdefault(name.strip().lower(), []).append(name)
    if _FOR_HIRE & own.keys():
        raise _refused(path, f"It holds for-hire vehicles (column {own[min(_FOR_HIRE & own.keys())][0]!r}).",
                       "Only yellow and green taxi trips can be loaded.")
    colour = _colour(path, own)
    columns: dict[str, str | None] = {}
    for column in COLUMNS[colour]:
        found = [name for alias in (column.name, *column.aliases) for name in own.get(alias.lower(), ())]
        if len(found) > 1:
            raise _refused(path, f"Columns {' and '.join(map(repr, found))} are both {column.name}.",
                           "Keep one of them.")
        columns[column.name] = found[0] if found else None
    missing = [column.name for column in COLUMNS[colour] if column.required and columns[column.name] is None]
    if missing:
        raise _refused(path, f"As a table of {colour} trips it lacks {_listed(missing)}.",
                       "Export it again with TLC's columns.")
    used = set(columns.values())
    return colour, columns, tuple(name for name in names if name not in used)


def _colour(path: Path, own: Mapping[str, list[str]]) -> Colour:
    prefixes = {"tpep_": Colour.YELLOW, "lpep_": Colour.GREEN}
    seen = {colour for prefix, colour in prefixes.items() for name in own if name.startswith(prefix)}
    if not seen and "pickup_datetime" in own:
        seen = {colour for colour in Colour if colour in path.name.lower()}
        if len(seen) != 1:
            raise _refused(path, "Neither its columns nor its name say whether the trips are yellow or green.", NAME_IT)
    if len(seen) == 2:
        raise _refused(path, "It has columns of yellow (tpep_…) and of green (lpep_…) trips.", "Split it.")
    if not seen:
        columns = _listed([names[0] for names in own.values()]) or "none"
        raise _refused(path, "It is not a table of TLC trips: it has neither tpep_pickup_datetime nor "
                             f"lpep_pickup_datetime. Its columns: {columns}.", "Check that it is the file you meant.")
    return seen.pop()


def _check(reader: _Reader, path: Path, colour: Colour, columns: Mapping[str, str | None]) -> tuple[int, Counter]:
    """Read every value. Returns the rows, and how many pick-ups are in each ``YYYY-MM``."""
    used = [column for column in COLUMNS[colour] if columns[column.name] is not None]
    tests = {column: _unfit(column, reader, columns[column.name]) for column in used}
    counts = ", ".join(f"count_if({test})" for test in tests.values())
    time = _cast(_by_name(colour, pickup(colour)), reader, columns[pickup(colour)], cast="TRY_CAST")
    rows, months, *bad = reader.connection.execute(
        f"SELECT count(*), histogram(12 * year({time}) + month({time}) - 1), {counts} FROM {reader.relation}"
    ).fetchone()
    if rows == 0:
        raise _refused(path, "It has a header but no rows.", "Fetch or export it again.")
    for (column, test), count in zip(tests.items(), bad, strict=True):
        if count:
            raise _unfit_value(reader, path, column, columns[column.name], test, count)
    if reader.lines is not None and reader.lines != rows:
        raise _refused(path, f"It has {reader.lines} lines after its header, but {rows} rows can be read.",
                       "Export it again as plain CSV.")
    return rows, Counter({f"{number // 12}-{number % 12 + 1:02}": count for number, count in (months or {}).items()})


def _unfit(column: Column, reader: _Reader, own: str) -> str:
    """SQL that is true where the value cannot become ``column``'s type without loss."""
    value, type = reader.expressions[own], reader.types[own]
    number, text = _NUMBER.fullmatch(type), type == "VARCHAR"
    if column.type == "TIMESTAMP" and text:
        fits = f"regexp_full_match({value}, {_text(_TIME)}) AND TRY_CAST({value} AS TIMESTAMP) IS NOT NULL"
    elif column.type == "TIMESTAMP" and type.startswith("TIMESTAMP") and type != "TIMESTAMP WITH TIME ZONE":
        fits = f"isfinite(CAST({value} AS TIMESTAMP))"
    elif column.type == "VARCHAR" and text:
        # A line end in a value is a stray quote that has swallowed the rows up to the next one.
        fits = f"NOT contains({value}, chr(10))"
    elif column.type not in ("VARCHAR", "TIMESTAMP") and (number or text):
        double = f"TRY_CAST({value} AS DOUBLE)"
        fits = f"isfinite({double})"
        if column.whole:
            fits += f" AND {double} = trunc({double}) AND TRY_CAST({value} AS {column.type}) IS NOT NULL"
    else:
        fits = "false"  # another type; a column without any value passes, whatever its type
    return f"({value} IS NOT NULL AND NOT coalesce({fits}, false))"


def _unfit_value(reader: _Reader, path: Path, column: Column, own: str, test: str, count: int) -> LocError:
    row, value = reader.connection.execute(
        f"SELECT row, CAST(value AS VARCHAR) FROM (SELECT {reader.row} AS row, {test} AS unfit, "
        f"{reader.expressions[own]} AS value FROM {reader.relation}) WHERE unfit ORDER BY row LIMIT 1").fetchone()
    kind = {"TIMESTAMP": "a local time without a zone (2025-02-01 12:34:56)", "VARCHAR": "text"}.get(
        column.type, f"a whole number ({column.type})" if column.whole else "a finite number")
    more = f" ({count} such values)" if count > 1 else ""
    text = reader.types[own] == "VARCHAR"
    own_type = "" if text else f" of type {reader.types[own]}"
    shown = _short(json.dumps(value, ensure_ascii=False) if text else value)
    return _refused(path, f"Column {own!r}{own_type} holds {shown} at row {row}{more}; it must be {kind}.",
                    "Correct or remove the value and load the file again; nothing was loaded.")


def _month(path: Path, rows: int, months: Counter) -> str:
    named = set(_MONTH.findall(path.name))
    most, count = months.most_common(1)[0] if months else ("no month", 0)
    if len(named) == 1:
        month = named.pop()
        if months[month] * 2 < rows:
            raise _refused(path, f"Its name says {month}, but only {months[month]} of {rows} pick-ups are in that "
                                 f"month; most ({count}) are in {most}.",
                           "Rename the file, or check that it is the right one.")
        return month
    if count < 0.95 * rows:
        raise _refused(path, f"Its name does not say one month, and only {count} of {rows} pick-ups are in {most}.",
                       f"A file is one month. {NAME_IT}")
    return most


# SQL and sentences


def _by_name(colour: Colour, name: str) -> Column:
    return next(column for column in COLUMNS[colour] if column.name == name)


def _cast(column: Column, reader: _Reader, own: str | None, cast: str = "CAST") -> str:
    value = "NULL" if own is None else reader.expressions[own]
    # A column of another type has passed the check only because it holds nothing.
    kept = own is None or _NUMBER.fullmatch(reader.types[own]) or column.type in ("TIMESTAMP", reader.types[own]) \
        or reader.types[own] == "VARCHAR"
    return f"{cast}({value if kept else 'NULL'} AS {column.type})"


def _field(column: Column, reader: _Reader, own: str | None) -> str:
    return f"{_cast(column, reader, own)} AS {_identifier(column.name)}"


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _refused(path: Path, why: str, fix: str) -> LocError:
    return LocError(f"{_shown(path)} cannot be loaded.", why, fix)


def _shown(path: Path | str) -> str:
    """A path for a sentence: odd characters are escaped, so that a message stays on its line."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _listed(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _first_lines(error: Exception, plain: Path | None = None) -> str:
    """The part of DuckDB's message that is about the file: before its advice, and without our scratch path."""
    text = str(error).split("\nPossible fixes", 1)[0].split("\n\n", 1)[0]
    text = ", ".join(line.strip() for line in text.splitlines() if line.strip())
    text = re.sub(r"^[\w ]+ Error: ", "", text)
    text = text.replace(str(plain), "the file") if plain else text
    return f"{text[:300].rstrip('. ')}."
