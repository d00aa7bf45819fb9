"""Tests of ``proto_loc.warehouse.lake``: immutable Parquet files and the catalogue raw."""

import json
import os
import shutil
import time
from pathlib import Path

import duckdb
import pytest

from proto_loc import doctor, warehouse
from proto_loc.cli import main
from proto_loc.settings import settings
from proto_loc.warehouse import lake, ledger, store

TABLES = {"shop.orders": {"id": "INTEGER", "item": "VARCHAR"}, "shop.returns": {"id": "INTEGER"}}


def load(
    *values: int, partition: str = "2025-01", table: str = "orders", tables=TABLES
) -> lake.Load:
    with lake.loading(tables, who="test") as loading:
        load_id, path = loading.reserve("shop", table, partition)
        rows = ", ".join(f"({value}, 'x')" for value in values)
        loading.con.sql(f"from (values {rows}) as t (id, item)").write_parquet(str(path))
        made = lake.Load(
            load_id,
            "shop",
            table,
            partition,
            "file",
            str(path.relative_to(settings().lake)),
            len(values),
            path.stat().st_size,
            f"{partition}.csv",
            None,
            loading.loaded_at,
        )
        loading.add(made)
    return made


def orders(version: int | None = None) -> list[int]:
    with warehouse.read("raw", version=version) as con:
        return [i for (i,) in con.execute("select id from shop.orders order by id").fetchall()]


def files() -> list[Path]:
    return sorted(settings().lake.glob("*/*.parquet"))


def test_every_table_has_a_view_before_anything_is_loaded(data):
    lake.settle(TABLES)
    with warehouse.read("raw") as con:
        assert con.execute("select * from shop.orders").fetchall() == []
        assert con.sql("select * from shop.returns").columns == ["id"]


def test_a_load_is_a_file_and_a_new_catalogue_over_exactly_the_active_files(data):
    first = load(1, 2)
    second = load(3, partition="2025-02")
    assert orders() == [1, 2, 3]
    assert first.load_id < second.load_id
    assert [path.stat().st_mode & 0o777 for path in files()] == [0o444, 0o444]
    version = warehouse.current("raw")
    assert version.tables["shop.orders"] == 3
    assert version.facts["load_ids"] == [first.load_id, second.load_id]


def test_a_load_takes_the_place_of_its_partition_and_going_back_is_a_swap(data):
    load(1, 2)
    load(8, 9)
    assert orders() == [8, 9]
    assert [item.active for item in lake.loads(active=False)] == [False, True]
    warehouse.rollback("raw")
    assert orders() == [1, 2]
    third = load(5, partition="2025-03")
    assert orders() == [1, 2, 5]
    newest = max(load.load_id for load in lake.loads(active=False) if load != third)
    assert third.load_id > newest, "an id rises"


def test_a_failed_load_leaves_no_file_and_no_version(data):
    load(1)
    with pytest.raises(ZeroDivisionError), lake.loading(TABLES, who="test") as loading:
        _, path = loading.reserve("shop", "orders", "2025-02")
        path.write_bytes(b"half")
        raise ZeroDivisionError
    assert (len(files()), store.versions("raw"), orders()) == (1, [1], [1])


def test_files_that_a_killed_load_left_are_swept_by_the_next_one(data):
    load(1)
    orphan = settings().lake / "shop" / "orders-2025-09-20001.parquet"
    orphan.write_bytes(b"half")
    load(2, partition="2025-02")
    assert not orphan.exists()
    assert orders() == [1, 2]


def test_a_part_that_a_killed_load_left_is_swept_and_a_strangers_file_stays(data):
    load(1)
    part = settings().lake / "shop" / ".orders-2025-09-20001.parquet.77.part"
    mine = settings().lake / "shop" / "my own.parquet"
    for path in (part, mine):
        path.write_bytes(b"half")
    load(2, partition="2025-02")
    assert (part.exists(), mine.exists()) == (False, True)


def test_a_damaged_manifest_of_an_old_version_stops_no_load(data):
    load(1)
    load(2)
    (store.folder("raw") / "versions/000001/manifest.json").unlink()
    load(3, partition="2025-02")
    assert (orders(), len(files())) == ([2, 3], 3)


def test_pruning_removes_the_files_that_no_kept_version_uses(data):
    load(1)
    load(2)
    assert lake.sweep() == []
    assert warehouse.prune("raw", keep=1, grace=0) == [1]
    assert len(lake.sweep()) == 1
    assert (len(files()), orders()) == (1, [2])


def test_a_moved_clone_gets_its_catalogue_rebuilt(data, monkeypatch, tmp_path, caplog):
    load(1, 2)
    moved = tmp_path / "it's [new]*"
    data.rename(moved)
    monkeypatch.setenv("LOC_DATA", str(moved))
    version = lake.settle(TABLES)
    assert (version.id, orders()) == (2, [1, 2])
    assert f"the lake is now in {moved}/lake" in caplog.text
    assert lake.settle(TABLES).id == 2, "once is enough"
    load(3, partition="2025-02")
    assert orders() == [1, 2, 3]


def test_a_path_with_glob_characters_reads_its_own_file_only(data, monkeypatch, tmp_path):
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "[ab]*"))
    made = load(1)
    twin = tmp_path / "axx" / "lake" / made.file
    twin.parent.mkdir(parents=True)
    shutil.copy(settings().lake / made.file, twin)
    assert orders() == [1]


def test_a_new_column_of_a_source_reaches_the_view_and_is_null_in_old_files(data):
    load(1)
    wider = {**TABLES, "shop.orders": {**TABLES["shop.orders"], "note": "VARCHAR"}}
    lake.settle(wider)
    with warehouse.read("raw") as con:
        assert con.execute("select id, note from shop.orders").fetchall() == [(1, None)]


def test_a_truncated_lake_file_is_named(data):
    made = load(1)
    path = settings().lake / made.file
    path.chmod(0o644)
    os.truncate(path, 10)
    with pytest.raises(
        warehouse.VersionDamaged, match=rf"{path} has 10 bytes.*`loc load 2025-01.csv`"
    ):
        lake.settle(TABLES)
    load(7)
    assert (lake.settle(TABLES).id, orders()) == (2, [7])


def test_a_lost_lake_file_is_named_and_loading_it_again_mends_it(data):
    made = load(1)
    (settings().lake / made.file).unlink()
    assert not lake.whole(made)
    with pytest.raises(warehouse.VersionDamaged, match="has 0 bytes"):
        lake.settle(TABLES)
    load(1)
    assert (lake.settle(TABLES).id, orders()) == (2, [1])


def test_several_lost_lake_files_are_mended_one_after_the_other(data, caplog):
    lost = [load(i, partition=f"2025-0{i}") for i in (1, 2, 3)]
    for made in lost[:2]:
        (settings().lake / made.file).unlink()
    with pytest.raises(
        warehouse.VersionDamaged, match="2 of raw's loads.*`loc load 2025-01.csv 2025-02.csv`"
    ):
        lake.settle(TABLES)
    load(1, partition="2025-01")
    assert "2025-02.csv is lost from the lake" in caplog.text
    with pytest.raises(warehouse.VersionDamaged, match="1 of raw's loads.*`loc load 2025-02.csv`"):
        lake.settle(TABLES)
    load(2, partition="2025-02")
    lake.settle(TABLES)
    assert orders() == [1, 2, 3]


def test_settle_checks_the_version_that_it_returns(data, monkeypatch):
    made = load(1)
    (settings().lake / made.file).unlink()
    current = store.current
    versions = iter([current("raw")])
    load(1)
    monkeypatch.setattr(
        store, "current", lambda database: next(versions, None) or current(database)
    )
    with pytest.raises(warehouse.VersionDamaged):
        lake.settle(TABLES)


def test_an_empty_raw_that_set_up_made_holds_no_loads_and_can_be_loaded_into(data):
    warehouse.ensure("raw")
    assert lake.loads() == lake.loads(active=False) == []
    assert lake.sweep() == []
    load(1)
    assert orders() == [1]


def test_load_ids_never_come_again(data):
    """Load ids stay unique if raw is made again or loses its newest version.

    ``prod`` identifies its data by the load ids.
    """
    first = load(1)
    second = load(2, partition="2025-02")
    shutil.rmtree(warehouse.current("raw").folder)
    warehouse.rollback("raw", 1)
    again = load(3, partition="2025-02")
    assert warehouse.current("raw").id == 2
    shutil.rmtree(store.folder("raw"))
    anew = load(1)
    assert warehouse.current("raw").id == 1
    ids = [made.load_id for made in (first, second, again, anew)]
    assert len(set(ids)) == 4 and max(ids) < 2**53


def test_the_lake_of_a_raw_that_was_removed_is_set_aside_and_not_swept(data, caplog):
    made = load(1)
    shutil.rmtree(store.folder("raw"))
    lake.settle(TABLES)
    (aside,) = settings().data.glob("lake.lost-*")
    assert (aside / made.file).exists() and str(aside) in caplog.text
    assert orders() == []


def test_a_sweep_copies_nothing(data, monkeypatch):
    load(1)
    monkeypatch.setattr(store, "copy", lambda *paths: pytest.fail("copied"))
    assert lake.sweep() == []


# --- a lost link: zip, rsync and cloud storage do not keep links; cp -rL copies a folder instead


def _gone(link: Path) -> None:
    link.unlink()


def _folder(link: Path) -> None:
    target = link.resolve()
    link.unlink()
    shutil.copytree(target, link)


def _text(link: Path) -> None:
    text = os.readlink(link)
    link.unlink()
    link.write_text(text)


def _garbage(link: Path) -> None:
    link.unlink()
    link.write_bytes(b"\xff\x00 not a link")


def _nowhere(link: Path) -> None:
    link.unlink()
    link.symlink_to("elsewhere")


@pytest.mark.parametrize(
    "lose", [_gone, _folder, _text, _garbage, _nowhere], ids=lambda lose: lose.__name__[1:]
)
def test_a_lost_link_of_raw_loses_no_record(data, caplog, lose):
    """Issue 7, item 1: `loc refresh` found nothing published, and later loads removed every lake
    file.

    The link is restored to the version that was served, not to one that a rollback replaced.
    """
    load(1)
    load(2)
    warehouse.rollback("raw", 1)
    lose(store.folder("raw") / "current")
    assert orders() == [1] and "leads to version 1 again" in caplog.text
    lose(store.folder("raw") / "current")
    load(3, partition="2025-03")
    lake.sweep()
    assert (orders(), len(files()), warehouse.current("raw").based_on) == ([1, 3], 3, 1)


def test_a_lost_link_leads_to_the_newest_whole_version_where_nothing_is_recorded(data):
    """Nothing recorded which version was served.

    The folder was published before the platform recorded this, and one version was copied only in
    part.
    """
    load(1)
    load(2)
    os.truncate(load(3) and warehouse.current("raw").path, 100)
    for name in ("current", "served"):
        (store.folder("raw") / name).unlink()
    assert orders() == [2]


def test_a_lost_link_beside_no_whole_version_is_refused_and_nothing_is_swept(data):
    made = load(1)
    home = store.folder("raw")
    os.truncate(home / "versions/000001/raw.duckdb", 100)
    (home / "current").unlink()
    for use in (
        lake.loads,
        lake.sweep,
        lambda: load(2),
        lambda: warehouse.rollback("raw"),
        lambda: lake.settle(TABLES),
    ):
        with pytest.raises(
            warehouse.VersionDamaged,
            match=rf"{home}/current leads to no version.*none of 1 is whole",
        ):
            use()
    assert (settings().lake / made.file).exists() and not list(settings().data.glob("lake.lost-*"))


def test_a_current_that_a_copy_made_the_only_version_is_kept(data):
    """`cp -rL` copies `current` as a folder, and the folder `versions` is missing."""
    load(1)
    home = store.folder("raw")
    _folder(home / "current")
    shutil.rmtree(home / "versions")
    assert (orders(), (home / "current").is_symlink()) == ([1], True)


def test_a_folder_without_any_version_is_no_leave_to_sweep_the_lake(data):
    """Issue 7, item 1: a copy that skips read-only folders leaves `versions` empty."""
    made = load(1)
    home = store.folder("raw")
    shutil.rmtree(home / "versions/000001")
    (home / "current").unlink()
    load(2)
    (aside,) = settings().data.glob("lake.lost-*")
    assert (aside / made.file).exists() and orders() == [2]


def test_a_version_whose_link_dangles_stops_writers_and_the_sweep(data):
    load(1)
    load(2)
    shutil.rmtree(store.folder("raw") / "versions/000002")
    for use in (lake.sweep, lambda: load(3), lake.loads):
        with pytest.raises(warehouse.VersionDamaged, match="rollback 1 --database raw"):
            use()
    assert len(files()) == 2


def test_what_is_swept_waits_in_the_bin_for_its_grace_time(data, monkeypatch, caplog):
    """Issue 7, item 1: a file that was removed by mistake was lost at once."""
    made = load(1)
    load(2)
    warehouse.prune("raw", keep=1, grace=0)
    waits = settings().lake / lake.BIN / made.file
    assert lake.sweep() == [settings().lake / made.file] and lake.waiting() == [waits]
    load(3)
    assert waits.exists()
    os.utime(waits, (time.time() - settings().bin_grace - 1,) * 2)
    lake.sweep()
    assert lake.waiting() == []


def test_a_lake_file_is_brought_back_from_the_bin(data, caplog):
    """A copy of raw is restored after its lake files were removed or the lake was renamed."""
    made = load(1)
    shutil.copytree(store.folder("raw"), data / "copy", symlinks=True)
    load(2)
    warehouse.prune("raw", keep=1, grace=0)
    lake.sweep()
    for before in (lake.BIN, "lake.lost-"):
        shutil.rmtree(store.folder("raw"))
        if before != lake.BIN:
            lake.settle(TABLES)
            shutil.rmtree(store.folder("raw"))
        shutil.copytree(data / "copy", store.folder("raw"), symlinks=True)
        lake.settle(TABLES)
        assert orders() == [1] and f"{made.file} was brought back from" in caplog.text


# --- a flipped bit on the disk


def flip(path: Path, position: int = 0) -> None:
    """Change one bit of a file, but not its size, mode or times."""
    stat = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[position or len(content) // 2] ^= 1
    path.write_bytes(content)
    path.chmod(stat.st_mode)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def without_checksums() -> None:
    """Make the current raw look like a version from before checksums were recorded."""
    version = warehouse.current("raw")
    for path in version.folder.iterdir():
        path.chmod(0o644)
    with duckdb.connect(str(version.path)) as con:
        con.execute("alter table main.loads drop column sha256")
    manifest = json.loads((version.folder / "manifest.json").read_text()) | {
        "bytes": version.path.stat().st_size
    }
    del manifest["checksums"], manifest["checksum"]
    (version.folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_flipped_bit_in_a_lake_file_is_found_before_anything_is_built_of_it(data, capsys):
    """Issue 7, item 2: 144 of 200 flips gave wrong values, and no check failed, because only sizes
    were compared.
    """
    first = load(*range(1000))
    second = load(1, partition="2025-02")
    assert main(["db", "verify", "--all"]) == 0
    flip(first.path, 40)
    assert lake.whole(first)
    loads = lake.loads()
    with pytest.raises(
        warehouse.VersionDamaged,
        match=rf"{first.path} is not what was loaded.*`loc load 2025-01.csv`",
    ):
        ledger.check(loads)
    assert [ledger.intact(made) for made in loads] == [False, True] and second in loads
    load(3, partition="2025-03")
    with pytest.raises(warehouse.VersionDamaged, match="not what was loaded"):
        warehouse.rollback("raw", 2)
    capsys.readouterr()
    assert main(["db", "verify"]) == 1
    said = capsys.readouterr()
    assert "damaged" in said.out and f"{first.path.name}" in said.err.replace("\n", "")
    (finding,) = (
        found for name, found in doctor.look() if name == "warehouse" and found.status != "ok"
    )
    assert (finding.status, "is not what was loaded" in finding.why) == ("fail", True)
    load(*range(1000))
    ledger.check(lake.loads())


def test_a_ledger_without_checksums_goes_on_and_says_that_nothing_is_known(data, capsys):
    """A load from before checksums were recorded is reported as unknown, neither as right nor
    wrong.
    """
    made = load(*range(1000))
    without_checksums()
    flip(made.path, 40)
    ledger.check(lake.loads())
    assert main(["db", "verify"]) == 0
    said = capsys.readouterr().out
    assert "of unknown content" in said and "compared by size alone" in said
    assert any(
        "cannot be compared" in found.what for name, found in doctor.look() if name == "warehouse"
    )
    load(2, partition="2025-02")
    assert [made.sha256 is None for made in lake.loads()] == [True, False]


def test_a_lake_file_that_is_no_parquet_any_more_is_named_and_stops_no_other_load(data):
    """Issue 7, item 2: a flipped bit in a file's footer caused a traceback, even in the load of
    another file.
    """
    made = load(1)
    without_checksums()
    flip(made.path, made.bytes - 2)
    with pytest.raises(
        warehouse.VersionDamaged,
        match=rf"{made.path} is not what was loaded: it is not a Parquet file",
    ):
        lake.settle(TABLES)
    load(2, partition="2025-02")
    load(1)
    assert (lake.settle(TABLES).id, orders()) == (3, [1, 2])


# --- loads of a source that are retired


def test_loads_can_be_retired_and_come_back_by_a_rollback(data, capsys):
    """Issue 7, item 4: the loads of a source could not be removed from raw or prod."""
    for month in ("2025-01", "2025-02"):
        load(1, partition=month)
    old = {**TABLES, "old.things": {"id": "INTEGER"}}
    load(7, table="returns", tables=old)
    assert main(["db", "retire", "shop.orders", "--partition", "2024-12"]) == 2
    assert (
        "shop.orders 2025-01, shop.orders 2025-02, shop.returns 2025-01"
        in capsys.readouterr().err.replace("\n", " ")
    )
    assert main(["db", "retire", "shop.orders", "--partition", "2025-02"]) == 2
    said = capsys.readouterr()
    assert (
        "2025-02.csv" in said.out
        and "1 loads with 1 rows were not retired" in said.err
        and len(lake.loads()) == 3
    )
    assert main(["db", "retire", "shop", "--yes"]) == 0
    assert "`loc db rollback 3 --database raw` brings them back" in capsys.readouterr().out.replace(
        "\n", " "
    )
    assert (lake.loads(), len(lake.loads(active=False)), lake.sweep()) == ([], 3, [])
    with warehouse.read("raw") as con:
        views = {f"{schema}.{view}" for schema, view in con.sql(
            "select schema_name, view_name from duckdb_views() where not internal"
        ).fetchall()}  # fmt: skip
    assert not views & {"shop.orders", "shop.returns", "old.things"}, (
        "of sources that the project has not"
    )
    warehouse.rollback("raw", 3)
    assert orders() == [1, 1]
