"""Names from headers and files: clean, unique, and none that SQL, Python or dbt reserve."""

from pathlib import Path

import pytest

from proto_loc.errors import UsageError
from proto_loc.scaffold.names import clean, source_name, unique
from proto_loc.scaffold.tables import overridden, tables_of
from proto_loc.sources import Table


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Dep Time", "dep_time"),
        ("depTime", "dep_time"),
        ("customerID", "customer_id"),
        ("Größe (m²)", "grosse_m2"),
        ("Straße", "strasse"),
        ("select", "select_value"),
        ("left", "left_value"),
        ("x", "x_value"),
        ("No", "no_value"),
        ("2020", "value_2020"),
        ("日本", "value"),
        ("a__b--c", "a_b_c"),
    ],
)
def test_a_header_becomes_a_plain_name(text: str, name: str):
    assert clean(text) == name


def test_equal_names_are_numbered():
    assert unique(["a", "a", "a_2", "a"]) == ["a", "a_2", "a_2_2", "a_3"]


def test_a_source_may_have_a_hyphen_and_a_space():
    assert source_name("my-shop") == source_name("My shop") == "my_shop"


@pytest.mark.parametrize(
    "name", ["", "--", "json", "filter", "select", "raw", "sample", "1", "日本"]
)
def test_a_source_is_not_named_after_a_module_or_a_word_of_sql(name: str):
    with pytest.raises(UsageError, match="cannot be named"):
        source_name(name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        *("orders-2025-01.csv", "orders-2025-02.csv.gz", "Order Items.csv", "2025-01.csv"),
        *("events/year=2025/month=1/part-0.parquet", "events/year=2025/month=2/part-0.parquet"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_files_that_differ_by_a_date_are_one_table(folder: Path):
    tables = tables_of("shop", ["*.csv*", "events/**/*.parquet"], {})
    assert {name: len(paths) for name, paths in tables.items()} == {
        "orders": 2, "order_items": 1, "shop": 1, "events": 2,
    }  # fmt: skip


def test_a_pattern_without_a_file_and_a_file_of_two_tables_are_named(folder: Path):
    with pytest.raises(UsageError, match="No file matches nothing"):
        tables_of("shop", ["nothing*.csv"], {})
    with pytest.raises(UsageError, match="two tables, a_table and b_table"):
        tables_of("shop", [], {"a": "orders*", "b": "orders*"})


def test_a_person_decides_key_and_partition():
    table = Table("orders", {"id": "BIGINT", "day": "DATE"}, "orders*.csv", ("id",))
    (made,) = overridden([table], {"orders": "id, day"}, {"orders": "month:day"})
    assert made.key == ("id", "day") and made.partition == "month:day"
    assert overridden([table], {"orders": ""}, {})[0].key == ()
    for keys, partitions, words in (
        ({"order": "id"}, {}, "names the table order, which is none"),
        ({"orders": "ids"}, {}, "orders has no column 'ids'"),
        ({}, {"orders": "month:id2"}, "the partition 'month:id2' is none"),
    ):
        with pytest.raises(UsageError, match=words):
            overridden([table], keys, partitions)
