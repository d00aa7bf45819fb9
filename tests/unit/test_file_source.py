"""Tests of a source of files: a short declaration; files are loaded whole or refused."""

import duckdb
import pytest

import pipelines
from proto_loc import sources
from proto_loc.errors import LocError
from proto_loc.sources import Table, WouldReplace
from proto_loc.sources.files import FileSource
from proto_loc.warehouse import lake

COLUMNS = {"id": "BIGINT", "day": "DATE", "amount": "DECIMAL(12,2)"}
SHOP = FileSource("shop", (Table("orders", COLUMNS, "orders*", ("id",), "month:day"),))
ROWS = "id,day,amount\n1,2025-01-01,1.50\n2,2025-02-01,2.50\n"


@pytest.fixture(autouse=True)
def platform(tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    monkeypatch.setattr(sources, "find_sources", lambda: {"shop": SHOP})
    (tmp_path / "data/landing/shop").mkdir(parents=True)


def load(*paths, **options):
    return SHOP.load_files(paths, who="test", report=lambda *state: None, **options)


def rows() -> list[tuple]:
    version = lake.settle(sources.TABLES)
    with version.open() as con:
        return con.execute(
            "select id, amount::varchar, _row from shop.orders order by 1"
        ).fetchall()


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json", "ndjson"])
def test_every_format_is_loaded_with_the_declared_types(tmp_path, suffix):
    path, text = tmp_path / f"orders.{suffix}", tmp_path / "text.csv"
    text.write_text(ROWS)
    form = {"json": "json, array true", "ndjson": "json"}.get(suffix, suffix)
    duckdb.sql(f"copy (from read_csv('{text}')) to '{path}' (format {form})")
    assert [outcome.load.partition for outcome in load(path)] == ["2025-01", "2025-02"]
    assert rows() == [(1, "1.50", 1), (2, "2.50", 2)]
    assert {outcome.skipped for outcome in load(path)} == {"it is loaded already"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("id,day,amount\n1,2025-01-01,1\n2,2025-01-01,much\n", "Row 2, column amount: 'much'"),
        ("id,day,amount\n1.5,2025-01-01,1\n", "Row 1, column id: '1.5'"),
        ("id,day\n1,2025-01-01\n", "Columns missing: amount"),
        ("id,day,amount\n1,,1\n", "Row 1, column day: no value"),
        ("id,day,amount\n1,2025-01-01,1\n1,2025-01-01,2\n", "Row 2: id 1 is there twice"),
    ],
)
def test_a_file_that_breaks_the_declaration_is_refused_whole(tmp_path, text, named):
    path = tmp_path / "orders.csv"
    path.write_text(text)
    with pytest.raises(LocError) as error:
        load(path)
    assert str(path) in error.value.what and named in error.value.why
    assert rows() == []


def test_a_file_of_another_name_takes_no_rows_away_unasked(tmp_path):
    first, second = tmp_path / "orders-a.csv", tmp_path / "orders-b.csv"
    first.write_text(ROWS)
    second.write_text("id,day,amount\n3,2025-01-05,9\n")
    load(first)
    with pytest.raises(WouldReplace):
        load(second)
    load(second, replace=True)
    assert [row[0] for row in rows()] == [2, 3]


def test_the_landing_folder_of_a_source_is_loaded_once(tmp_path):
    (tmp_path / "data/landing/shop/orders.csv").write_text(ROWS)
    assert [path.name for path in SHOP.pending()] == ["orders.csv"]
    SHOP.load_landing(who="test", report=lambda *state: None)
    assert SHOP.pending() == [] and len(rows()) == 2


def test_a_broken_source_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.undo()
    folder = tmp_path / "pipelines/broken"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("x = 1\nSOURCE = 1 / 0\n")
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    monkeypatch.setattr(pipelines, "__path__", [str(tmp_path / "pipelines")])
    with pytest.raises(LocError, match=r"broken/__init__.py, line 2"):
        sources.find_sources()
