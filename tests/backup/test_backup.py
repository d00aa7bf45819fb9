"""A backup is one archive of a state that existed, taken while everything runs."""

import dataclasses
import os
import shutil
import sqlite3
import tarfile
import threading
import time
from pathlib import Path

import pytest
from backports import zstd
from forgery import backup

from proto_loc import warehouse
from proto_loc.backup import archive, records, restore, workspace
from proto_loc.backup.make import Wish
from proto_loc.backup.plan import Terms
from proto_loc.errors import LocError, UsageError
from proto_loc.settings import settings
from proto_loc.warehouse import store


def test_an_archive_restores_versions_lake_metadata_and_notebooks(platform, empty, target):
    """What is restored elsewhere has the same data, versions and links, and can go on."""
    record = backup(target)
    assert (record.error, record.missing, record.incremental) == ("", (), False)
    ids = {name: warehouse.current(name).id for name in store.DATABASES}
    empty.use()
    result = restore.restore(target, Terms())
    assert result.aside == [] and empty.leftovers() == []
    assert (empty.orders(), empty.total()) == ([1, 2, 3], 3)
    assert store.versions("prod") == [1, 2] and warehouse.current("prod").id == ids["prod"]
    verdicts = [
        verdict for name in store.DATABASES
        for verdict in warehouse.verify(name, store.versions(name))
    ]  # fmt: skip
    assert {verdict.state for verdict in verdicts if verdict.database == "prod"} == {"whole"}
    assert str(empty.data) in warehouse.current("raw").facts["lake"]
    with sqlite3.connect(empty.data / "superset/superset.db") as con:
        assert con.execute("select title from dashboards").fetchall() == [("Mine",)]
    con.close()
    assert (empty.notebooks / "work/Ünï code.ipynb").read_text() == "{}"
    assert not (empty.home / "run/secrets/shop-dsn").exists()
    modes = {path.stat().st_mode & 0o777 for path in empty.data.rglob("*.duckdb")}
    assert modes == {0o444} and (empty.data / "lake").stat().st_mode & 0o777 == 0o700
    empty.load(9, partition="2025-03")
    assert empty.orders() == [1, 2, 3, 9]
    warehouse.rollback("prod")
    assert empty.total() == 3


def test_standard_tools_read_an_archive(platform, target):
    """Without this program, `tar --zstd` or any tar and zstd still get the files."""
    backup(target)
    with zstd.open(target) as stream, tarfile.open(fileobj=stream, mode="r|") as members:
        names = [member.name for member in members]
    manifest = archive.read_manifest(target)
    assert names == ["manifest.json", *(entry.path for entry in manifest.files)]
    assert not any(b"s3cr3t-word" in path.read_bytes() for path in (target, records.path()))
    assert b"s3cr3t-word" not in zstd.decompress(target.read_bytes())


def test_nothing_is_written_to_what_is_backed_up(platform, target):
    before = platform.files()
    backup(target)
    assert platform.files() == before and platform.leftovers() == []


def test_an_incremental_archive_has_only_what_is_new(platform, empty, target):
    """Versions and the lake never change, so an incremental archive refers to them; each archive
    may be renamed, and a missing one is named.
    """
    first = backup(target)
    platform.load(4, 5, partition="2025-03")
    second = backup(target.with_name("tuesday.tar.zst"), Wish(since=target))
    third = backup(target.with_name("wednesday.tar.zst"), Wish(since=Path(second.file)))
    assert third.bytes < second.bytes < first.bytes and second.incremental
    bases = archive.read_manifest(Path(third.file)).bases
    assert [base.id for base in bases] == [first.id, second.id]
    target.rename(target.with_name("renamed"))
    empty.use()
    restore.restore(Path(third.file), Terms())
    assert (empty.orders(), empty.total()) == ([1, 2, 3, 4, 5], 9)
    target.with_name("renamed").unlink()
    os.mkfifo(target.with_name("pipe"))
    with pytest.raises(LocError, match=r"needs monday.tar.zst, which is not in"):
        restore.inspect(Path(third.file))


def test_backups_during_publishes_are_states_that_existed(platform, tmp_path, empty):
    """Each archive, made while versions are published and pruned, has links, ledger and lake that
    belong together.
    """
    os.environ["LOC_GRACE"] = "0"
    stop = threading.Event()

    def publish() -> None:
        number = 10
        while not stop.is_set():
            platform.load(number, partition=f"2025-{number}")
            number += 1

    writer = threading.Thread(target=publish)
    writer.start()
    archives: dict[int, Path] = {}
    try:
        for number in range(200):
            path = Path(backup(tmp_path / f"{number}.tar.zst").file)
            archives.setdefault(archive.read_manifest(path).current["raw"], path)
            if len(archives) == 4:
                break
    finally:
        stop.set()
        writer.join()
        del os.environ["LOC_GRACE"]
    assert len(archives) == 4
    for number, path in archives.items():
        other = type(empty)(empty.home / str(number), empty.patch).use()
        restore.restore(path, Terms())
        assert other.orders()[:3] == [1, 2, 3] and other.total() in (*other.orders(), 3)


def test_a_damaged_current_version_is_no_backup(platform, target):
    """A file whose checksum differs from the manifest's is named, and no archive remains."""
    path = warehouse.current("prod").path
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(LocError, match=r"prod\.duckdb is not what was published") as error:
        backup(target)
    assert "loc db verify" in error.value.fix
    assert list(target.parent.iterdir()) == [] and platform.leftovers() == []


def test_a_damaged_old_version_is_left_out_and_named(platform, empty, target):
    store.find("prod", 1).path.unlink()
    (sentence,) = backup(target).missing
    assert sentence.startswith("Version 1 of prod is damaged")
    empty.use()
    restore.restore(target, Terms())
    assert store.versions("prod") == [2] and empty.total() == 3


def test_a_rolled_back_version_and_the_newest_are_both_kept(platform, empty, target):
    warehouse.rollback("prod")
    backup(target)
    empty.use()
    restore.restore(target, Terms())
    assert (warehouse.current("prod").id, store.versions("prod")) == (1, [1, 2])


def test_history_remembers_each_backup(platform, target):
    """A person's file that is refused at once is no backup that failed.

    Bug: the command said of each backup that it took 0.0 s.
    """
    made = backup(target)
    with pytest.raises(UsageError):
        backup(target)
    (record,) = records.read()
    assert record == made and made.seconds > 0
    assert (record.who, record.file, record.bytes) == ("test", str(target), target.stat().st_size)
    records.path().write_text(records.path().read_text() + "half a li")
    assert records.read() == [record] and records.last() == record


def test_a_copy_of_the_data_folder_is_another_platform(platform, monkeypatch, tmp_path):
    """Else two clones that write into one folder would remove each other's archives."""
    own = workspace.platform()
    assert workspace.platform() == own
    shutil.copytree(platform.data, tmp_path / "copy", symlinks=True)
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "copy"))
    assert workspace.platform() != own and settings().data == tmp_path / "copy"


def test_a_reboot_that_numbers_the_disks_anew_changes_no_platform(platform, monkeypatch):
    """Else the archives from before it would stay for ever."""
    own, stat = workspace.platform(), os.stat

    def renumbered(*arguments, **options):
        fields = list(stat(*arguments, **options))
        fields[2] += 1
        return os.stat_result(fields)

    before = os.stat(platform.data).st_dev
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", renumbered)
        assert os.stat(platform.data).st_dev == before + 1
        again = workspace.platform()
    assert again == own


def test_a_slow_publish_does_not_hold_up_a_backup(platform, target):
    with warehouse.write("prod", who="slow"):
        began = time.monotonic()
        backup(target)
        assert time.monotonic() - began < 10


def test_what_another_engine_keeps_is_named_and_the_rest_is_restored(platform, empty, target):
    """Bug: an archive made with Trino could not be restored at all."""
    current = warehouse.current("prod")
    manifest = current.folder / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(dataclasses.replace(current, engine="trino", checksums={}).dump())
    current.path.unlink()
    record = backup(target)
    (sentence,) = record.missing
    assert f"Version {current.id} of prod is kept by Trino" in sentence
    empty.use()
    restore.restore(target, Terms())
    assert empty.orders() == [1, 2, 3] and store.current_id("prod") is None
