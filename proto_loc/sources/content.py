"""Tells what a file is from its content, unpacks it, and makes its text UTF-8 with one line end."""

import codecs
import csv
import gzip
import io
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from proto_loc.errors import LocError, disk_is_full
from proto_loc.sources.formats import Format

CHUNK = 1 << 20
LINE_LIMIT = 2_000_000
"""Greatest length of a line in bytes; DuckDB's own limit of a CSV record."""

PACKED = (".gz", ".zst", ".zip")
ENDINGS = {
    ".csv": "csv", ".tsv": "csv", ".tab": "csv", ".psv": "csv", ".txt": "csv", ".dat": "csv",
    ".json": "json", ".ndjson": "json", ".jsonl": "json",
    ".parquet": "parquet",
    ".xlsx": "excel", ".xlsm": "excel", ".xlsb": "excel", ".xls": "excel", ".ods": "excel",
}  # fmt: skip
"""Ending of a file's name → kind; the content decides, and the ending where it cannot."""

PARTIAL = (".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp", ".swp")
"""Endings of files that a program still writes."""

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order mark → encoding; the longest first, since one begins with another."""

_JSON = re.compile(rb'\s*(\{\s*("|\})|\[\s*(\{|\]))')


@dataclass(frozen=True)
class Content:
    """A file that DuckDB can read."""

    path: Path
    """The file, or its unpacked or recoded copy."""
    kind: str
    """One of :data:`proto_loc.sources.formats.KINDS`."""
    lines: int = 0
    """Number of lines of a text, with blank ones and the header."""
    encoding: str = ""
    """Encoding of the text of the file."""


def refused(path: Path, why: str, fix: str = "") -> LocError:
    """The error of a file that cannot be loaded, or that breaks the declaration."""
    return LocError(
        f"{path} was refused.",
        why,
        fix or "Mend the file, or the declaration in pipelines/; nothing was loaded.",
    )


def plain_name(name: str) -> str:
    """The name of a file without the ending of its packing."""
    return name[: -len(suffix)] if (suffix := Path(name).suffix).lower() in PACKED else name


def kind_of(head: bytes, name: str) -> str:
    """The kind of a file from its first bytes, else from its name; empty if neither tells it.

    Args:
        head: the first bytes, unpacked.
        name: the name without the ending of a packing.
    """
    ending = ENDINGS.get(Path(name).suffix.lower(), "")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"PK\3\4", b"\xd0\xcf\x11\xe0")):
        return "excel"
    start = head.removeprefix(codecs.BOM_UTF8)
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        start = start.decode("utf-16", "replace").encode()
    if _JSON.match(start):
        return "json"
    return ending if ending == "json" else ending and "csv"


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[IO[bytes], str]]:
    """Open a file, unpacked where it is packed, with the name of what is in it.

    Raises:
        LocError: an archive holds not exactly one file, or needs a password.
    """
    with ExitStack() as opened:
        file: IO[bytes] = opened.enter_context(open(path, "rb"))
        head = file.read(4)
        file.seek(0)
        name = path.name
        if head.startswith(b"\x1f\x8b"):
            file = opened.enter_context(gzip.GzipFile(fileobj=file))
        elif head == b"\x28\xb5\x2f\xfd":
            from backports import zstd

            file = opened.enter_context(zstd.ZstdFile(file))
        elif head == b"PK\3\4" and not _is_book(path):
            archive = opened.enter_context(zipfile.ZipFile(file))
            member = _member(path, archive)
            yield opened.enter_context(archive.open(member)), Path(member.filename).name
            return
        yield file, plain_name(name)


def _is_book(path: Path) -> bool:
    """Whether an archive is a sheet of Excel or OpenDocument."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise refused(path, f"It is a damaged ZIP archive: {error}.") from error
    return any(name.startswith("xl/") or name == "content.xml" for name in names)


def _member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not member.filename.startswith("__MACOSX/")
        and not Path(member.filename).name.startswith(".")
    ]
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:5])
        raise refused(
            path,
            f"It holds {len(members)} files{': ' if names else ''}{names}.",
            "Unpack it and load its files, or put one file into it.",
        )
    if members[0].flag_bits & 1:
        raise refused(path, "It needs a password.", "Unpack it, then load what it holds.")
    return members[0]


@contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises while it is read into a refusal of the file.

    Raises:
        LocError: the file is damaged, cannot be read, or has a value that is too long.
    """
    try:
        yield
    except LocError:
        raise
    except csv.Error as error:
        raise refused(path, f"Its values cannot be told apart: {error}.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise refused(path, f"It is damaged: {error}.", "Fetch or export it again.") from error
    except (OSError, RuntimeError, NotImplementedError) as error:
        if disk_is_full(error):
            raise
        raise refused(path, f"It cannot be read: {error}.", "Fetch or export it again.") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "backports":
            raise
        raise refused(path, f"It is damaged: {error}.", "Fetch or export it again.") from error


def prepare(path: Path, form: Format, scratch: Path) -> Content:
    """Make the content of a file readable for DuckDB; a copy is written only where it must be.

    Raises:
        LocError: the file is none, is empty or damaged, is of an unknown kind, is not in its
            encoding, or has a line that is too long. The message names the line.
    """
    with refusing_damage(path):
        if not stat.S_ISREG(path.stat().st_mode):
            raise refused(path, "It is no file.", "Name a file.")
        with unpacked(path) as (file, name):
            head = file.read(1 << 12)
            kind = _kind(path, head, name, form)
            plain = head[:4] == _first(path)
            copy = scratch / f"content{Path(name).suffix.lower()}"
            if kind in ("parquet", "excel"):
                if not plain:
                    with open(copy, "wb") as target:
                        target.write(head)
                        shutil.copyfileobj(file, target, CHUNK)
                return Content(path if plain else copy, kind)
            return _text(path, form, kind, copy, plain)


def _first(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(4)


def _kind(path: Path, head: bytes, name: str, form: Format) -> str:
    if not head.strip():
        raise refused(path, "It is empty: it has not even a header.", "Fetch or export it again.")
    kind = kind_of(head, name)
    text = head.removeprefix(codecs.BOM_UTF8)
    if re.match(rb"\s*(<!doctype|<html|<\?xml)", text, re.IGNORECASE):
        raise refused(
            path, "It is a page of HTML or XML, whatever its name says.", "Export it as CSV."
        )
    if form.kind and kind and form.kind != kind and not (form.kind == "csv" and kind == "json"):
        raise refused(path, f"It is {kind}, and its table declares {form.kind}.")
    if not (form.kind or kind):
        raise refused(path, f"Files end in {', '.join(ENDINGS)}, also with {', '.join(PACKED)}.")
    return form.kind or kind


def marked_encoding(head: bytes) -> str:
    """The encoding that a byte order mark tells; empty without one."""
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), "")


def _text(path: Path, form: Format, kind: str, copy: Path, plain: bool) -> Content:
    """Check a text line by line, and copy it where it is packed, recoded, or mixes line ends."""
    with unpacked(path) as (file, _):
        encoding = marked_encoding(file.read(4)) or codecs.lookup(form.encoding).name
    recode = encoding not in ("utf-8", "ascii", "utf-8-sig") or (
        kind == "json" and encoding == "utf-8-sig"
    )
    needs_copy = recode or not plain
    scan = _Scan(path, encoding, kind)
    with ExitStack() as opened:
        target = opened.enter_context(open(copy, "wb")) if needs_copy else None
        for chunk in scan.chunks():
            if target:
                target.write(chunk)
    place = copy if needs_copy else path
    if scan.mixed and kind == "csv":
        place = _with_one_line_end(place, copy)
        return Content(place, kind, scan.lines + scan.lone, encoding)
    return Content(place, kind, scan.lines, encoding)


def _with_one_line_end(path: Path, copy: Path) -> Path:
    target = copy.with_name(f"lines-{copy.name}")
    with (
        open(path, encoding="utf-8", newline=None) as text,
        open(target, "w", encoding="utf-8", newline="\n") as out,
    ):
        shutil.copyfileobj(text, out, CHUNK)
    return target


class _Scan:
    """Yields a text as UTF-8 and counts its lines; refuses what is no text, with the line."""

    def __init__(self, path: Path, encoding: str, kind: str) -> None:
        self.path, self.encoding, self.kind = path, encoding, kind
        self.line_ends = self.crlf = self.returns = 0
        self.last = b""
        self._length = 0

    @property
    def lines(self) -> int:
        return self.line_ends + (self.last not in (b"", b"\n", b"\r"))

    @property
    def lone(self) -> int:
        """Number of carriage returns that end a line alone."""
        return self.returns - self.crlf

    @property
    def mixed(self) -> bool:
        """Whether lines end in different ways, or in carriage returns alone."""
        return self.lone > 0 or self.crlf not in (0, self.line_ends)

    def chunks(self) -> Iterator[bytes]:
        utf8 = self.encoding in ("utf-8", "utf-8-sig", "ascii")
        decoder = codecs.getincrementaldecoder("utf-8" if utf8 else self.encoding)()
        with unpacked(self.path) as (file, _):
            while True:
                raw = file.read(CHUNK)
                if utf8:
                    self._refuse_nul(raw)
                pending = bool(decoder.getstate()[0])
                if utf8 and raw and raw.isascii() and not pending:
                    chunk = raw
                else:
                    text = self._decode(decoder, raw)
                    chunk = raw if utf8 else text.encode()
                if chunk:
                    self._count(chunk)
                    yield chunk
                if not raw:
                    return

    def _decode(self, decoder: codecs.IncrementalDecoder, raw: bytes) -> str:
        try:
            text = decoder.decode(raw, final=not raw)
        except UnicodeError as error:
            start = getattr(error, "start", 0)
            line = self.line_ends + getattr(error, "object", b"")[:start].count(b"\n") + 1
            byte = getattr(error, "object", b"")[start : start + 1].hex().upper()
            name = "utf-8" if self.encoding == "utf-8-sig" else self.encoding
            raise refused(
                self.path,
                f"Line {line:,}: the byte {byte} is no text in {name}.",
                "Declare the encoding that the file has, as in"
                ' `format=Format(encoding="windows-1252")`; nothing was loaded.',
            ) from error
        if self.encoding == "iso8859-1" and (control := re.search("[\x80-\x9f]", text)):
            line = self.line_ends + text.count("\n", 0, control.start()) + 1
            raise refused(
                self.path,
                f"Line {line:,}: the byte {ord(control[0]):X} is no letter in Latin-1; in"
                " Windows-1252 it is one.",
                'Declare `format=Format(encoding="windows-1252")`; nothing was loaded.',
            )
        return text

    def _refuse_nul(self, chunk: bytes) -> None:
        if b"\0" in chunk:
            line = self.line_ends + chunk.count(b"\n", 0, chunk.find(b"\0")) + 1
            raise refused(
                self.path,
                f"Line {line:,} has a NUL byte, as binary files and UTF-16 without a mark have.",
                'For UTF-16, declare `format=Format(encoding="utf-16-le")`; nothing was loaded.',
            )

    def _count(self, chunk: bytes) -> None:
        start = chunk.find(b"\n")
        length = self._length + (start if start >= 0 else len(chunk))
        self._refuse_nul(chunk)
        if b"\r" in chunk:
            self.returns += chunk.count(b"\r")
            self.crlf += chunk.count(b"\r\n")
        self.crlf += self.last == b"\r" and chunk.startswith(b"\n")
        if self.kind == "csv" and length > LINE_LIMIT and not self.returns > self.crlf:
            raise refused(
                self.path,
                f"Line {self.line_ends + 1:,} is longer than {LINE_LIMIT:,} bytes.",
                "Cut that line, or export the file again; nothing was loaded.",
            )
        self._length = length if start < 0 else len(chunk) - chunk.rfind(b"\n") - 1
        self.line_ends += chunk.count(b"\n")
        self.last = chunk[-1:]


def first_lines(content: Content, size: int = LINE_LIMIT) -> io.StringIO:
    """The beginning of a prepared text, without a byte order mark, up to a whole line."""
    with open(content.path, "rb") as file:
        data = file.read(size).removeprefix(codecs.BOM_UTF8)
        if file.read(1):
            data = data[: data.rfind(b"\n") + 1]
    return io.StringIO(data.decode("utf-8"), newline="")
