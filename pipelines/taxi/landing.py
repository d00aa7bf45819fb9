"""Checks a user's file of TLC trips (Parquet, CSV or JSON), and converts it for the lake.

:func:`inspect` reads a whole file and describes or refuses it; then :func:`convert` writes it.
"""

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pipelines.taxi.lakefile import meta_fields, shown, write_parquet
from pipelines.taxi.reader import reading, refused
from pipelines.taxi.schema import COLUMNS, Colour
from pipelines.taxi.values import check, selected
from proto_loc.errors import LocError

NAME_IT = "Name it as TLC does, for example yellow_tripdata_2025-02.parquet."

_FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".json": "json",
    ".ndjson": "json",
    ".jsonl": "json",
}
_MONTH = re.compile(r"(?<!\d)(20\d\d-(?:0[1-9]|1[0-2]))(?!\d)")
_FOR_HIRE = {
    "dispatching_base_num",
    "hvfhs_license_num",
    "affiliated_base_number",
    "originating_base_num",
}


@dataclass(frozen=True)
class SourceFile:
    """A file that :func:`inspect` has accepted."""

    path: Path
    name: str
    """Base name of the file; becomes ``_source_file``."""
    kind: str
    """``parquet``, ``csv`` or ``json`` (an array of records, or one record per line)."""
    colour: Colour
    month: str
    """``YYYY-MM``."""
    rows: int
    sha256: str
    size: int
    """Bytes."""
    mtime_ns: int
    columns: Mapping[str, str | None] = field(hash=False)
    """The file's own name of each canonical column; None for a missing one, which is NULL."""
    extra: tuple[str, ...] = ()
    """Columns that the trip tables do not have; they are left out."""


def inspect(path: Path) -> SourceFile:
    """Read the whole file and check it; nothing is written to the lake.

    Names of columns are compared without case and surrounding spaces. The month comes from the
    file's name, or else is the month of at least 95 % of the pick-ups.

    Raises:
        LocError: the file is not usable; the message names column, row and value. Rows are counted
            from 1, without the header of a CSV file.
    """
    path = Path(path).absolute()
    kind = _format(path)
    before = _stat(path)
    content = sha256(path)
    with reading(path, kind) as reader:
        colour, columns, extra = _match(path, reader.names)
        rows, months = check(reader, path, colour, columns)
        month = _month(path, rows, months)
    _unchanged(path, before)
    return SourceFile(
        path,
        os.fsencode(path.name).decode(errors="replace"),
        kind,
        colour,
        month,
        rows,
        content,
        before.st_size,
        before.st_mtime_ns,
        columns,
        extra,
    )


def convert(source: SourceFile, target: Path, *, load_id: int, loaded_at: datetime) -> int:
    """Write a file as Parquet with the columns of :func:`schema.lake_schema`; return its rows.

    ``target`` is written completely or not at all, and replaces an existing file. ``loaded_at`` is
    UTC if it has no zone.

    Raises:
        LocError: the file has changed since :func:`inspect`, or the result lacks rows.
    """
    if sha256(source.path) != source.sha256:
        raise _changed(source.path)
    with reading(source.path, source.kind) as reader:
        fields = ", ".join(
            selected(column, reader, source.columns[column.name])
            for column in COLUMNS[source.colour]
        )
        meta = meta_fields("file", source.month, source.name, reader.row, load_id, loaded_at)
        written = write_parquet(
            reader.connection,
            f"SELECT {fields}, {meta} FROM {reader.relation}",
            target,
            source.rows,
            lambda: _unchanged(source.path, source),
        )
    return written


def month_in(name: str) -> str | None:
    """Return the month (``YYYY-MM``) in a file's name; None if the name has none or several."""
    named = set(_MONTH.findall(name))
    return named.pop() if len(named) == 1 else None


# Name, format and location of the file


def left_out(path: Path) -> str:
    """Return the reason why a file of the landing folder is skipped; empty if it must be loaded.

    Operating systems, browsers and office programs leave files there, which must not stop a load.
    """
    if path.is_dir():
        return "it is a folder, and only files that lie in the landing folder itself are loaded"
    if path.is_symlink() and not path.exists():
        return f"it is a link to {shown(os.readlink(path))}, which does not exist"
    if not path.is_file():
        return "it is no file"
    if path.name.startswith("~$") or _format_of(path) is None:
        return f"its name is none of a file of trips: it ends in {', '.join(_FORMATS)}"
    return ""


def _format_of(path: Path) -> str | None:
    """The kind of file by its name; None if it is unknown."""
    suffix = path.suffix.lower()
    packed = suffix == ".gz"
    kind = _FORMATS.get(Path(path.stem).suffix.lower() if packed else suffix)
    return None if packed and kind == "parquet" else kind


def _format(path: Path) -> str:
    kind = _format_of(path)
    if kind is None:
        raise refused(
            path,
            f"Its name ends in {path.suffix.lower() or 'no extension'!r}.",
            f"Give it one of {', '.join(_FORMATS)}; the text formats may be packed (.csv.gz).",
        )
    return kind


def _stat(path: Path) -> os.stat_result:
    try:
        found = path.stat()
        kind = stat.S_IFMT(found.st_mode)
        if kind != stat.S_IFREG:
            word = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}.get(
                kind, "a device or socket"
            )
            raise refused(path, f"It is {word}.", "Name one file.")
        with open(path, "rb"):
            pass
    except FileNotFoundError as error:
        if path.is_symlink():
            raise refused(
                path,
                f"It is a link to {shown(os.readlink(path))}, which does not exist.",
                "Mend or remove the link.",
            ) from error
        raise refused(path, "It does not exist.", "Check the name.") from error
    except OSError as error:
        raise refused(path, f"{error.strerror}.", "Make it readable for this user.") from error
    if found.st_size == 0:
        raise refused(path, "It is empty (0 bytes).", "Fetch or export it again.")
    return found


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content.

    Raises:
        LocError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise refused(path, f"{error.strerror}.", "Make it readable for this user.") from error


def _unchanged(path: Path, before) -> None:
    """Raise if a file has changed; ``before`` is the result of :func:`_stat` or a SourceFile."""
    size, mtime_ns = (
        (before.size, before.mtime_ns)
        if isinstance(before, SourceFile)
        else (before.st_size, before.st_mtime_ns)
    )
    now = _stat(path)
    if (now.st_size, now.st_mtime_ns) != (size, mtime_ns):
        raise _changed(path)


def _changed(path: Path) -> LocError:
    return refused(
        path, "It changed while it was being loaded.", "Load it again when it is complete."
    )


# Content of the file


def _match(path: Path, names: list[str]) -> tuple[Colour, dict[str, str | None], tuple[str, ...]]:
    """Find the colour, and the file's own name of each canonical column."""
    own: dict[str, list[str]] = {}
    for name in names:
        own.setdefault(name.strip().lower(), []).append(name)
    if _FOR_HIRE & own.keys():
        raise refused(
            path,
            f"It holds for-hire vehicles (column {own[min(_FOR_HIRE & own.keys())][0]!r}).",
            "Only yellow and green taxi trips can be loaded.",
        )
    colour = _colour(path, own)
    columns: dict[str, str | None] = {}
    for column in COLUMNS[colour]:
        found = [
            name for alias in (column.name, *column.aliases) for name in own.get(alias.lower(), ())
        ]
        if len(found) > 1:
            raise refused(
                path,
                f"Columns {' and '.join(map(repr, found))} are both {column.name}.",
                "Keep one of them.",
            )
        columns[column.name] = found[0] if found else None
    missing = [
        column.name
        for column in COLUMNS[colour]
        if column.required and columns[column.name] is None
    ]
    if missing:
        raise refused(
            path,
            f"As a table of {colour} trips it lacks {_listed(missing)}.",
            "Export it again with TLC's columns.",
        )
    used = set(columns.values())
    return colour, columns, tuple(name for name in names if name not in used)


def _colour(path: Path, own: Mapping[str, list[str]]) -> Colour:
    prefixes = {"tpep_": Colour.YELLOW, "lpep_": Colour.GREEN}
    seen = {
        colour for prefix, colour in prefixes.items() for name in own if name.startswith(prefix)
    }
    if not seen and "pickup_datetime" in own:
        seen = {colour for colour in Colour if colour in path.name.lower()}
        if len(seen) != 1:
            raise refused(
                path,
                "Neither its columns nor its name say whether the trips are yellow or green.",
                NAME_IT,
            )
    if len(seen) == 2:
        raise refused(
            path, "It has columns of yellow (tpep_…) and of green (lpep_…) trips.", "Split it."
        )
    if not seen:
        columns = _listed([names[0] for names in own.values()]) or "none"
        raise refused(
            path,
            "It is not a table of TLC trips: it has neither tpep_pickup_datetime nor "
            f"lpep_pickup_datetime. Its columns: {columns}.",
            "Check that it is the file you meant.",
        )
    return seen.pop()


def _month(path: Path, rows: int, months: Counter) -> str:
    named = set(_MONTH.findall(path.name))
    most, count = months.most_common(1)[0] if months else ("no month", 0)
    if len(named) == 1:
        month = named.pop()
        if months[month] * 2 < rows:
            raise refused(
                path,
                f"Its name says {month}, but only {months[month]} of {rows} pick-ups are in that "
                f"month; most ({count}) are in {most}.",
                "Rename the file, or check that it is the right one.",
            )
        return month
    if count < 0.95 * rows:
        raise refused(
            path,
            f"Its name does not say one month, and only {count} of {rows} pick-ups are in {most}.",
            f"A file is one month. {NAME_IT}",
        )
    return most


def _listed(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
