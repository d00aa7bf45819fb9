"""Tests of files as they are: a right number, a reject with its line, or a refusal with its line.

The rows of the table in docs/files.md are the names of these cases.
"""

import gzip
import io
import random
import re
import tracemalloc
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from backports import zstd
from books import book

from proto_loc import sources
from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.sources import Table, files
from proto_loc.sources.files import FileSource
from proto_loc.sources.formats import Format
from proto_loc.sources.reading import read
from proto_loc.sql import open_duckdb
from proto_loc.warehouse import lake

DAY = {"id": "BIGINT", "day": "DATE"}
AT = {"id": "BIGINT", "at": "TIMESTAMP"}
INSTANT = {"id": "BIGINT", "at": "TIMESTAMPTZ"}
NUMBER = {"id": "BIGINT", "amount": "DECIMAL(12,2)"}
NAME = {"id": "BIGINT", "name": "VARCHAR"}
FOUR = {"id": "BIGINT", "x": "VARCHAR", "name": "VARCHAR", "y": "VARCHAR"}
DOUBLE = {"id": "BIGINT", "weight": "DOUBLE"}
CITY = "id,name\n1,Zürich\n2,Łódź €\n"
WEST = "id,name\n1,Zürich\n"


@dataclass
class Case:
    """A file with what becomes of it."""

    topic: str
    content: bytes | str
    columns: dict[str, str] = field(default_factory=lambda: NAME)
    form: Format = field(default_factory=Format)
    rows: list[tuple] | None = None
    rejects: list[tuple[int, str]] = field(default_factory=list)
    """Line and a part of the reason of each reject."""
    refused: str = ""
    """A part of the refusal of the whole file."""
    file: str = "orders.csv"
    key: tuple[str, ...] = ()

    def __str__(self) -> str:
        return re.sub(r"\W+", "-", self.topic)


def zipped(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_csv", ".csv"), content)
    return data.getvalue()


def amounts(*texts: str, header: str = "id;amount\n") -> str:
    return header + "".join(f"{place};{text}\n" for place, text in enumerate(texts, 1))


def lines(header: str, *texts: str) -> str:
    return header + "\n" + "".join(f"{place},{text}\n" for place, text in enumerate(texts, 1))


BOTH = [(1, "Zürich"), (2, "Łódź €")]
COMMA = Format(delimiter=";", decimal=",")
ANSI = Format(encoding="windows-1252")
DMY = Format(dates={"day": "%d/%m/%Y"})
NEW_YORK = Format(time_zone="America/New_York")

CASES = [
    Case("UTF-8", CITY, rows=BOTH),
    Case("UTF-8", b"\xef\xbb\xbf" + CITY.encode(), rows=BOTH),
    Case("UTF-8", b'\xef\xbb\xbf"id","name"\n1,a\n2,b,c\n', rows=[(1, "a")],
         rejects=[(3, "the row has 3 values, and the header 2")]),
    Case("UTF-8", CITY.encode() + b"3,Z\xfcrich\n", refused="Line 4: the byte FC is no text"),
    Case("UTF-16", CITY.encode("utf-16"), rows=BOTH),
    Case("UTF-16", CITY.encode("utf-16-be"), form=Format(encoding="utf-16-be"), rows=BOTH),
    Case("UTF-16", CITY.encode("utf-16-le"), refused="UTF-16 without a mark"),
    Case("UTF-16", CITY.encode("utf-16")[:-1], refused="Line 3: the byte 0A is no text"),
    Case("Windows-1252", "id,name\n1,Zürich €\n".encode("cp1252"), form=ANSI,
         rows=[(1, "Zürich €")]),
    Case("Windows-1252", b"id,name\n1,a\n2,\x81\n", form=ANSI, refused="Line 3: the byte 81"),
    Case("Latin-1", WEST.encode("latin-1"), form=Format(encoding="latin-1"), rows=[(1, "Zürich")]),
    Case("Latin-1", "id,name\n1,€\n".encode("cp1252"), form=Format(encoding="latin-1"),
         refused="Line 2: the byte 80 is no letter in Latin-1"),
    Case("delimiter", "id;name\n1;a,b\n", form=Format(delimiter=";"), rows=[(1, "a,b")]),
    Case("delimiter", "id\tname\n1\ta,b\n", form=Format(delimiter="\t"), rows=[(1, "a,b")],
         file="orders.tsv"),
    Case("delimiter", "id||name\n1||a,b\n", form=Format(delimiter="||"), rows=[(1, "a,b")]),
    Case("delimiter", 'id||name\n1||"a\nb"\nx||c\n', form=Format(delimiter="||"),
         rows=[(1, "a\nb")], rejects=[(4, "'x' is no BIGINT")]),
    Case("delimiter", "id§name\n1§a\n", form=Format(delimiter="§"), rows=[(1, "a")]),
    Case("delimiter", "id;name\n1;a\n", refused="Its delimiter may be ';'"),
    Case("quoted values", 'id,name\n1,"a ""b"", c"\n2,"d\ne"\n3,\n4,""\n',
         rows=[(1, 'a "b", c'), (2, "d\ne"), (3, None), (4, None)]),
    Case("quoted values", "id,name\n1,'a,b'\n", form=Format(quote="'"), rows=[(1, "a,b")]),
    Case("quoted values", 'id,name\n1,"a\nb"\n\nx,c\n2,"d\n\ne"\ny,f\n',
         rows=[(1, "a\nb"), (2, "d\n\ne")], rejects=[(5, "'x' is no BIGINT"), (9, "'y' is no")]),
    Case("quoted values", 'id,"na\nme"\n1,a\nx,b\n', {"id": "BIGINT", "name": "VARCHAR"},
         Format(headers={"na\nme": "name"}), rows=[(1, "a")], rejects=[(4, "'x' is no BIGINT")]),
    Case("quoted values", 'id,name\n1,"a\n2,b"\n', form=Format(quote=""),
         rows=[(1, '"a'), (2, 'b"')]),
    Case("open quote", 'id,name\n1,a\n2,"b\n3,c\n4,d\n', rows=[(1, "a")],
         rejects=[(3, "open quote")]),
    Case("open quote", 'id,name\n1,a\n2,"b"c\n3,d\n', rows=[(1, "a"), (3, "d")],
         rejects=[(3, "text after its closing quote")]),
    Case("open quote", 'id,name,x,y\n1,"a,b,c\n2,d,e,f\n3,g",h,i\n4,j,k,l\n',
         {"id": "BIGINT", "name": "VARCHAR", "x": "VARCHAR", "y": "VARCHAR"},
         rows=[(4, "j", "k", "l")], rejects=[(2, "takes in the next row")]),
    Case("open quote", 'id,x,name,y\n1,a,"b,c\n2,d,e,f\n\n3,g,h,i\n4,g,h",i\n5,j,k,l\n', FOUR,
         rows=[(5, "j", "k", "l")], rejects=[(2, "takes in the next row")]),
    Case("quoted values", 'id,x,name,y,z\n1,2,"a, b, c\n",3,4\n', FOUR | {"z": "BIGINT"},
         rows=[(1, "2", "a, b, c\n", "3", 4)]),
    Case("quoted values", 'id,x,name,y\n1,2,"Hello, thanks, yes, ok, fine\nBye",3\n', FOUR,
         rows=[(1, "2", "Hello, thanks, yes, ok, fine\nBye", "3")]),
    Case("quoted values", 'id,x,name,y\n1,2,"a, b\nc, d, e\nf, g, h, i, j",3\n', FOUR,
         rows=[(1, "2", "a, b\nc, d, e\nf, g, h, i, j", "3")]),
    Case("line ends", "id,name\r\n1,a\r\n2,b\r\n", rows=[(1, "a"), (2, "b")]),
    Case("line ends", "id,name\r1,a\rx,b\r", rows=[(1, "a")], rejects=[(3, "'x' is no BIGINT")]),
    Case("line ends", "id,name\r\n1,a\n2,b\r3,c\nx,d", rows=[(1, "a"), (2, "b"), (3, "c")],
         rejects=[(5, "'x' is no BIGINT")]),
    Case("line ends", "\n\nid,name\n\n1,a\n\nx,b\n", rows=[(1, "a")],
         rejects=[(7, "'x' is no BIGINT")]),
    Case("lines before the header", "Orders of 2025\nsep=,\nid,name\n1,a\nx,b\n",
         form=Format(skip=2), rows=[(1, "a")], rejects=[(5, "'x' is no BIGINT")]),
    Case("lines before the header", 'A 5" pipe\n\nid,name\n1,a\nx,b\n', form=Format(skip=2),
         rows=[(1, "a")], rejects=[(5, "'x' is no BIGINT")]),
    Case("lines before the header", 'A 5" pipe\r\n"b\r\nid,name\r\n1,a\r\n',
         form=Format(skip=2), rows=[(1, "a")]),
    Case("no header", "1,a\nx,b\n", form=Format(header=False), rows=[(1, "a")],
         rejects=[(2, "'x' is no BIGINT")]),
    Case("no header", "1,a,b\n", form=Format(header=False), refused="not declared: column 3"),
    Case("decimal comma", amounts("12,50", "1234", "-0,5", "1.50", "1,505"), NUMBER, COMMA,
         rows=[(1, Decimal("12.50")), (2, Decimal(1234)), (3, Decimal("-0.50"))],
         rejects=[(5, "'1.50' is no DECIMAL"), (6, "'1,505' is no DECIMAL")]),
    Case("thousands separator", amounts("1.234,5", "1.234.567", "12", "1.5", "1234.567"), NUMBER,
         Format(delimiter=";", decimal=",", thousands="."),
         rows=[(1, Decimal("1234.50")), (2, Decimal(1234567)), (3, Decimal(12))],
         rejects=[(5, "'1.5' is no DECIMAL"), (6, "'1234.567' is no DECIMAL")]),
    Case("thousands separator", amounts("1\xa0234,5", "1\u202f234", "1 234"), NUMBER,
         Format(delimiter=";", decimal=",", thousands=" "),
         rows=[(1, Decimal("1234.50")), (2, Decimal(1234)), (3, Decimal(1234))]),
    Case("thousands separator", amounts("1'234.50", "12,34"), NUMBER,
         Format(delimiter=";", thousands="'"), rows=[(1, Decimal("1234.50"))],
         rejects=[(3, "'12,34' is no DECIMAL")]),
    Case("thousands separator", lines("id,amount", '"1,234.50"'), NUMBER,
         rejects=[(2, "'1,234.50' is no DECIMAL")], rows=[]),
    Case("integers", lines("id,n", "9223372036854775807", "9223372036854775808", "1.0", "1.5",
                           "1e3", "0x1F", "1_000", "+7", "9007199254740993.4"),
         {"id": "BIGINT", "n": "BIGINT"},
         rows=[(1, 2**63 - 1), (3, 1), (5, 1000), (8, 7)],
         rejects=[(3, "'9223372036854775808' is no BIGINT"), (5, "'1.5'"), (7, "'0x1F'"),
                  (8, "'1_000'"), (10, "'9007199254740993.4'")]),
    Case("decimals", lines("id,amount", "12.34", "12.345", "12.3400", "12345678901.00",
                           "1234567890.1234567890123456"), NUMBER,
         rows=[(1, Decimal("12.34")), (3, Decimal("12.34"))],
         rejects=[(3, "'12.345'"), (5, "'12345678901.00'"), (6, "'1234567890.1234")]),
    Case("decimals", lines("id,amount", "12345678901234567890.12345678905"),
         {"id": "BIGINT", "amount": "DECIMAL(38,10)"}, rows=[], rejects=[(2, "is no DECIMAL")]),
    Case("NaN and Infinity", lines("id,weight", "1.5", "NaN", "inf", "-Infinity", "1e400"), DOUBLE,
         rows=[(1, 1.5)],
         rejects=[(3, "'NaN'"), (4, "'inf'"), (5, "'-Infinity'"), (6, "'1e400'")]),
    Case("NaN and Infinity", lines("id,weight", "1.5", "NaN"), DOUBLE,
         Format(nulls=("", "NaN")), rows=[(1, 1.5), (2, None)]),
    Case("doubles", lines("id,weight", "9007199254740993", "9007199254740992", "0.1"), DOUBLE,
         rows=[(2, 9007199254740992.0), (3, 0.1)], rejects=[(2, "'9007199254740993'")]),
    Case("texts that mean null", lines("id,n", "NA", "-", "5", "n/a"),
         {"id": "BIGINT", "n": "BIGINT"}, Format(nulls=("", "NA", "-")),
         rows=[(1, None), (2, None), (3, 5)], rejects=[(5, "'n/a' is no BIGINT")]),
    Case("texts that mean null", lines("id,name", "NA", ""),
         form=Format(nulls=("", "NA"), text_nulls=("",)), rows=[(1, "NA"), (2, None)]),
    Case("dates", lines("id,day", "2025-01-31", "2025/1/5", "2025-02-30", "03-04-25", "03/04/2025",
                        "infinity", "2025-01-31 00:00:00", "2025-01-31 10:00:00"), DAY,
         rows=[(1, date(2025, 1, 31)), (2, date(2025, 1, 5)), (7, date(2025, 1, 31))],
         rejects=[(4, "'2025-02-30'"), (5, "'03-04-25' is no DATE"), (6, "'03/04/2025' is no"),
                  (7, "'infinity'"), (9, "'2025-01-31 10:00:00'")]),
    Case("dates of a declared form", lines("id,day", "03/04/2025", "31/12/2025", "12/31/2025",
                                           "3/4/25", "2025-04-03"), DAY, DMY,
         rows=[(1, date(2025, 4, 3)), (2, date(2025, 12, 31))],
         rejects=[(4, "'12/31/2025' is no DATE of the form %d/%m/%Y"), (5, "two digits"),
                  (6, "'2025-04-03' is no DATE")]),
    Case("dates of several forms", lines("id,day", "31.12.2025", "2025-12-30"), DAY,
         Format(dates={"day": ("%d.%m.%Y", "%Y-%m-%d")}),
         rows=[(1, date(2025, 12, 31)), (2, date(2025, 12, 30))]),
    Case("dates of several forms", lines("id,day", "31/12/2025", "12/31/2025", "03/04/2025"), DAY,
         Format(dates={"day": ("%d/%m/%Y", "%m/%d/%Y")}),
         rows=[(1, date(2025, 12, 31)), (2, date(2025, 12, 31))],
         rejects=[(4, "'03/04/2025' is a different time by each of")]),
    Case("times", lines("id,at", "2025-01-31 10:00:00", "2025-01-31T10:00", "2025-01-31",
                        "2025-01-31 10:00:00+02:00", "2025-01-31T10:00:00Z",
                        "2025-01-31 10:00:00.1234567"), AT,
         rows=[(1, datetime(2025, 1, 31, 10)), (2, datetime(2025, 1, 31, 10)),
               (3, datetime(2025, 1, 31))],
         rejects=[(5, "names a time zone"), (6, "names a time zone"), (7, "is no TIMESTAMP")]),
    Case("times", lines("id,at", "12:30", "1:30:05.1234560", "", "12:30:00+02", "12:30:00Z",
                        "12:30:00.1234567", "25:00"), {"id": "BIGINT", "at": "TIME"},
         rows=[(1, time(12, 30)), (2, time(1, 30, 5, 123456)), (3, None)],
         rejects=[(5, "'12:30:00+02' is no TIME"), (6, "is no TIME"), (7, "is no TIME"),
                  (8, "is no TIME")]),
    Case("time zones", lines("id,at", "2025-01-31 10:00:00+02:00", "2025-01-31T10:00:00Z",
                             "2025-01-31 10:00:00", "2025-01-31 10:00:00 America/New_York"),
         INSTANT,
         rows=[(1, datetime(2025, 1, 31, 8, tzinfo=UTC)),
               (2, datetime(2025, 1, 31, 10, tzinfo=UTC)),
               (4, datetime(2025, 1, 31, 15, tzinfo=UTC))],
         rejects=[(4, "names no time zone")]),
    Case("time zones", lines("id,at", "2025-01-31 10:00:00", "2025-01-31 10:00:00Z",
                             "2025-03-09 02:30:00", "2025-11-02 01:30:00"), INSTANT, NEW_YORK,
         rows=[(1, datetime(2025, 1, 31, 15, tzinfo=UTC)),
               (2, datetime(2025, 1, 31, 10, tzinfo=UTC))],
         rejects=[(4, "does not exist in America/New_York"), (5, "is there twice in America/N")]),
    Case("time zones", lines("id,at", "31/01/2025 10:00", "02/11/2025 01:30"), INSTANT,
         Format(dates={"at": "%d/%m/%Y %H:%M"}, time_zone="America/New_York"),
         rows=[(1, datetime(2025, 1, 31, 15, tzinfo=UTC))], rejects=[(3, "is there twice")]),
    Case("two headers of one name", "id,amount,Amount\n1,2,3\n",
         {"id": "BIGINT", "amount": "BIGINT", "second": "BIGINT"},
         Format(headers={"Amount_2": "second"}), rows=[(1, 2, 3)]),
    Case("two headers of one name", "name,x,id\na,b,1\n", form=Format(headers={"x": "name"}),
         refused="Two of its columns are name: name and x"),
    Case("two headers of one name", "id,amount,amount\n1,2,3\n", NUMBER,
         refused="not declared: amount_2"),
    Case("empty header", "id,name,\n1,a,\n2,b,c\n", rows=[(1, "a")],
         rejects=[(3, "a value without a header: 'c'")]),
    Case("empty header", "id,,x\n1,a,b\n", {"id": "BIGINT", "column_2": "VARCHAR", "x": "VARCHAR"},
         rows=[(1, "a", "b")]),
    Case("empty file", "", refused="It is empty"),
    Case("empty file", " \n\n", refused="It is empty"),
    Case("empty file", "id,name\n", refused="It has no rows"),
    Case("empty file", "[]", refused="It has no rows", file="orders.json"),
    Case("empty file", gzip.compress(b""), refused="It is empty", file="orders.csv.gz"),
    Case("too few or too many values", 'id,name\n1,a\n2\n3,b,c\n4,"x\ny"\n5,d,e\nz,f\n',
         rows=[(1, "a"), (4, "x\ny")],
         rejects=[(3, "the row has 1 values"), (4, "the row has 3 values"), (7, "has 3 values"),
                  (8, "'z' is no BIGINT")]),
    Case("long line", "id,name\n1,a\n2," + "x" * 3_000_000 + "\n",
         refused="Line 3 is longer than 2,000,000 bytes"),
    Case("long line", 'id,name\n1,a\n2,"' + ("x" * 1_000_000 + "\n") * 3 + '"\n3,b\n',
         rows=[(1, "a"), (3, "b")], rejects=[(3, "longer than 2,000,000 bytes")]),
    Case("NUL bytes", b"id,name\n1,a\n2,\0b\n", refused="Line 3 has a NUL byte"),
    Case("wrong ending", '[{"id": 1, "name": "a"}]', rows=[(1, "a")]),
    Case("wrong ending", '{"id": 1, "name": "a"}\n{"id": "x", "name": "b"}\n', rows=[(1, "a")],
         rejects=[(2, "'x' is no BIGINT")]),
    Case("wrong ending", gzip.compress(CITY.encode()), rows=BOTH),
    Case("wrong ending", CITY, file="orders.csv.gz", rows=BOTH),
    Case("wrong ending", "<!DOCTYPE html><html>Please log in", refused="a page of HTML"),
    Case("wrong ending", CITY, file="orders.dbf", refused="Files end in"),
    Case("wrong ending", CITY, file="orders.dbf", form=Format(kind="csv"), rows=BOTH),
    Case("wrong ending", CITY, file="orders.csv", form=Format(kind="json"),
         refused="It is csv, and its table declares json"),
    Case("gzip, zstd, ZIP", gzip.compress(CITY.encode()), file="orders.csv.gz", rows=BOTH),
    Case("gzip, zstd, ZIP", zstd.compress(CITY.encode()), file="orders.csv.zst", rows=BOTH),
    Case("gzip, zstd, ZIP", zipped(orders_csv=CITY.encode("utf-16")), file="orders.csv.zip",
         rows=BOTH),
    Case("gzip, zstd, ZIP", zipped(a_csv=b"id\n", b_csv=b"id\n"), file="orders.zip",
         refused="It holds 2 files: a.csv, b.csv"),
    Case("gzip, zstd, ZIP", gzip.compress(CITY.encode() * 99)[:-20], file="orders.csv.gz",
         refused="It is damaged"),
    Case("gzip, zstd, ZIP", zstd.compress(CITY.encode() * 99)[:-5], file="orders.csv.zst",
         refused="It is damaged"),
    Case("folders of partitions", "id,name\n1,a\n", file="year=2025/city=New%20York/orders.csv",
         columns={**NAME, "year": "BIGINT", "city": "VARCHAR"}, rows=[(1, "a", 2025, "New York")]),
    Case("folders of partitions", "id,name\n1,a\n", file="year=x/orders.csv",
         columns={**NAME, "year": "BIGINT"}, rows=[], rejects=[(2, "column year: 'x' is no BIG")]),
    Case("JSON", '{"id": 9007199254740993, "amount": 1.10}\n\n{"id": 2, "amount": "1.105"}\n',
         NUMBER, file="orders.ndjson", rows=[(9007199254740993, Decimal("1.10"))],
         rejects=[(None, "'1.105' is no DECIMAL")]),
    Case("JSON", '{"id": 1, "name": "a"}\n{"id": 2, "name": 12345678901234567890.5}\n',
         file="orders.ndjson", refused="Line 2, column name: the number 12345678901234567890.5"),
    Case("JSON", '[\n{"id": 1,\n"amount": 12345678901234567.89}]', file="orders.json",
         columns={"id": "BIGINT", "amount": "DECIMAL(38,2)"}, refused="Record 1, column amount"),
    Case("JSON", '{"id": 1, "name": [{"x": 1234567890.12345678}]}', file="orders.json",
         refused="column name: the number 1234567890.12345678"),
    Case("JSON", '{"id": 123456789012345678901234567890, "name": -73.98765432101234, "weight":'
         ' 0.12345678901234567890, "text": "12345678901234567890.5"}', file="orders.json",
         columns={"id": "DECIMAL(38,0)", "name": "VARCHAR", "weight": "DOUBLE", "text": "VARCHAR"},
         rows=[(Decimal(123456789012345678901234567890), "-73.98765432101234", 0.12345678901234568,
                "12345678901234567890.5")]),
    Case("JSON", '{"id": 1, "id": 2, "name": "a"}', file="orders.json",
         refused="has the key 'id' twice"),
    Case("JSON", '[{"id": 1, "name": "a"}, {"ID": 2, "NAME": "b"}]', file="orders.json",
         refused="Two of its columns are id: id and ID"),
    Case("JSON", '{"id": 1, "name": "a"}\n{"id": 2, "name": ', file="orders.ndjson",
         refused="Malformed JSON"),
    Case("JSON", '[1, 2]', file="orders.json", refused="a value that is no record"),
    Case("JSON", '{"id": 1, "name": ""}\n'.encode("utf-16"), file="orders.json", rows=[(1, "")]),
    Case("keys", "id,name\n1,a\n2,b\n1,c\n,d\n", key=("id",), rows=[(1, "a"), (2, "b")],
         rejects=[(4, "key id: 1 is there twice"), (5, "no value, and its key needs one")]),
]  # fmt: skip


def outcome(tmp_path: Path, case: Case, lenient: bool = True) -> tuple[list, list]:
    """Read the file of a case; return its rows and its rejects."""
    path = tmp_path / case.file
    path.parent.mkdir(parents=True, exist_ok=True)
    content = case.content.encode() if isinstance(case.content, str) else case.content
    path.write_bytes(content)
    table = Table("orders", case.columns, key=case.key, rejects=lenient, format=case.form)
    (tmp_path / "scratch").mkdir()
    with open_duckdb() as con:
        read(con, table, path, tmp_path / "scratch")
        rows = con.execute("select * exclude (_row) from rows order by _row").fetchall()
        rejects = con.execute("select _line, _reason, _record from rejects order by _row")
        rejects = rejects.fetchall()
    assert all(record for *_, record in rejects)
    return rows, [(line, reason) for line, reason, _ in rejects]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_file_becomes_right_rows_rejects_or_a_refusal(tmp_path, case):
    if case.refused:
        with pytest.raises(LocError) as error:
            outcome(tmp_path, case)
        assert str(tmp_path / case.file) in error.value.what
        assert case.refused in error.value.why, error.value
        return
    rows, rejects = outcome(tmp_path, case)
    assert rows == case.rows, rejects
    assert [line for line, _ in rejects] == [line for line, _ in case.rejects], rejects
    for (_, reason), (_, part) in zip(rejects, case.rejects, strict=True):
        assert part in reason


@pytest.mark.parametrize("case", [case for case in CASES if case.rejects], ids=str)
def test_a_table_without_rejects_refuses_the_file_with_row_and_line(tmp_path, case):
    with pytest.raises(LocError) as error:
        outcome(tmp_path, case, lenient=False)
    line, reason = case.rejects[0]
    assert reason in error.value.why
    assert line is None or f"on line {line} of the file" in error.value.why


def test_the_page_has_every_topic():
    page = (ROOT / "docs/files.md").read_text()
    topics = re.findall(r"^\| ([^|]+?) \|", page, re.MULTILINE)
    tested = {case.topic for case in CASES} | {"Parquet", "Excel", "a file that is being written"}
    assert tested <= {*topics}, tested - {*topics}


@pytest.fixture
def shop(tmp_path, monkeypatch) -> FileSource:
    """A source with one table, on an empty platform."""
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    table = Table("orders", {**NAME, "year": "BIGINT"}, "year=*/*.csv", partition="file")
    shop = FileSource("shop", [table])
    monkeypatch.setattr(sources, "find_sources", lambda: {"shop": shop})
    (tmp_path / "data/landing/shop").mkdir(parents=True)
    return shop


def test_a_file_that_is_being_written_waits_in_the_landing_folder(tmp_path, shop):
    folder = tmp_path / "data/landing/shop/year=2025"
    folder.mkdir()
    (folder / "late.csv.part").write_text("id,name\n1")
    with open(folder / "orders.csv", "w") as file:
        file.write("id,name\n1,a\n")
        file.flush()
        outcomes = shop.load_landing(who="test", report=lambda *state: None)
        assert {outcome.input: outcome.skipped for outcome in outcomes} == {
            "year=2025/late.csv.part": "it is still being written, by its name",
            "year=2025/orders.csv": "a program has it open for writing",
        }
        with pytest.raises(LocError, match="a program has it open for writing"):
            shop.load_files([folder / "orders.csv"], who="test", report=lambda *state: None)
    outcomes = shop.load_landing(who="test", report=lambda *state: None)
    assert [outcome.load.rows for outcome in outcomes if outcome.load] == [1]


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, shop, monkeypatch):
    path = tmp_path / "year=2025/orders.csv"
    path.parent.mkdir()
    path.write_text("id,name\n1,a\n")

    def read_and_write(*arguments) -> None:
        read(*arguments)
        path.write_text("id,name\n1,a\n2,b\n")

    monkeypatch.setattr(files, "read", read_and_write)
    with pytest.raises(LocError, match="It changed while it was read"):
        shop.load_files([path], who="test", report=lambda *state: None)


def test_files_of_one_name_in_several_folders_are_partitions_of_their_own(tmp_path, shop):
    for year in (2024, 2025):
        path = tmp_path / f"data/landing/shop/year={year}/part-0.csv"
        path.parent.mkdir()
        path.write_text(f"id,name\n{year},a\n")
    shop.load_landing(who="test", report=lambda *state: None)
    with lake.settle(sources.declared_columns()).open() as con:
        rows = con.execute("select id, year, _source_file from shop.orders order by 1").fetchall()
    assert rows == [(2024, 2024, "year=2024/part-0.csv"), (2025, 2025, "year=2025/part-0.csv")]
    assert shop.pending() == []


def parquet(tmp_path: Path, query: str) -> Path:
    path = tmp_path / "orders.parquet"
    duckdb.sql(f"copy ({query}) to '{path}' (format parquet)")
    return path


@pytest.mark.parametrize(
    ("query", "kind", "value", "reason"),
    [
        ("1.1::double", "DECIMAL(12,2)", Decimal("1.10"), ""),
        ("1.1::float", "DECIMAL(12,2)", Decimal("1.10"), ""),
        ("0.125::double", "DECIMAL(12,2)", None, "'0.125' is no DECIMAL(12,2)"),
        ("9223372036854775808::hugeint", "BIGINT", None, "is no BIGINT"),
        ("'nan'::double", "DOUBLE", None, "'nan' is no finite number"),
        ("'1.50'", "DECIMAL(12,2)", Decimal("1.50"), ""),
        ("''", "VARCHAR", "", ""),
        ("timestamp_ns '2025-01-01 10:00:00.123456789'", "TIMESTAMP", None, "is no TIMESTAMP"),
        ("timestamptz '2025-01-01 10:00:00+02'", "TIMESTAMP", None, "has a time zone"),
        ("timestamp '2025-01-01 10:00:00'", "TIMESTAMPTZ", None, "names no time zone"),
        ("timestamp '2025-01-01 10:00:00'", "DATE", None, "is no DATE"),
        ("[1, 2]", "INTEGER[]", [1, 2], ""),
    ],
)
def test_parquet_keeps_every_value_or_rejects_it(tmp_path, query, kind, value, reason):
    path = parquet(tmp_path, f"select {query} as x")
    with open_duckdb() as con:
        read(con, Table("orders", {"x": kind}, rejects=True), path, tmp_path)
        assert con.execute("select x from rows").fetchall() == ([] if reason else [(value,)])
        rejects = con.execute("select _reason from rejects").fetchall()
    assert len(rejects) == bool(reason) and all(reason in text for (text,) in rejects)


def test_a_decimal_that_duckdb_misreads_is_refused(tmp_path):
    """Fault: DuckDB reads a Parquet decimal of over 38 digits as a wrong double, with no word."""
    path = parquet(tmp_path, "select 12.80::decimal(38,2) as x")
    # 38 digits become 63 in the footer, which has the type in an old form and a new one.
    path.write_bytes(path.read_bytes().replace(b"\x15\x04\x15\x4c", b"\x15\x04\x15\x7e"))
    with open_duckdb() as con, pytest.raises(LocError, match="a decimal of 63 digits"):
        read(con, Table("orders", {"x": "DOUBLE"}), path, tmp_path)


SHEET = {"id": "BIGINT", "day": "DATE", "at": "TIMESTAMP", "amount": "DECIMAL(12,2)"}
DATED = '<c s="1"><v>45688</v></c>'
TIMED = '<c s="2"><v>45688.5</v></c>'


def test_a_sheet_is_read_with_its_dates_numbers_and_results(tmp_path):
    path = book(
        tmp_path / "orders.xlsx",
        ("id", "day", "at", "amount"),
        (1, DATED, TIMED, 0.30000000000000004),
        (),
        (2, DATED, TIMED, "<c><f>A2*2</f><v>2.5</v></c>"),
        (3, 45688, TIMED, 1),
        more=(("id", "name"), (7, "a"), (8, '<c t="str"><f>""</f><v></v></c>')),
    )
    with open_duckdb() as con:
        read(con, Table("orders", SHEET, rejects=True), path, tmp_path)
        rows = con.execute("select * exclude (_row) from rows order by _row").fetchall()
        rejects = con.execute("select _line, _reason from rejects").fetchall()
    day, at = date(2025, 1, 31), datetime(2025, 1, 31, 12)
    assert rows == [(1, day, at, Decimal("0.30")), (2, day, at, Decimal("2.50"))]
    assert rejects == [(5, "column day: '45688' is no DATE; write 2025-01-31")]
    with open_duckdb() as con:
        read(con, Table("more", NAME, format=Format(sheet="More")), path, tmp_path)
        assert con.execute("select id, name from rows").fetchall() == [(7, "a"), (8, None)]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ((("id", "name"), (1, "<c><f>1/3</f></c>")), "The formula in B2 of the sheet Orders has"),
        (
            (("id", "name"), (1, "<c><f>A2*2</f><v></v></c>")),
            "The formula in B2 of the sheet Orders has no stored result",
        ),
        (
            (("id", "name"), (1, '<c t="e"><v>#DIV/0!</v></c>')),
            "B2 of the sheet Orders has #DIV/0!",
        ),
        ((("id", "name"), (1, "a", "b")), "has a value in column C, which has no header"),
        ((("id", "name"), (1, "a"), (2, "x" * 2_100_000)), "Row 3 of the sheet Orders is longer"),
        ((), "is empty"),
        ((("id",), (1,)), "Columns missing: name"),
    ],
)
def test_a_sheet_without_a_right_value_is_refused(tmp_path, rows, reason):
    path = book(tmp_path / "orders.xlsx", *rows)
    with open_duckdb() as con, pytest.raises(LocError) as error:
        read(con, Table("orders", NAME, rejects=True), path, tmp_path)
    assert reason in error.value.why and str(path) in error.value.what


def test_a_row_of_a_sheet_that_duckdb_cannot_read_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("proto_loc.sources.sheets.ROW_LIMIT", 3_000_000)
    path = book(tmp_path / "orders.xlsx", ("id", "name"), (1, "a"), (2, "x" * 2_100_000))
    with open_duckdb() as con, pytest.raises(LocError, match="was refused"):
        read(con, Table("orders", NAME, rejects=True), path, tmp_path)


def test_a_sheet_that_is_not_there_is_refused_with_the_names(tmp_path):
    path = book(tmp_path / "orders.xlsx", ("id", "name"))
    with open_duckdb() as con, pytest.raises(LocError, match="its sheets: Orders, More"):
        read(con, Table("orders", NAME, format=Format(sheet="Else")), path, tmp_path)


def test_a_line_of_two_gigabytes_is_refused_in_bounded_memory(tmp_path):
    path = tmp_path / "orders.csv.gz"
    part = gzip.compress(b"x" * 1_000_000)
    path.write_bytes(gzip.compress(b"id,name\n1,") + part * 2000)
    tracemalloc.start()
    with open_duckdb() as con, pytest.raises(LocError, match="Line 2 is longer than 2,000,000"):
        read(con, Table("orders", NAME, rejects=True), path, tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_and_lines_are_those_of_the_file(tmp_path, quoted, end):
    """Blank lines, quoted line ends and broken rows come in any order; every line is right."""
    chance = random.Random(f"{quoted}{end}")
    text, good, bad, line = f"id,name,x{end}", [], [], 2
    for number in range(3000):
        row, kind = len(good) + len(bad) + 1, chance.randrange(60)
        record = f"{number},a,x"
        if kind == 0:
            record = ""
        elif kind < 4:
            record = [f"{number},a", f"{number},a,b,c", f"q{number},a,b"][kind - 1]
            bad.append((row, line))
        else:
            if quoted and kind < 20:
                record = f'{number},"a ""b""{end * (kind % 3)}, c",x'
            good.append((row, number))
        text += record + end
        line += 1 + record.count("\n")
    path = tmp_path / "orders.csv"
    path.write_text(text, newline="")
    table = Table("orders", {**NAME, "x": "VARCHAR"}, rejects=True)
    with open_duckdb() as con:
        read(con, table, path, tmp_path)
        assert con.execute("select _row, id from rows order by 1").fetchall() == good
        assert con.execute("select _row, _line from rejects order by 1").fetchall() == bad


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"kind": "xml"}, "the kind 'xml' is none"),
        ({"encoding": "utf-9"}, "the encoding 'utf-9' is not known"),
        ({"delimiter": ""}, "has not one to four bytes"),
        ({"delimiter": '"'}, "delimiter and quote are both"),
        ({"quote": "«"}, "is no single ASCII character"),
        ({"decimal": ",", "thousands": ","}, "are not two different characters"),
        ({"time_zone": "Mars/Base"}, "the time zone 'Mars/Base' is not known"),
        ({"skip": -1}, "-1 lines cannot be skipped"),
    ],
)
def test_a_format_that_cannot_be_is_refused_where_it_is_declared(form, message):
    with pytest.raises(ValueError, match=message):
        Format(**form)


def test_a_date_format_of_no_column_is_refused():
    with pytest.raises(ValueError, match="has no column day"):
        Table("orders", NAME, format=DMY)
