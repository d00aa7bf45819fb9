"""A backup is one archive of a state that existed, taken while everything runs."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import duckdb
import pytest
from backports import zstd

from proto_loc import warehouse
from proto_loc.backup import archive, databases, make, records, restore, snapshot, workspace
from proto_loc.backup.make import Wish
from proto_loc.backup.plan import Terms
from proto_loc.errors import LocError, UsageError
from proto_loc.settings import settings
from proto_loc.warehouse import store


def backup(target: Path, wish: Wish = Wish()):  # noqa: B008
    return make.backup(target, wish, who="test")


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


def test_an_archive_can_only_be_read_by_its_owner(platform, target):
    backup(target)
    assert target.stat().st_mode & 0o777 == 0o600


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


def test_sqlite_is_copied_as_it_is_at_one_moment(tmp_path):
    """Two values that change in one transaction are equal in each copy."""
    path, stop = tmp_path / "live.db", threading.Event()
    with sqlite3.connect(path) as con:
        con.execute("pragma journal_mode = wal")
        con.execute("create table pair (a integer, b integer, filler blob)")
        con.execute("insert into pair values (0, 0, zeroblob(500000))")
    con.close()

    def write() -> None:
        with sqlite3.connect(path, timeout=30) as con:
            while not stop.is_set():
                con.execute("update pair set a = a + 1, filler = randomblob(500000)")
                con.execute("update pair set b = b + 1")
                con.commit()
        con.close()

    writer = threading.Thread(target=write)
    writer.start()
    values = set()
    try:
        for number in range(20):
            copy = tmp_path / f"{number}.db"
            databases.copy_sqlite(path, copy)
            with sqlite3.connect(copy) as con:
                values.add(con.execute("select a, b from pair").fetchone())
            con.close()
            assert not list(tmp_path.glob(f"{number}.db-*"))
    finally:
        stop.set()
        writer.join()
    assert len(values) > 3 and all(a == b for a, b in values)


def test_a_damaged_sqlite_file_is_named(platform, target):
    path = platform.data / "superset/superset.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(LocError, match=r"superset\.db cannot be backed up. SQLite says"):
        backup(target)
    assert list(target.parent.iterdir()) == [] and records.last(well=False).error


def test_a_persons_sqlite_file_that_cannot_be_read_is_left_out_and_named(
    platform, empty, target, monkeypatch
):
    """A damaged and a locked one: everything else is in the archive."""
    (platform.notebooks / "broken.db").write_bytes(databases.SQLITE + b"\xff" * 9000)
    monkeypatch.setattr(databases, "WAIT", 0.1)
    path = platform.notebooks / "locked.db"
    with sqlite3.connect(path) as con:
        con.execute("create table notes (text text)")
    con.execute("begin exclusive")
    broken, locked = backup(target).missing
    con.close()
    assert "broken.db cannot be backed up. SQLite says" in broken and "not a database" in broken
    assert "locked.db cannot be backed up. SQLite says" in locked and "locked" in locked
    empty.use()
    restore.restore(target, Terms())
    assert [path.name for path in empty.notebooks.iterdir()] == ["work"] and empty.total() == 3


def test_supersets_metadata_are_taken_from_where_the_setting_says(
    platform, empty, target, monkeypatch
):
    """The address may name any SQLite file of the data folder; a restore says where it is then."""
    (platform.data / "superset/superset.db").rename(platform.data / "superset/own.db")
    address = f"sqlite:///{platform.data}/superset/own.db?timeout=5"
    monkeypatch.setenv("LOC_SUPERSET_METADATA", address)
    backup(target)
    empty.use()
    monkeypatch.setenv(
        "LOC_SUPERSET_METADATA", address.replace(str(platform.data), str(empty.data))
    )
    result = restore.restore(target, Terms())
    path = empty.data / "superset/superset.db"
    assert any(f"metadata are in {path}" in note for note in result.notes)
    with sqlite3.connect(path) as con:
        assert con.execute("select title from dashboards").fetchall() == [("Mine",)]
    con.close()
    monkeypatch.delenv("LOC_SUPERSET_METADATA")
    result = restore.restore(target, Terms(force=True))
    assert not any("metadata" in note for note in result.notes)


def test_an_open_database_of_a_person_is_named_and_left_out(platform, target):
    """DuckDB files are never opened for writing, nor copied while another process may write."""
    path = platform.notebooks / "work/scratch.duckdb"
    duckdb.connect(str(path)).close()
    program = f"import duckdb, time; con = duckdb.connect({str(path)!r}); print(1, flush=True)"
    command = [sys.executable, "-c", f"{program}; time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            holder.stdout.readline()
            (sentence,) = backup(target).missing
        finally:
            holder.kill()
    assert f"scratch.duckdb is open in pid {holder.pid}" in sentence
    record = backup(target.with_name("closed.tar.zst"))
    assert record.missing == ()
    name = f"notebooks/{path.relative_to(platform.notebooks)}"
    assert archive.read_manifest(Path(record.file)).has(name)


def test_links_among_the_notebooks_are_not_followed(platform, target, tmp_path):
    (platform.notebooks / "outside").symlink_to(tmp_path)
    (platform.notebooks / "passwd").symlink_to("/etc/passwd")
    missing = backup(target).missing
    assert [("is a link" in sentence) for sentence in missing] == [True, True]
    assert not any("passwd" in entry.path for entry in archive.read_manifest(target).files)


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


def test_a_file_that_exists_is_never_replaced(platform, target):
    target.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        backup(target)
    assert target.read_text() == "mine"


def test_a_missing_folder_is_not_made(platform, target):
    """The folder of a disk that is not mounted would be made on this disk."""
    with pytest.raises(UsageError, match="There is no folder"):
        backup(target.parent / "usb/monday.tar.zst")


@pytest.mark.parametrize("place", ["data", "notebooks", "run"])
def test_an_archive_is_not_written_into_what_it_has(platform, place):
    with pytest.raises(UsageError, match=r"is in .*/platform/"):
        backup(platform.home / place / "x.tar.zst")


def test_two_backups_at_once_exclude_each_other(platform, target):
    """The second one names the first, and the first one is not disturbed."""
    with workspace.alone(), pytest.raises(LocError, match=r"Another backup.*pid \d+"):
        backup(target)
    assert not target.exists()
    backup(target)


def test_a_file_that_another_clone_writes_is_refused(platform, target):
    part = target.with_name(f".{target.name}.part")
    with part.open("w") as file:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LocError, match="is being written already"):
            backup(target)
    assert part.exists()


def test_a_full_disk_leaves_nothing_and_is_named(platform, target, monkeypatch):
    def full(self, entry, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archive.Writer, "add", full)
    with pytest.raises(LocError, match=r"the disk is full.*MB free"):
        backup(target)
    assert list(target.parent.iterdir()) == [] and platform.leftovers() == []
    assert "disk is full" in records.last(well=False).error and records.last() is None


def test_a_file_system_without_hard_links_is_backed_up_by_copies(platform, target, monkeypatch):
    """exFAT, as on many USB disks, has none."""

    def refused(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    backup(target)
    restore.inspect(target)


KILLED = """
import sys
from pathlib import Path
from proto_loc.backup import archive, make, workspace
workspace.NOTEBOOKS = Path(sys.argv[2])
add = archive.Writer.add
def slow(self, *arguments):
    add(self, *arguments)
    print("writing", flush=True)
    sys.stdin.read()
archive.Writer.add = slow
make.backup(Path(sys.argv[1]), make.Wish(), who="killed")
"""


def test_a_killed_backup_leaves_no_archive_and_the_next_one_clears_up(platform, target):
    """Nothing has the archive's name, and what the killed one left does not grow."""
    command = [sys.executable, "-c", KILLED, target, platform.notebooks]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        with pytest.raises(LocError, match=f"pid {process.pid}"):
            backup(target.with_name("other.tar.zst"))
        workspace.prepare()  # services may start meanwhile
        process.send_signal(signal.SIGKILL)
    assert not target.exists() and workspace.snapshots().exists()
    workspace.prepare()  # the next start of the services
    assert platform.leftovers() == []
    backup(target)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_big_file_needs_little_memory(platform, target):
    """Half a gigabyte goes through both ways in chunks.

    Linux counts the memory of the process that started a program in its `ru_maxrss`.
    """
    big = platform.notebooks / "big.bin"
    with big.open("wb") as file:
        file.truncate(512 << 20)
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from proto_loc.backup import make, restore, workspace\n"
        "workspace.NOTEBOOKS = Path(sys.argv[2])\n"
        "make.backup(Path(sys.argv[1]), make.Wish(), who='test')\n"
        "restore.inspect(Path(sys.argv[1]))\n"
        "status = Path('/proc/self/status')\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "if status.exists():\n"
        "    peak = int(status.read_text().partition('VmHWM:')[2].split()[0])\n"
        "print(peak // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, target, platform.notebooks],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 300, "megabytes"


@pytest.mark.parametrize("top", [".", ".."])
def test_a_notebook_that_git_has_is_not_in_the_archive(platform, target, monkeypatch, top):
    """Else a restore into a later clone would bring back the demonstration's old notebooks; the
    clone may be a folder of a bigger repository.
    """
    kept, changed = platform.notebooks / "kept.ipynb", platform.notebooks / "changed.ipynb"
    for path in (kept, changed):
        path.write_text("{}")
    monkeypatch.setattr(snapshot, "ROOT", platform.home)
    git = ["git", "-C", platform.home, "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "--quiet", platform.home / top], check=True)
    subprocess.run([*git, "add", kept, changed], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "x"], check=True)
    changed.write_text('{"cells": []}')
    backup(target)
    names = {entry.path for entry in archive.read_manifest(target).files}
    assert "notebooks/changed.ipynb" in names and "notebooks/kept.ipynb" not in names


def test_history_remembers_each_backup(platform, target):
    """A person's file that is refused at once is no backup that failed."""
    backup(target)
    with pytest.raises(UsageError):
        backup(target)
    (record,) = records.read()
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
