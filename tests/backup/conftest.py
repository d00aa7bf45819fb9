"""Fixtures: a small platform in a temporary folder, and empty ones beside it for restores."""

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest

from proto_loc import fork_file, sources, warehouse
from proto_loc.backup import make, workspace
from proto_loc.settings import private_folder, settings
from proto_loc.warehouse import lake

TABLES = {"shop.orders": {"id": "INTEGER", "item": "VARCHAR"}}


@dataclass
class Platform:
    """The folders of a platform; :meth:`use` makes it the one of the settings."""

    home: Path
    patch: pytest.MonkeyPatch

    def use(self) -> "Platform":
        self.patch.setenv("LOC_DATA", str(self.data))
        self.patch.setenv("LOC_RUN", str(self.home / "run"))
        self.patch.setattr(workspace, "NOTEBOOKS", private_folder(self.notebooks))
        private_folder(self.data)
        return self

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def notebooks(self) -> Path:
        return self.home / "notebooks"

    @property
    def fork(self) -> Path:
        """The file of the fork, which is that of the settings."""
        self.patch.setattr(fork_file, "FILE", self.home / "fork.toml")
        return self.home / "fork.toml"

    def load(self, *values: int, partition: str = "2025-01") -> None:
        """Load rows into ``raw``, and publish their number in ``prod``."""
        with lake.loading(TABLES, who="test") as loading:
            load_id, path = loading.reserve("shop", "orders", partition)
            rows = ", ".join(f"({value}, 'x')" for value in values)
            loading.con.sql(f"from (values {rows}) as t (id, item)").write_parquet(str(path))
            name, size = str(path.relative_to(settings().lake)), path.stat().st_size
            loading.add(
                lake.Load(
                    *(load_id, "shop", "orders", partition, "file", name, len(values), size),
                    *(f"{partition}.csv", None, loading.loaded_at),
                )
            )
        with warehouse.write("prod", who="test") as session, session.connect() as con:
            con.execute("create schema if not exists marts")
            con.execute(f"create or replace table marts.orders as select {sum(values)} as total")

    def orders(self) -> list[int]:
        with warehouse.read("raw") as con:
            return [
                row for (row,) in con.execute("select id from shop.orders order by 1").fetchall()
            ]

    def total(self) -> int:
        with warehouse.read("prod") as con:
            return con.execute("select total from marts.orders").fetchone()[0]

    def files(self) -> dict[str, bytes]:
        """The content of every file of the platform, except those of backups, and its links."""
        return {
            str(path.relative_to(self.home)): path.read_bytes()
            for path in sorted(self.home.rglob("*"))
            if path.is_file()
            and not path.is_relative_to(self.data / "backup")
            and not path.name.endswith(("writer.lock", "-wal", "-shm"))
        }

    def leftovers(self) -> list[str]:
        """What a backup or restore has left, apart from its lock, id and history."""
        kept = {"lock", "id", "history.jsonl", "history.lock"}
        left = [path for path in workspace.folder().glob("*") if path.name not in kept]
        left += [*self.notebooks.glob(".re*"), *(self.home / "run/secrets").glob(".re*")]
        return [path.name for path in left]


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Platform:
    """A platform without anything, in a path with a space; not yet the one of the settings."""
    monkeypatch.setattr(sources, "declared_columns", lambda: TABLES)
    monkeypatch.delenv("LOC_SUPERSET_METADATA", raising=False)
    return Platform(tmp_path / "another place", monkeypatch)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a platform with two loads, metadata of Superset, a notebook and a secret."""
    with pytest.MonkeyPatch.context() as patch:
        made = Platform(tmp_path_factory.mktemp("template"), patch).use()
        made.load(1, 2)
        made.load(3, partition="2025-02")
        home = private_folder(made.data / "superset")
        with sqlite3.connect(home / "superset.db") as con:
            con.execute("pragma journal_mode = wal")
            con.execute("create table dashboards (title text)")
            con.execute("insert into dashboards values ('Mine')")
        con.close()
        work = private_folder(made.notebooks / "work")
        (work / "Ünï code.ipynb").write_text("{}")
        secrets = private_folder(made.home / "run/secrets")
        (secrets / "shop-dsn").write_text("s3cr3t-word\n")
        (secrets / "shop-dsn").chmod(0o600)
    return made.home


@pytest.fixture
def platform(template: Path, tmp_path, empty, monkeypatch) -> Platform:
    """A copy of the template, as the platform of the settings."""
    shutil.copytree(template, tmp_path / "platform", symlinks=True)
    return Platform(tmp_path / "platform", monkeypatch).use()


@pytest.fixture
def target(tmp_path) -> Path:
    """The file of an archive that does not exist yet."""
    return private_folder(tmp_path / "disk") / "monday.tar.zst"


@pytest.fixture
def monday(platform, empty, target) -> Path:
    """An archive; the settings are those of an empty platform."""
    make.backup(target, make.Wish(), who="test")
    empty.use()
    return target
