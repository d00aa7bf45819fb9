"""Tests of a look at new files: what it proposes, what it asks, and that it never guesses."""

import csv
import gzip
from pathlib import Path

import duckdb
import pytest
from books import book

from proto_loc.errors import LocError, UsageError
from proto_loc.sources import Table
from proto_loc.sources.content import refusing_damage
from proto_loc.sources.file_inspection import inspect_files
from proto_loc.sources.files import FileSource
from proto_loc.sources.inspection import Inspection


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))


def look(tmp_path: Path, content: str | bytes, name: str = "orders.csv", **options) -> Inspection:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return inspect_files("shop", {"orders": [path]}, **options)


def column(header: str, *texts: str, mark: str = ",") -> str:
    rows = (f"{place}{mark}{text}\n" for place, text in enumerate(texts, 1))
    return f"id{mark}{header}\n" + "".join(rows)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (("1", "-2", "+3"), "BIGINT"),
        (("9223372036854775808", "1"), "DECIMAL(38,0)"),
        (("00123", "99"), "VARCHAR"),
        (("1.5", "2.25"), "DECIMAL(18,2)"),
        (("1.5", "2.1234567"), "DOUBLE"),
        (("1e5", "2.5"), "DOUBLE"),
        (("true", "FALSE"), "BOOLEAN"),
        (("2025-01-31", "2025-1-5"), "DATE"),
        (("2025-01-31 10:00", "2025-01-31T10:00:01.5"), "TIMESTAMP"),
        (("2025-01-31T10:00:00Z", "2025-01-31 10:00:00+02:00"), "TIMESTAMPTZ"),
        (("2025-01-31T10:00:00Z", "2025-01-31 10:00:00"), "VARCHAR"),
        (("10:30", "11:45:10"), "TIME"),
        (("a", "1"), "VARCHAR"),
        (("", ""), "VARCHAR"),
        (("1", "NA", ""), "BIGINT"),
        (("NA", "b"), "VARCHAR"),
        (("03-04-25", "31-12-25"), "VARCHAR"),
    ],
)
def test_the_type_of_a_column(tmp_path, texts, kind):
    (table,) = look(tmp_path, column("x", *texts)).tables
    assert table.columns["x"] == kind


@pytest.mark.parametrize(
    ("texts", "form", "kind"),
    [
        (("31/12/2025", "03/04/2025"), "%d/%m/%Y", "DATE"),
        (("12/31/2025", "03/04/2025"), "%m/%d/%Y", "DATE"),
        (("31.12.2025 10:30", "01.01.2025 00:00"), "%d.%m.%Y %H:%M", "TIMESTAMP"),
        (("31 Dec 2025", "1 Jan 2025"), "%d %b %Y", "DATE"),
        (("31.12.2025", "2025-01-31"), ("%d.%m.%Y", "%Y-%m-%d"), "DATE"),
    ],
)
def test_a_date_that_can_be_read_in_one_way_is_read(tmp_path, texts, form, kind):
    (table,) = look(tmp_path, column("day", *texts)).tables
    assert (table.columns["day"], table.format.dates["day"]) == (kind, form)


def test_a_date_that_can_be_read_in_two_ways_is_asked_and_stays_text(tmp_path):
    text = column("day", "03/04/2025", "05/06/2025")
    proposal = look(tmp_path, text)
    question = "orders.day: how is 03/04/2025 to be read?"
    assert proposal.questions[question] == ("text", "%d/%m/%Y", "%m/%d/%Y")
    assert proposal.tables[0].columns["day"] == "VARCHAR"
    proposal = look(tmp_path, text, answers={question: "%d/%m/%Y"})
    assert proposal.tables[0].columns["day"] == "DATE"
    assert str(proposal.columns["orders"]["day"].minimum) == "2025-04-03"
    with pytest.raises(UsageError, match="is no answer"):
        look(tmp_path, text, answers={question: "the second"})


@pytest.mark.parametrize(
    ("texts", "mark", "style"),
    [
        (("12,50", "3,1"), ";", (",", "")),
        (("1.234,50", "3,1"), ";", (",", ".")),
        (("1,234.50", "3.1"), ";", (".", ",")),
        (("1 234,50", "3,1"), ";", (",", " ")),
        (("1,234,567", "1,000"), ";", (".", ",")),
        (("1.5", "1.234"), ",", (".", "")),
    ],
)
def test_decimal_mark_and_thousands_separator(tmp_path, texts, mark, style):
    (table,) = look(tmp_path, column("amount", *texts, mark=mark)).tables
    assert (table.format.decimal, table.format.thousands) == style
    assert table.format.delimiter == mark and table.columns["amount"] != "VARCHAR"


@pytest.mark.parametrize("text", ["1,234", "1.234"])
def test_a_mark_that_can_be_both_is_asked(tmp_path, text):
    text = column("amount", text, text, mark=";")
    proposal = look(tmp_path, text)
    (question,) = [q for q in proposal.questions if "the decimal mark?" in q]
    assert proposal.tables[0].columns["amount"] == "VARCHAR"
    (table,) = look(tmp_path, text, answers={question: "comma"}).tables
    assert (table.format.decimal, table.columns["amount"]) == (
        ",",
        "BIGINT" if "." in text else "DECIMAL(18,3)",
    )


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (column("x", "Zürich").encode(), "utf-8"),
        (b"\xef\xbb\xbf" + column("x", "Zürich").encode(), "utf-8"),
        (column("x", "Zürich").encode("utf-16"), "utf-16"),
        (column("x", "Zürich").encode("utf-16-be"), "utf-16-be"),
        (column("x", "Zürich €").encode("cp1252"), "windows-1252"),
    ],
)
def test_the_encoding(tmp_path, content, encoding):
    proposal = look(tmp_path, content)
    assert proposal.tables[0].format.encoding == encoding
    assert proposal.columns["orders"]["x"].samples[0].startswith("Zürich")


def test_headers_become_plain_names(tmp_path):
    text = "Order ID,Größe (cm),Größe (cm),,orderDate,_row\n1,2,3,4,2025-01-01,5\n"
    (table,) = look(tmp_path, text).tables
    assert [*table.columns] == [
        "order_id", "grosse_cm", "grosse_cm_2", "order_date", "row",
    ]  # fmt: skip
    assert table.format.headers["Größe (cm)_2"] == "grosse_cm_2"


def test_lines_before_the_header_are_seen(tmp_path):
    (table,) = look(tmp_path, "Orders of 2025\n\nid;name\n1;a\n2;b\n3;c\n").tables
    assert (table.format.skip, table.format.delimiter) == (2, ";")
    assert [*table.columns] == ["id", "name"]


def test_a_value_that_does_not_fit_is_asked_and_named_with_its_line(tmp_path):
    texts = [f"{place}.5" for place in range(200)]
    text = column("amount", *texts, "much")
    proposal = look(tmp_path, text)
    (question,) = [q for q in proposal.questions if "Reject these rows" in q]
    assert "1 of 201 values are no DECIMAL(18,2), such as 'much'" in question
    assert proposal.tables[0].rejects and proposal.rows == {"orders": 200}
    assert any("'much' is no DECIMAL(18,2), line 202" in note for note in proposal.notes)
    (table,) = look(tmp_path, text, answers={question: "text"}).tables
    assert table.columns["amount"] == "VARCHAR"


def test_a_value_beyond_the_sample_changes_the_type(tmp_path, monkeypatch):
    monkeypatch.setattr("proto_loc.sources.file_inspection.TEXTS", 2)
    texts = ["1", "1", "2", "2", "3000000000000.123456"]
    proposal = look(tmp_path, column("x", *texts))
    assert proposal.tables[0].columns["x"] == "DOUBLE" and proposal.rows == {"orders": 5}


def test_null_texts_of_numbers_are_asked_for_texts(tmp_path):
    text = "id,n,name\n1,NA,NA\n2,5,b\n"
    proposal = look(tmp_path, text)
    (question,) = [q for q in proposal.questions if "mean null" in q]
    assert proposal.columns["orders"]["name"].nulls == 1
    proposal = look(tmp_path, text, answers={question: "text"})
    assert proposal.columns["orders"]["name"].nulls == 0
    assert proposal.columns["orders"]["n"].nulls == 1


def test_the_key_and_the_partition(tmp_path):
    paths = []
    for month in ("01", "02"):
        paths.append(tmp_path / f"orders-2025-{month}.csv")
        rows = "".join(f"{month}{day},2025-{month}-0{day},{day % 2}\n" for day in range(1, 6))
        paths[-1].write_text("nr,day,shop\n" + rows)
    (table,) = inspect_files("shop", {"orders": paths}).tables
    assert (table.key, table.partition) == (("nr",), "month:day")
    assert table.files == "orders-*.csv"
    paths[1].write_text("nr,day,shop\n9,2025-01-07,1\n")
    (table,) = inspect_files("shop", {"orders": paths}).tables
    assert table.partition == "file"


def test_no_key_is_made_of_measures(tmp_path):
    (table,) = look(tmp_path, "amount,note\n1.5,a\n2.5,b\n3.5,b\n").tables
    assert table.key == ()


def test_folders_become_columns(tmp_path):
    paths = []
    for year in ("2024", "2025"):
        paths.append(tmp_path / f"year={year}/month=01/part.csv.gz")
        paths[-1].parent.mkdir(parents=True)
        paths[-1].write_bytes(gzip.compress(b"id,name\n1,a\n2,b\n"))
    proposal = inspect_files("shop", {"orders": paths})
    (table,) = proposal.tables
    assert table.columns == {"id": "BIGINT", "name": "VARCHAR", "year": "BIGINT", "month": "BIGINT"}
    assert (table.files, table.partition) == ("year=*/month=*/*.csv", "file")
    assert proposal.rows == {"orders": 4}


def test_parquet_and_json_keep_their_types(tmp_path):
    query = "select 1::integer as id, 'a' as name, timestamptz '2025-01-01 00:00:00+00' as at"
    for kind in ("parquet", "json"):
        path = tmp_path / f"orders.{kind}"
        duckdb.sql(f"copy ({query}) to '{path}' (format {kind})")
    (table,) = inspect_files("shop", {"orders": [tmp_path / "orders.parquet"]}).tables
    assert table.columns == {"id": "INTEGER", "name": "VARCHAR", "at": "TIMESTAMPTZ"}
    (table,) = inspect_files("shop", {"orders": [tmp_path / "orders.json"]}).tables
    assert table.columns == {"id": "BIGINT", "name": "VARCHAR", "at": "TIMESTAMPTZ"}


def test_files_with_other_columns_are_refused(tmp_path):
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("id,name\n1,a\n")
    second.write_text("id,title\n1,a\n")
    with pytest.raises(LocError, match="Its columns differ"):
        inspect_files("shop", {"orders": [first, second]})


def test_the_proposal_reads_the_files_as_the_runner_does(tmp_path):
    """What an inspection counts is what a load counts."""
    proposal = look(tmp_path, 'id,name\n1,"a\nb"\n2\n3,c\n')
    table: Table = proposal.tables[0]
    assert (proposal.rows, table.rejects) == ({"orders": 2}, True)
    assert any("the row has 1 values, and the header 2, line 4" in n for n in proposal.notes)


def test_the_sheet_of_a_book_is_asked(tmp_path):
    path = book(
        tmp_path / "orders.xlsx",
        ("id", "amount"),
        (1, 2.5),
        more=(("id", "day"), (1, '<c s="1"><v>45688</v></c>')),
    )
    proposal = inspect_files("shop", {"orders": [path]})
    assert proposal.tables[0].columns == {"id": "BIGINT", "amount": "DECIMAL(18,2)"}
    question = "orders: which sheet of orders.xlsx?"
    assert proposal.questions[question] == ("Orders", "More")
    proposal = inspect_files("shop", {"orders": [path]}, answers={question: "More"})
    assert proposal.tables[0].columns == {"id": "BIGINT", "day": "DATE"}
    assert proposal.tables[0].format.sheet == "More"


def test_a_file_goes_to_the_table_whose_pattern_says_more(tmp_path):
    shop = FileSource(
        "shop",
        [
            Table("orders", {"id": "BIGINT"}, "orders*"),
            Table("items", {"id": "BIGINT"}, "orders_i*"),
        ],
    )
    for name, table in (("orders_items.csv", "items"), ("orders_1.csv", "orders")):
        assert [fit.name for fit in shop._tables_of(tmp_path / name)] == [table]


@pytest.mark.parametrize("value", ["x" * 200_000, f'"{"x" * 200_000}"'], ids=["plain", "quoted"])
def test_a_long_value_is_no_obstacle(tmp_path, value):
    csv.field_size_limit(128 << 10)  # as in a new process
    (table,) = look(tmp_path, column("x", "a", value)).tables
    assert table.columns == {"id": "BIGINT", "x": "VARCHAR"}


def test_a_stray_quote_before_many_rows_is_no_traceback(tmp_path):
    csv.field_size_limit(128 << 10)
    rows = ["b" * 200 for _ in range(1_500)]
    proposal = look(tmp_path, column("x", '"a', *rows))
    assert [table.name for table in proposal.tables] == ["orders"]


def test_values_that_python_cannot_tell_apart_refuse_the_file(tmp_path):
    path = tmp_path / "orders.csv"
    with pytest.raises(LocError, match="was refused") as error, refusing_damage(path):
        list(csv.reader(["a\rb"]))
    assert "cannot be told apart" in error.value.why


@pytest.mark.parametrize("end", [-9, 200])
def test_a_cut_archive_is_refused_with_its_name(tmp_path, end):
    rows = column("x", *map(str, range(500_000)))
    with pytest.raises(LocError, match=r"orders\.csv\.gz was refused") as error:
        look(tmp_path, gzip.compress(rows.encode())[:end], "orders.csv.gz")
    assert "It is damaged" in error.value.why
