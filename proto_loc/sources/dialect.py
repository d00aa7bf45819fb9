"""Detects how a file is written: encoding, delimiter, quote, and lines before the header."""

import codecs
import csv
import re
from collections import Counter
from pathlib import Path

from proto_loc.sources.content import (
    CHUNK,
    LINE_LIMIT,
    kind_of,
    marked_encoding,
    refused,
    refusing_damage,
    unpacked,
)
from proto_loc.sources.formats import Format

DELIMITERS = (",", ";", "\t", "|")


def detect(path: Path, kind: str = "") -> tuple[Format, tuple[str, ...]]:
    """Detect the dialect of a file.

    Args:
        kind: its kind, where the caller knows it.

    Returns:
        The format, without numbers, dates and nulls; and notes for a person.

    Raises:
        LocError: the file is damaged, cannot be read, or is no text.
    """
    csv.field_size_limit(LINE_LIMIT)
    with refusing_damage(path):
        return _detect(path, kind)


def _detect(path: Path, kind: str) -> tuple[Format, tuple[str, ...]]:
    with unpacked(path) as (file, name):
        head = file.read(CHUNK)
    actual = kind_of(head, name)
    notes = []
    if actual in ("parquet", "excel") or (actual == "json" and kind != "csv"):
        return Format(kind=actual if kind and kind != actual else ""), ()
    encoding, note = _encoding(path, head)
    if note:
        notes.append(f"{path.name}: {note}")
    text = head.decode(encoding, "ignore").removeprefix("\ufeff")
    lines = text.splitlines(keepends=True)[:1000]
    skip = 0
    declared = re.match(r"sep=(.)\r?\n", text)
    if declared:  # Excel writes and reads such a line
        skip, delimiter, quote = 1, declared[1], '"'
    else:
        delimiter, quote = _delimiter(lines)
        skip = _title_lines(lines, delimiter, quote)
    if skip:
        notes.append(f"{path.name}: the header is on line {skip + 1}.")
    header = _has_header(lines[skip:], delimiter, quote)
    if not header:
        notes.append(f"{path.name} has no header; its columns are named column_1, column_2, ...")
    return (
        Format(
            kind="csv" if kind == "csv" and actual != "csv" else "",
            encoding=encoding,
            delimiter=delimiter,
            quote=quote,
            skip=skip,
            header=header,
        ),
        tuple(notes),
    )


def _encoding(path: Path, head: bytes) -> tuple[str, str]:
    """The encoding of a text, and a note where it is a guess; the whole file decides."""
    if mark := marked_encoding(head):
        return {"utf-8-sig": "utf-8"}.get(mark, mark), ""
    if (nulls := head[:4096].count(b"\0")) > len(head[:4096]) // 8:
        even = head[:4096:2].count(b"\0")
        encoding = "utf-16-be" if even > nulls // 2 else "utf-16-le"
        return encoding, f"it is read as {encoding}, which it does not say."
    decoder = codecs.getincrementaldecoder("utf-8")()
    high: Counter[int] = Counter()
    sample = b""
    utf8 = True
    with unpacked(path) as (file, _):
        while chunk := file.read(CHUNK):
            if utf8:
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError:
                    utf8 = False
            if not chunk.isascii():
                high.update(re.sub(rb"[\x00-\x7f]", b"", chunk))
                sample = sample or next(iter(re.findall(rb"[\w\x80-\xff]*[\x80-\xff]\w*", chunk)))
    if utf8:
        try:
            decoder.decode(b"", final=True)
            return "utf-8", ""
        except UnicodeDecodeError:
            pass
    undefined = {0x81, 0x8D, 0x8F, 0x90, 0x9D} & set(high)
    encoding = "latin-1" if undefined else "windows-1252"
    if undefined:
        raise refused(
            path,
            f"Its encoding is not clear: it is neither UTF-8 nor Windows-1252, and has the byte"
            f" {min(undefined):X}.",
            "Declare its encoding in pipelines/, or export it as UTF-8.",
        )
    word = sample.decode(encoding)[:30]
    return encoding, f"it is no UTF-8 and read as Windows-1252: check a word, {word!r}."


def _delimiter(lines: list[str]) -> tuple[str, str]:
    """The delimiter that splits most rows into the same number of values, and the quote."""
    best, result = (0.0, 0), (",", '"')
    for delimiter in DELIMITERS:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (1, 0)
        if width > 1 and (count / len(rows), width) > best:
            best, result = (count / len(rows), width), (delimiter, '"')
    text = "".join(lines)
    if '"' not in text and len(re.findall(rf"(?m)(^|{re.escape(result[0])})'", text)) > len(lines):
        return result[0], "'"
    return result


def _title_lines(lines: list[str], delimiter: str, quote: str) -> int:
    """The number of lines before the header: they have fewer values than the rows after them."""
    rows = list(csv.reader(lines, delimiter=delimiter, quotechar=quote))
    widths = Counter(len(row) for row in rows if row)
    if not widths:
        return 0
    width = widths.most_common(1)[0][0]
    for place, row in enumerate(rows[:20]):
        if len(row) >= width:
            return place if place and width > 1 and all(len(r) < width for r in rows[:place]) else 0
    return 0


def _has_header(lines: list[str], delimiter: str, quote: str) -> bool:
    """Whether the first row names columns: a value is no number or date like those below it."""
    rows = [row for row in csv.reader(lines, delimiter=delimiter, quotechar=quote) if row][:100]
    if not rows:
        return True
    value = re.compile(r"[+-]?\d+([.,]\d+)*|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?")
    numbers = [place for place, text in enumerate(rows[0]) if value.fullmatch(text.strip())]
    if not numbers:
        return True
    # Years may be headers; a column whose other values are numbers too has none.
    return not any(
        len(rows) > 1
        and all(len(row) > place and value.fullmatch(row[place].strip()) for row in rows[1:])
        for place in numbers
    ) or all(re.fullmatch(r"(19|20)\d\d", rows[0][place].strip()) for place in numbers)
