"""Tests of a source of files: a short declaration; files are loaded whole or refused."""

from dataclasses import replace
from datetime import datetime, timedelta

import duckdb
import pytest

import pipelines
from proto_loc import doctor, sources
from proto_loc.errors import LocError
from proto_loc.sources import Table, WouldReplace, files
from proto_loc.sources.files import FileSource
from proto_loc.sources.state import table_states
from proto_loc.warehouse import lake

COLUMNS = {"id": "BIGINT", "day": "DATE", "amount": "DECIMAL(12,2)"}
ORDERS = Table("orders", COLUMNS, "orders*", ("id",), "month:day")
SHOP = FileSource("shop", [ORDERS])
ROWS = "id,day,amount\n1,2025-01-01,1.50\n2,2025-02-01,2.50\n"


@pytest.fixture(autouse=True)
def platform(tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    monkeypatch.setattr(sources, "find_sources", lambda: {"shop": SHOP})
    (tmp_path / "data/landing/shop").mkdir(parents=True)


def load(*paths, source=SHOP, **options):
    return source.load_files(paths, who="test", report=lambda *state: None, **options)


def rows(sql: str = "select id, amount::varchar, _row from shop.orders order by 1") -> list[tuple]:
    version = lake.settle(sources.declared_columns())
    with version.open() as con:
        return con.execute(sql).fetchall()


@pytest.fixture
def lenient(monkeypatch) -> FileSource:
    """The shop, with a table of rejected rows."""
    shop = FileSource("shop", [replace(ORDERS, rejects=True)])
    monkeypatch.setattr(sources, "find_sources", lambda: {"shop": shop})
    return shop


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
        ("id,day,amount\n1,2025-01-01,1\n1,2025-01-01,2\n", "Row 2, key id: 1 is there twice"),
        ("id,day,amount\n,2025-01-01,1\n", "Row 1, column id: no value, and its key needs one"),
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


@pytest.mark.parametrize("changed", [("", "month:day"), ("month:day", "day:day"), ("", "file")])
def test_a_changed_partition_replaces_all_loads_or_none(tmp_path, monkeypatch, changed):
    path = tmp_path / "orders.csv"
    path.write_text(ROWS)
    for partition in (*changed, changed[0]):
        shop = FileSource("shop", [replace(ORDERS, partition=partition)])
        monkeypatch.setattr(sources, "find_sources", lambda shop=shop: {"shop": shop})
        if rows():
            with pytest.raises(LocError, match="loads are of another partition") as error:
                load(path, source=shop)
            assert "--replace" in error.value.fix
        load(path, source=shop, replace=bool(rows()))
        assert len(rows()) == 2


def test_the_landing_folder_of_a_source_is_loaded_once(tmp_path):
    (tmp_path / "data/landing/shop/orders.csv").write_text(ROWS)
    assert [path.name for path in SHOP.pending()] == ["orders.csv"]
    SHOP.load_landing(who="test", report=lambda *state: None)
    assert SHOP.pending() == [] and len(rows()) == 2


def write_sample(folder, rows: int, seed: int) -> None:
    lines = (f"{i},2025-01-{i:02},{seed}\n" for i in range(1, rows + 1))
    (folder / "orders-sample.csv").write_text("id,day,amount\n" + "".join(lines))


def test_a_sample_is_synthetic_and_never_takes_the_place_of_records(tmp_path, monkeypatch):
    source = FileSource("shop", [ORDERS], sample=write_sample, sample_rows=3)
    monkeypatch.setattr(sources, "find_sources", lambda: {"shop": source})

    def sample(**options) -> tuple:
        (outcome,) = source.load_sample(who="test", report=lambda *state: None, **options)
        return outcome.load.origin, outcome.load.rows, outcome.skipped

    assert sample() == ("synthetic", 3, "")
    assert sample(rows=2, seed=7) == ("synthetic", 2, "")
    assert rows() == [(1, "7.00", 1), (2, "7.00", 2)]
    (tmp_path / "orders.csv").write_text("id,day,amount\n5,2025-01-01,1.50\n")
    (loaded,) = load(tmp_path / "orders.csv")
    assert (loaded.load.origin, loaded.replaced.origin) == ("file", "synthetic")
    assert sample() == ("file", 1, "real records are kept")
    assert rows() == [(5, "1.50", 1)]


def test_a_broken_source_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.undo()
    folder = tmp_path / "pipelines/broken"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("x = 1\nSOURCE = 1 / 0\n")
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    monkeypatch.setattr(pipelines, "__path__", [str(tmp_path / "pipelines")])
    with pytest.raises(LocError, match=r"broken/__init__.py, line 2"):
        sources.find_sources()


def test_rows_that_break_the_declaration_are_kept_with_file_row_and_reason(tmp_path, lenient):
    path = tmp_path / "orders.csv"
    path.write_text(
        "id,day,amount\n1,2025-01-01,1\n2,2025-01-01,much\n2,2025-01-02,2\n2,2025-01-03,3\n4,,4\n"
    )
    load(path, source=lenient)
    assert [row[0] for row in rows()] == [1, 2]
    rejects = "select _row, _reason, _record->>'amount', _source_file from shop.orders_rejects"
    assert rows(f"{rejects} order by 1") == [
        (2, "column amount: 'much' is no DECIMAL(12,2)", "much", "orders.csv"),
        (4, "key id: 2 is there twice", "3", "orders.csv"),
        (5, "column day: no value, and its partition needs one", "4", "orders.csv"),
    ]
    path.write_text("id,day,amount\n1,2025-01-01,1\n2,2025-01-01,2\n")
    load(path, source=lenient)
    assert rows("select count(*) from shop.orders_rejects") == [(0,)]
    assert {outcome.skipped for outcome in load(path, source=lenient)} == {"it is loaded already"}


REJECTED = "select _source_file from shop.orders_rejects order by 1"


@pytest.mark.parametrize(
    "names", [("orders a.csv", "orders_a.csv"), ("orders-1.csv", "orders-1.txt")]
)
def test_files_of_similar_names_keep_their_rejects(tmp_path, lenient, names):
    for month, name in enumerate(names, 1):
        (tmp_path / name).write_text(f"id,day,amount\n{month},2025-0{month}-01,1\n9,,1\n")
        load(tmp_path / name, source=lenient)
    assert rows(REJECTED) == [(name,) for name in names]


def test_rejects_go_with_the_last_rows_of_their_file(tmp_path, lenient):
    for name, months in (("orders-a.csv", (1, 2)), ("orders-b.csv", (1,)), ("orders-c.csv", (2,))):
        lines = (f"{month},2025-0{month}-01,1\n" for month in months)
        (tmp_path / name).write_text("id,day,amount\n" + "".join(lines) + "9,,1\n")
        load(tmp_path / name, source=lenient)
        expected = [("orders-a.csv",)] if name != "orders-c.csv" else []
        expected += [(f"orders-{of}.csv",) for of in "bc" if f"orders-{of}.csv" <= name]
        assert rows(REJECTED) == expected


def test_a_file_without_a_good_row_keeps_its_rejects(tmp_path, lenient):
    for amount in (1, 2):
        (tmp_path / "orders.csv").write_text(f"id,day,amount\n1,,{amount}\n")
        load(tmp_path / "orders.csv", source=lenient)
        assert rows(REJECTED) == [("orders.csv",)]


def test_a_partition_that_an_older_release_named_is_replaced(tmp_path, monkeypatch):
    shop = FileSource("shop", [replace(ORDERS, partition="file", rejects=True)])
    monkeypatch.setattr(sources, "find_sources", lambda: {"shop": shop})
    path = tmp_path / "orders a.csv"
    path.write_text(f"{ROWS}9,x,1\n")
    with monkeypatch.context() as older:
        older.setattr(files, "file_partition", lambda name: "orders_a")
        load(path, source=shop)
    assert {outcome.skipped for outcome in load(path, source=shop)} == {"it is loaded already"}
    path.write_text(f"{ROWS}9,y,1\n")
    load(path, source=shop)
    assert (len(rows()), len(rows(REJECTED))) == (2, 1)


def test_a_table_of_rejects_stands_before_anything_is_loaded(lenient):
    assert rows("select count(*) from shop.orders_rejects") == [(0,)]


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ({"partition": "week:day"}, "the partition 'week:day' is none"),
        ({"partition": "month:when"}, "the partition 'month:when' is none"),
        ({"first": "2024-1"}, "its first partition '2024-1' is no month"),
        ({"partition": "day:day", "first": "2024-01"}, "'2024-01' is no day"),
        ({"partition": "", "first": "2024-01"}, "'2024-01' is no partition"),
    ],
)
def test_a_partition_that_cannot_be_is_refused_where_it_is_declared(declared, named):
    with pytest.raises(ValueError, match=f"table orders: .*{named}"):
        replace(ORDERS, **declared)


@pytest.mark.parametrize(
    "kind", ["HUGEINT", "uhugeint", "int128", "HUGEINT[]", "STRUCT(a UINT128)"]
)
def test_a_type_of_which_the_lake_loses_digits_is_refused_where_it_is_declared(kind):
    """Bug: Parquet has no whole numbers of 128 bits, so DuckDB wrote doubles: 123...890 and
    123...891 of 30 digits became one number.
    """
    with pytest.raises(ValueError, match="table orders, column amount: the lake cannot hold"):
        replace(ORDERS, columns=ORDERS.columns | {"amount": kind})


def test_a_partition_that_is_too_small_or_too_old_is_named(tmp_path, monkeypatch):
    table = replace(ORDERS, min_rows=2, fresh_within=timedelta(days=1))
    shop = FileSource("shop", [table])
    monkeypatch.setattr(sources, "find_sources", lambda: {"shop": shop})
    (state,) = table_states(datetime(2025, 1, 1))
    assert state.stale == "No load; the declaration wants one within 1 day, 0:00:00."
    path = tmp_path / "orders.csv"
    path.write_text(f"{ROWS}3,2025-02-02,3\n")
    loaded_at = load(path, source=shop)[0].load.loaded_at
    (state,) = table_states(loaded_at + timedelta(days=1))
    assert (state.small, state.stale) == ("Fewer rows than 2 in 2025-01 (1 rows).", "")
    (state,) = table_states(loaded_at + timedelta(days=1, seconds=1))
    assert state.stale.startswith(f"The newest load is of {loaded_at:%Y-%m-%d}")
    shown = [finding.what for finding in doctor.data.sources()]
    assert shown == ["shop.orders: Fewer rows than 2 in 2025-01 (1 rows)."]
