"""What a backup takes of databases and notebooks, and what it names and leaves out."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest
from forgery import backup

from proto_loc.backup import archive, databases, records, restore, snapshot
from proto_loc.backup.plan import Terms
from proto_loc.errors import LocError


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
