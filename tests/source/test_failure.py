"""A `loc source add` that fails leaves the loads and secrets of before as they were."""

from pathlib import Path

import pytest

from proto_loc import credentials
from proto_loc.cli import _source_add
from proto_loc.errors import LocError
from proto_loc.settings import settings
from proto_loc.warehouse import lake

TABLES = {"shop.orders": {"id": "INTEGER"}}


def load(partition: str) -> lake.Load:
    with lake.loading(TABLES, who="test") as session:
        load_id, path = session.reserve("shop", "orders", partition)
        session.con.sql("select 1 as id").write_parquet(str(path))
        made = lake.Load(
            load_id, "shop", "orders", partition, "file", str(path.relative_to(settings().lake)),
            1, path.stat().st_size, f"{partition}.csv", None, session.loaded_at,
        )  # fmt: skip
        session.add(made)
    return made


def test_only_new_loads_are_taken_back(data: Path):
    first, replaced = load("2025-01"), load("2025-02")
    with pytest.raises(LocError), _source_add._undone("shop"):
        load("2025-02")
        load("2025-03")
        raise LocError("no")
    assert lake.loads() == [first, replaced]


def test_a_replaced_secret_returns_and_a_new_one_goes(data: Path):
    token = credentials.keep("shop-token", "old")
    with pytest.raises(LocError), _source_add._secrets_return("shop"):
        credentials.keep("shop-token", "new")
        credentials.keep("shop-dsn", "new")
        raise LocError("no")
    assert credentials.given("shop-token") == "old" and token.stat().st_mode & 0o077 == 0
    assert not credentials.path("shop-dsn").exists()
