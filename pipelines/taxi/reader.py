"""Reads a Parquet, CSV or JSON file as one DuckDB relation with exact row numbers.

DuckDB reads all rows, streaming. Text is read as text and cast later (:mod:`values`), so that a
value of a wrong type is reported and not guessed.
"""

import codecs
import csv
import glob
import gzip
import io
import os
import re
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipelines.taxi.lakefile import first_lines, shown
from proto_loc.errors import LocError
from proto_loc.settings import settings
from proto_loc.sql import identifier, literal, open_duckdb

DIGITS = 38
"""Maximum number of digits of a decimal in DuckDB."""


@dataclass(frozen=True)
class Reader:
    """A file as a DuckDB relation, with an SQL expression and a type for each column name.

    The types are DuckDB's, except for a Parquet decimal that is too wide for DuckDB, such as
    ``DECIMAL(74,2)``.
    """

    connection: duckdb.DuckDBPyConnection
    names: list[str]
    relation: str
    row: str
    """SQL expression of a row's position in the file, from 1."""
    expressions: Mapping[str, str]
    types: Mapping[str, str]
    lines: int | None = None
    """Number of lines of a CSV file that are not blank, without its header."""
    inner: str = "0"
    """SQL: the number of further lines in the quoted values of a row."""
    swallowing: str = "NULL"
    """SQL: the name of a column whose quoted value seems to contain other rows, else NULL."""


@contextmanager
def reading(path: Path, kind: str) -> Iterator[Reader]:
    """Open a file under a plain name; DuckDB would expand patterns and partitions in its path."""
    with scratch_folder() as scratch:
        plain = scratch / f"source.{kind}"
        try:
            text = None
            if kind == "parquet" or (kind == "json" and _is_plain_json(path)):
                plain.symlink_to(path)
            else:
                text = _plain_text(path, plain)
            with connect(scratch) as connection:
                yield {"parquet": _parquet, "csv": _csv, "json": _json}[kind](
                    connection, path, plain, text
                )
        except duckdb.Error as error:
            fix = (
                CONVERT
                if re.search("unicode|utf-?8", str(error), re.IGNORECASE)
                else "Fetch or export it again."
            )
            raise refused(
                path, f"It cannot be read as {kind}: {first_lines(error, plain)}", fix
            ) from error
        except UnicodeError as error:
            raise refused(
                path, f"It cannot be read as text: {error}.", "Fetch or export it again."
            ) from error
        except (OSError, EOFError, zlib.error) as error:
            raise refused(
                path, f"It cannot be read: {error}.", "Fetch or export it again."
            ) from error


def connect(scratch: Path, memory: str = "1GB") -> duckdb.DuckDBPyConnection:
    """Connect to a DuckDB in memory that spills to ``scratch`` and keeps the order of rows."""
    return open_duckdb(
        config={
            "memory_limit": memory,
            "temp_directory": str(scratch / "spill"),
            "preserve_insertion_order": "true",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
    )


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a temporary folder in the run folder, which is on disk; ``/tmp`` may be memory."""
    base = settings().run / "tmp"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    _clear(base)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=base) as folder:
        yield Path(folder)


def _clear(base: Path) -> None:
    """Remove folders of killed processes; the name of a folder begins with the pid."""
    for folder in base.glob("*-*"):
        try:
            os.kill(int(folder.name.partition("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, OverflowError, PermissionError):
            pass  # the name has no pid, or the process belongs to another user


def refused(path: Path, why: str, fix: str) -> LocError:
    """The error for a file that cannot be loaded."""
    return LocError(f"{shown(path)} cannot be loaded.", why, fix)


def _parquet(connection, path: Path, plain: Path, text) -> Reader:
    file = literal(glob.escape(str(plain)))
    # Names and types come from the footer. A DuckDB relation renames duplicate columns, which hides
    # them, and reads a decimal of more than 38 digits as a wrong double.
    depth, names, wide = 0, [], {}
    schema = connection.execute(
        f"SELECT name, num_children, precision, scale FROM parquet_schema({file})"
    ).fetchall()
    for name, children, precision, scale in schema[1:]:
        if depth == 0:
            names.append(name)
            if (precision or 0) > DIGITS:
                wide[name] = f"DECIMAL({precision},{scale or 0})"
        depth = max(depth - 1, 0) + (children or 0)
    relation = f"read_parquet({file}, binary_as_string=true, hive_partitioning=false)"
    described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    # DuckDB's own position is fast. If the file has a column of that name, the window function on
    # one thread is used.
    shadowed = "file_row_number" in (name.lower() for name in names)
    return Reader(
        connection,
        names,
        relation,
        "row_number() OVER ()" if shadowed else "file_row_number + 1",
        {name: identifier(row[0]) for name, row in zip(names, described, strict=True)},
        {name: wide.get(name, row[1]) for name, row in zip(names, described, strict=True)},
    )


def _csv(connection, path: Path, plain: Path, text: tuple[int, bool]) -> Reader:
    lines, quoted = text
    with open(plain, encoding="utf-8", errors="replace", newline="") as file:
        first = file.readline(1 << 20)
    delimiter = max(",;\t|", key=first.count)
    names = next(csv.reader(io.StringIO(first), delimiter=delimiter), [])
    columns = {f"c{n}": "VARCHAR" for n in range(len(names))}
    # The dialect is fixed, since a wrong guess of the sniffer drops or merges rows. Strict mode
    # refuses other files.
    relation = (
        f"read_csv({literal(glob.escape(str(plain)))}, auto_detect=false, header=true, "
        f"delim={literal(delimiter)}, quote='\"', escape='\"', new_line='\\n', strict_mode=true, "
        f"hive_partitioning=false, columns={columns or {'c0': 'VARCHAR'}})"
    )
    return Reader(
        connection,
        names,
        relation,
        "row_number() OVER ()",
        {name: f"nullif(trim(c{n}), '')" for n, name in enumerate(names)},
        dict.fromkeys(names, "VARCHAR"),
        lines,
        *(_quoted(names, delimiter) if quoted else ()),
    )


def _quoted(names: list[str], delimiter: str) -> tuple[str, str]:
    """The expressions ``inner`` and ``swallowing`` of a CSV file with these columns.

    A value may contain line ends. A stray quote starts a value that ends at the next quote and
    contains whole rows. Such a value has as many delimiters per line as a row; normal text has
    fewer.
    """
    inner, swallowing = [], []
    for n, name in enumerate(names):
        ends, delimiters = (
            f"len(c{n}) - len(replace(c{n}, {literal(of)}, ''))" for of in ("\n", delimiter)
        )
        runs = (  # blank lines are never counted
            f"len(regexp_extract_all(c{n}, '\\n+'))"
        )
        inner.append(f"CASE WHEN contains(c{n}, chr(10)) THEN {runs} ELSE 0 END")
        swallowing.append(
            f"CASE WHEN contains(c{n}, chr(10)) AND {delimiters} >= {len(names) - 1} * ({ends}) "
            f"THEN {literal(name)} END"
        )
    return " + ".join(inner) or "0", f"coalesce({', '.join(swallowing)}, NULL)"


def _json(connection, path: Path, plain: Path, text) -> Reader:
    objects = (
        f"read_json_objects({literal(glob.escape(str(plain)))}, format='auto',"
        " hive_partitioning=false)"
    )
    shapes = connection.execute(
        "SELECT CASE WHEN json_type(json) = 'OBJECT' THEN json_keys(json) END AS keys, "
        f"count(*) FROM {objects} GROUP BY keys"
    ).fetchall()
    if any(keys is None for keys, _ in shapes):
        raise refused(
            path,
            "It holds a value that is not a record ({...}).",
            "Write one array of records, or one record a line.",
        )
    for keys, _ in shapes:
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise refused(path, f"A record has the key {twice[0]!r} twice.", "Keep one of them.")
    names = list(dict.fromkeys(key for keys, _ in shapes for key in keys))
    pointers = [literal("/" + name.replace("~", "~0").replace("/", "~1")) for name in names]
    relation = (
        f"(SELECT json_extract_string(json, [{', '.join(pointers)}]::VARCHAR[]) AS v FROM"
        f" {objects})"
    )
    return Reader(
        connection,
        names,
        relation,
        "row_number() OVER ()",
        {name: f"nullif(trim(v[{n}]), '')" for n, name in enumerate(names, 1)},
        dict.fromkeys(names, "VARCHAR"),
    )


_CODINGS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks and their encodings, the longest first."""
_PACKED = {
    b"PAR1": "Parquet",
    b"PK\3\4": "a ZIP archive",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"BZh": "bzip2",
}
CONVERT = (
    "Export it as UTF-8, or convert it: iconv -f CODING -t UTF-8 FILE > NEW, with the coding that"
    " it has."
)


def _is_plain_json(path: Path) -> bool:
    """Whether DuckDB can read a JSON file as it is: it accepts any line end between records."""
    with open(path, "rb") as file:
        return re.match(rb"\s*[\[{][^\0]", file.read(64)) is not None


def _chunks(path: Path) -> Iterator[bytes]:
    """Read a text file as chunks of UTF-8; its first bytes tell compression and encoding."""
    with ExitStack() as opened:
        file = opened.enter_context(open(path, "rb"))
        if file.read(2) == b"\x1f\x8b":
            file.seek(0)
            file = opened.enter_context(gzip.GzipFile(fileobj=file))
        elif path.suffix.lower() == ".gz":
            raise refused(
                path, "It is not packed with gzip.", "Take .gz off its name, or fetch it again."
            )
        file.seek(0)
        start = file.read(4)
        if packed := next((word for mark, word in _PACKED.items() if start.startswith(mark)), None):
            raise refused(
                path,
                f"It is {packed}, and its name says text.",
                "Unpack it, or name it as what it is.",
            )
        coding = next((coding for mark, coding in _CODINGS.items() if start.startswith(mark)), None)
        if coding is None and b"\0" in start:
            raise refused(
                path, "It begins with a NUL byte, as UTF-16 without a mark does.", CONVERT
            )
        file.seek(len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0)
        if coding is None:
            while chunk := file.read(1 << 22):
                yield chunk
            return
        text = io.TextIOWrapper(file, encoding=coding, newline="")
        while part := text.read(1 << 22):
            yield part.encode()


def _plain_text(path: Path, plain: Path) -> tuple[int, bool]:
    """Unpack a file and write all line ends as ``\\n``; old files of TLC mix them.

    Returns:
        The number of lines that are not blank, without the header, and whether the file has quotes.
    """
    lines, quoted, last, held = -1, False, b"\n", b""
    with open(plain, "wb") as target:
        for chunk in _chunks(path):
            chunk = held + chunk
            held = b"\r" if chunk.endswith(b"\r") else b""  # its "\n" may be in the next chunk
            chunk = chunk[: len(chunk) - len(held)]
            if b"\r" in chunk:
                chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            lines += _line_ends(chunk, last)
            last, quoted = chunk[-1:] or last, quoted or b'"' in chunk
            target.write(chunk)
        lines += bool(held or last != b"\n")
    return lines, quoted


def _line_ends(chunk: bytes, last: bytes) -> int:
    """Count the ends of lines that are not blank; ``last`` is the byte before ``chunk``."""
    ends = chunk.count(b"\n")
    if b"\n\n" in chunk or (last == b"\n" and chunk.startswith(b"\n")):
        ends -= len(re.findall(rb"(?<=\n)\n", last + chunk))
    return ends
