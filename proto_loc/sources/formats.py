"""How the text of files is read: encoding, delimiter, numbers, dates, null."""

import codecs
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field

KINDS = ("csv", "json", "parquet", "excel")


@dataclass(frozen=True)
class Format:
    """How the files of a table are written; the default is a CSV file by RFC 4180 in UTF-8."""

    kind: str = ""
    """``csv``, ``json`` (also one record a line), ``parquet`` or ``excel``; empty: by content."""
    encoding: str = "utf-8"
    """Encoding of the text, such as ``windows-1252``; the mark of a file in UTF-16 comes first."""
    delimiter: str = ","
    """Character between two fields."""
    quote: str = '"'
    """Character around a field that contains a delimiter, a quote or a line end."""
    decimal: str = "."
    """Decimal mark of numbers."""
    thousands: str = ""
    """Thousands separator of numbers; empty: none."""
    nulls: tuple[str, ...] = ("",)
    """Texts that mean null."""
    text_nulls: tuple[str, ...] | None = None
    """The same for VARCHAR columns, where they differ; None: as ``nulls``."""
    dates: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Column → its date or time format in DuckDB's ``strptime`` notation, or several; else ISO
    8601. A value that two of them read differently is refused."""
    time_zone: str = ""
    """Zone of timestamps that name none, such as ``America/New_York``; empty: a TIMESTAMPTZ needs
    a zone in its text."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Header in the file → column of the declaration, where the two differ. The second header
    ``x`` is ``x_2``, and an empty one in the third place ``column_3``."""
    header: bool = True
    """Whether the file has a line of headers; if not, columns come in the declared order."""
    skip: int = 0
    """Number of lines (rows of a sheet) before the header."""
    sheet: str = ""
    """Sheet of an Excel file; empty: the first one."""

    def __post_init__(self) -> None:
        """Check what can be checked without a file.

        Raises:
            ValueError: a value is none that DuckDB or Python know, or two of them are the same.
        """
        if self.kind not in ("", *KINDS):
            raise ValueError(f"the kind {self.kind!r} is none; write one of {', '.join(KINDS)}")
        try:
            codecs.lookup(self.encoding)
        except LookupError as error:
            raise ValueError(f"the encoding {self.encoding!r} is not known") from error
        if not 1 <= len(self.delimiter.encode()) <= 4:
            raise ValueError(f"the delimiter {self.delimiter!r} has not one to four bytes")
        if len(self.quote.encode()) > 1:
            raise ValueError(f"the quote {self.quote!r} is no single ASCII character")
        if self.quote == self.delimiter:
            raise ValueError(f"delimiter and quote are both {self.quote!r}")
        if len(self.decimal) != 1 or self.decimal == self.thousands or len(self.thousands) > 1:
            raise ValueError(
                f"decimal mark {self.decimal!r} and thousands separator {self.thousands!r} are not"
                " two different characters"
            )
        if self.time_zone and self.time_zone not in zoneinfo.available_timezones():
            raise ValueError(f"the time zone {self.time_zone!r} is not known")
        if self.skip < 0:
            raise ValueError(f"{self.skip} lines cannot be skipped")
