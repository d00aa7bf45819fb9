"""How the text of files is read: encoding, delimiter, numbers, dates, null."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Format:
    """How the files of a table are written; the default is a CSV file by RFC 4180 in UTF-8."""

    kind: str = ""
    """``csv``, ``json``, ``ndjson``, ``parquet`` or ``excel``; empty: by the file's ending."""
    encoding: str = "utf-8"
    """Encoding of the text, such as ``utf-16`` or ``windows-1252``."""
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
    dates: Mapping[str, str] = field(default_factory=dict)
    """Column → its date or time format in DuckDB's ``strptime`` notation; else ISO 8601."""
    time_zone: str = ""
    """Zone of timestamps that name none, such as ``America/New_York``; empty: kept as written."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Header in the file → column of the declaration, where the two differ."""
    sheet: str = ""
    """Sheet of an Excel file; empty: the first one."""
