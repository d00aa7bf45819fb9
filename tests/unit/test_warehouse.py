"""Tests of the warehouse: write sessions, reads, rollback, pruning, and their errors."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import duckdb
import pytest

from proto_loc import warehouse
from proto_loc.cli import main
from proto_loc.errors import LocError, UsageError
from proto_loc.settings import ROOT
from proto_loc.warehouse import lock, retention, store


def publish(value: int, **options) -> warehouse.Version:
    """Publish a version of prod with a table ``t`` of ``value`` rows."""
    with warehouse.write("prod", who="test", **options) as session, session.connect() as con:
        con.execute(f"create or replace table t as select range as i from range({value})")
    return session.version


def rows(version: int | None = None) -> int:
    with warehouse.read("prod", version=version) as con:
        return con.execute("select count(*) from t").fetchone()[0]


def staging() -> list[Path]:
    return sorted(store.folder("prod").glob("staging/*"))


def python(code: str, *arguments: object, **options) -> subprocess.Popen:
    """Start a separate process that runs ``code`` and can import the warehouse."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **options,
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.02)


def test_a_session_publishes_a_whole_immutable_version(data):
    version = publish(3)
    assert (version.id, version.who, version.tables, version.based_on) == (
        1,
        "test",
        {"main.t": 3},
        None,
    )
    assert version.path.stat().st_mode & 0o777 == 0o444
    assert (data / "warehouse").stat().st_mode & 0o777 == 0o700
    assert os.readlink(store.folder("prod") / "current") == "versions/000001"
    assert (
        json.loads((version.folder / "manifest.json").read_text())["bytes"]
        == version.path.stat().st_size
    )
    assert rows() == 3
    with (
        warehouse.read("prod") as con,
        pytest.raises(duckdb.InvalidInputException, match="read-only"),
    ):
        con.execute("create table x (i int)")


def test_a_folder_that_is_there_keeps_its_mode(data):
    data.mkdir(mode=0o755)
    publish(3)
    assert [path.stat().st_mode & 0o777 for path in (data, data / "warehouse")] == [0o755, 0o700]


def test_a_prune_that_fails_does_not_make_a_publish_look_failed(data, monkeypatch, caplog):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "versions")

    monkeypatch.setattr(store, "remove", refuse)
    monkeypatch.setenv("LOC_KEEP_VERSIONS", "1")
    monkeypatch.setenv("LOC_GRACE", "0")
    publish(1)
    assert publish(2).id == 2
    assert (rows(), store.versions("prod")) == (2, [1, 2])
    assert "version 2 is published, but older ones were not removed" in caplog.text


def test_the_next_session_starts_from_the_current_version(data):
    publish(3)
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        assert con.execute("insert into t values (99) returning i").fetchall() == [(99,)]
    assert (session.version.id, session.version.based_on, rows()) == (2, 1, 4)


def test_an_exception_publishes_nothing_and_leaves_no_trace(data):
    publish(3)
    with pytest.raises(ZeroDivisionError), warehouse.write("prod", who="test") as session:
        with session.connect() as con:
            con.execute("drop table t")
        raise ZeroDivisionError
    assert (rows(), store.versions("prod"), staging()) == (3, [1], [])


def test_a_discarded_session_publishes_nothing(data):
    publish(3)
    with warehouse.write("prod", who="test") as session:
        session.discard()
    assert (session.version, store.versions("prod"), staging()) == (None, [1], [])


def test_a_data_folder_that_is_renamed_or_deleted_under_a_writer_is_named(data):
    """Issue 7, item 21: the message was "a defect of proto_loc", or "No such file or directory"."""
    publish(3)
    named = pytest.raises(
        warehouse.WarehouseError,
        match=rf"{data}/warehouse/prod is no longer the folder.*Put it back",
    )
    with named, warehouse.write("prod", who="test"):
        data.rename(data.with_name("renamed"))
    with named, warehouse.write("prod", who="test"):
        shutil.rmtree(data)
        (data / "landing").mkdir(parents=True)
        raise FileNotFoundError(2, "No such file or directory", str(data))
    data.with_name("renamed").rename(data.with_name("again"))
    assert publish(1).id == 1, "in what is there now"


def test_a_reader_keeps_its_version_and_a_new_one_sees_the_newest(data):
    publish(3)
    with warehouse.read("prod") as old:
        publish(5)
        assert old.execute("select count(*) from t").fetchone() == (3,)
        assert rows() == 5


def test_readers_are_never_locked_out_while_a_writer_writes(data):
    publish(3)
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute("delete from t")
        assert rows() == 3


def test_staging_views_on_another_catalogue_are_dropped_and_others_stay(data, tmp_path):
    duckdb.connect(str(tmp_path / "other.duckdb")).execute(
        "create table o as select 1 as i"
    ).close()
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute(f"attach '{tmp_path}/other.duckdb' as other (read_only)")
        con.execute(
            "create table t as select 1 as i; create view kept as from t; create schema staging;"
            ' create view staging.gone as from other.o; create view staging."a ""b" as from'
            " staging.gone"
        )
    with warehouse.read("prod") as con:
        assert con.sql("select view_name from duckdb_views() where not internal").fetchall() == [
            ("kept",)
        ]


def test_a_mart_that_reads_another_catalogue_is_refused_and_not_dropped_after_its_audit(
    data, tmp_path
):
    publish(3)
    duckdb.connect(str(tmp_path / "other.duckdb")).execute(
        "create table o as select 1 as i"
    ).close()
    with (
        pytest.raises(
            warehouse.PublishError,
            match="the view marts.m reads .*: materialize it as a table. Mend",
        ),
        warehouse.write("prod", who="test") as session,
        session.connect() as con,
    ):
        con.execute(f"attach '{tmp_path}/other.duckdb' as other (read_only)")
        con.execute("create schema marts; create view marts.m as from other.o")
    (tmp_path / "x.csv").write_text("a\n1\n")
    with (
        pytest.raises(
            warehouse.PublishError,
            match="the view marts.f reads .*: materialize it as a table. Mend",
        ),
        warehouse.write("prod", who="test") as session,
        session.connect() as con,
    ):
        con.execute(
            f"create schema marts; create view marts.f as from read_csv('{tmp_path}/x.csv')"
        )
    assert (store.versions("prod"), rows()) == ([1], 3)


def test_a_failure_whose_text_has_the_word_block_is_no_lock_to_wait_for(data, monkeypatch):
    calls = []

    def run(self, command, **options):
        calls.append(command)
        return subprocess.CompletedProcess(command, 1, "", "Invalid block 7")

    monkeypatch.setattr(warehouse.Session, "run", run)
    with pytest.raises(warehouse.PublishError, match="Invalid block 7"):
        publish(3)
    assert len(calls) == 1


def test_every_file_and_folder_of_a_version_is_written_through_before_it_is_served(
    data, monkeypatch
):
    synced = []
    monkeypatch.setattr(store, "fsync", synced.append)
    with warehouse.write("prod", who="test") as session:
        (session.folder / "dbt").mkdir()
        (session.folder / "dbt" / "manifest.json").write_text("{}")
    home = store.folder("prod")
    inside = {
        str(path.relative_to(session.folder))
        for path in synced
        if path.is_relative_to(session.folder)
    }
    assert inside == {".", "prod.duckdb", "manifest.json", "dbt", "dbt/manifest.json"}
    assert synced[-2:] == [home / "versions", home]


def test_a_machine_without_git_publishes_all_the_same(data, monkeypatch):
    monkeypatch.setenv("PATH", str(data))
    assert publish(3).git_revision is None


def test_a_version_of_a_changed_work_tree_says_so(data, monkeypatch, tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    (tmp_path / "file").write_text("1")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    monkeypatch.setattr("proto_loc.warehouse.session.ROOT", tmp_path)
    commit = publish(1).git_revision
    assert re.fullmatch("[0-9a-f]{40}", commit)
    (tmp_path / "file").write_text("2")
    assert publish(2).git_revision == f"{commit}-dirty"


def test_a_copy_that_shares_its_blocks_needs_no_free_space(data, monkeypatch):
    publish(3)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 0}))
    with pytest.raises(warehouse.WarehouseError, match="no space left"):
        publish(4)

    def reflink(source, target):
        target.write_bytes(source.read_bytes())
        return True

    monkeypatch.setattr(store, "_reflink", reflink)
    publish(4)
    assert rows() == 4


def test_an_open_handle_refuses_the_publish(data):
    publish(3)
    code = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True);"
        " sys.stdin.read()"
    )
    refused = pytest.raises(
        warehouse.PublishError, match="could not be finished.*Close every connection"
    )
    with refused, warehouse.write("prod", who="test") as session:
        child = python(code, session.path, stdin=subprocess.PIPE)
        assert child.stdout.readline() == "open\n"
    child.communicate()
    assert (rows(), staging()) == (3, [])


def test_no_data_yet_says_so_and_an_empty_first_version_can_be_read(data):
    with pytest.raises(warehouse.NoData, match="prod holds no data yet.*loc refresh"):
        warehouse.read("prod")
    assert warehouse.ensure("prod").id == warehouse.ensure("prod").id == 1
    with warehouse.read("prod") as con:
        assert con.sql("show tables").fetchall() == []


def test_an_unknown_database_is_refused_by_name(data):
    with pytest.raises(UsageError, match="no database 'dev'.*raw and prod"):
        warehouse.read("dev")


# --- history, rollback, retention


def test_rollback_swaps_back_and_forward_and_ids_go_on_rising(data):
    for value in (1, 2, 3):
        publish(value)
    assert (warehouse.rollback("prod").id, rows()) == (2, 2)
    assert (warehouse.rollback("prod", 1).id, rows()) == (1, 1)
    assert (warehouse.rollback("prod", 3).id, rows()) == (3, 3)
    warehouse.rollback("prod", 1)
    version = publish(9)
    assert (version.id, version.based_on) == (4, 1)
    assert [v.id for v in warehouse.history("prod")] == [4, 3, 2, 1]
    assert warehouse.rollback("prod").id == 1, "4 was made from 1; 3 is what one went back from"


def test_rollback_never_ends_on_what_one_went_back_from(data):
    for value in (1, 2, 3):
        publish(value)
    warehouse.rollback("prod", 1)
    publish(5)
    shutil.rmtree(store.folder("prod") / "versions/000001")
    with pytest.raises(
        warehouse.WarehouseError,
        match="no version that 4 was made from.*Kept are: 2, 3, 4.*rollback ID",
    ):
        warehouse.rollback("prod")
    assert rows() == 5


def test_the_way_out_of_a_damaged_version_is_the_one_it_was_made_from(data):
    for value in (1, 2, 3):
        publish(value)
    warehouse.rollback("prod", 1)
    version = publish(5)
    os.truncate(version.path, 4096)
    with pytest.raises(warehouse.VersionDamaged, match="rollback 1 --database"):
        warehouse.read("prod")
    os.truncate(store.find("prod", 1).path, 4096)
    with pytest.raises(warehouse.VersionDamaged, match="rollback 3 --database"):
        warehouse.read("prod")
    warehouse.rollback("prod", 3)
    with pytest.raises(warehouse.VersionDamaged, match="Version 3 is served. Name another one"):
        warehouse.rollback("prod", 1)


def test_prune_removes_what_killed_writers_left(data):
    publish(3)
    home = store.folder("prod")
    for left in ("staging/dead", "versions/.000009-abc.gone"):
        (home / left).mkdir(parents=True)
        (home / left / "prod.duckdb").write_bytes(b"x")
    warehouse.prune("prod")
    assert not (home / "staging").exists() and sorted(
        p.name for p in (home / "versions").iterdir()
    ) == ["000001"]


def test_a_link_in_a_session_folder_leaves_its_target_alone(data, tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("x")
    mine.chmod(0o640)
    with warehouse.write("prod", who="test") as session:
        (session.folder / "link").symlink_to(mine)
    assert mine.stat().st_mode & 0o777 == 0o640


def test_rollback_succeeds_where_the_folder_of_the_bad_version_is_gone(data):
    publish(3)
    shutil.rmtree(publish(4).folder)
    assert (warehouse.rollback("prod", 1).id, rows()) == (1, 3)
    assert publish(5).id == 2


def test_rollback_without_an_earlier_version_and_to_an_unknown_one(data):
    with pytest.raises(warehouse.NoData):
        warehouse.rollback("prod")
    publish(1)
    with pytest.raises(warehouse.WarehouseError, match="no version that 1 was made from"):
        warehouse.rollback("prod")
    with pytest.raises(UsageError, match="no version 7.*Kept are: 1"):
        warehouse.rollback("prod", 7)
    assert rows() == 1


def test_retention_keeps_the_newest_the_current_and_those_in_grace(data, monkeypatch):
    monkeypatch.setenv("LOC_KEEP_VERSIONS", "2")
    monkeypatch.setenv("LOC_GRACE", "3600")
    for value in (1, 2, 3, 4):
        publish(value)
    assert store.versions("prod") == [1, 2, 3, 4], "in grace"
    warehouse.rollback("prod", 1)
    assert warehouse.prune("prod", grace=0) == [2]
    assert store.versions("prod") == [1, 3, 4]
    publish(5)
    os.utime(store.folder("prod") / "versions/000001", (time.time() - 3601,) * 2)
    publish(6)
    assert store.versions("prod") == [3, 4, 5, 6], "1 was superseded over an hour ago"
    assert (rows(), staging()) == (6, [])


def test_many_publishes_within_the_grace_time_are_bounded_by_their_bytes(data, monkeypatch):
    """Issue 7, item 20: 50 publishes in an hour kept 53 versions, whatever
    LOC_KEEP_VERSIONS was.
    """
    monkeypatch.setenv("LOC_KEEP_VERSIONS", "1")
    size = publish(1).bytes
    monkeypatch.setenv("LOC_GRACE_BYTES", str(3 * size))
    with warehouse.read("prod", version=1):
        for value in range(2, 6):
            publish(value)
        versions = store.versions("prod")
        assert versions[0] == 1 and 2 not in versions, (
            "1 is open, and 2 is the oldest of those that are not"
        )
    publish(6)
    assert 1 not in store.versions("prod")


def test_prune_says_what_it_keeps_and_why_and_now_removes_what_no_process_has_open(
    data, monkeypatch, capsys
):
    """Issue 7, item 20: `loc db prune` removed nothing and printed nothing.

    The message about a full disk recommends this command.
    """
    monkeypatch.setenv("LOC_KEEP_VERSIONS", "1")
    for value in (1, 2, 3):
        publish(value)
    code = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print(flush=True);"
        " sys.stdin.read()"
    )
    child = python(code, store.find("prod", 1).path, stdin=subprocess.PIPE)
    child.stdout.readline()
    assert main(["db", "prune"]) == 0
    said = capsys.readouterr().out
    assert (
        "removed nothing" in said
        and said.count("of its grace time are left") == 2
        and "current" in said
    )
    assert main(["db", "prune", "--now"]) == 0
    said = capsys.readouterr().out
    assert "prod: removed 2." in said and f"open in pid {child.pid}" in said
    with monkeypatch.context() as patch:
        patch.setattr(lock, "open_in", lambda path: [])  # a process of another user
        assert (
            warehouse.kept("prod", now=True)[0].why
            == "open in a process of another user or container"
        )
    child.communicate()
    assert warehouse.prune("prod", now=True) == [1]


def test_who_reads_is_asked_of_lsof_where_there_is_no_proc_and_unknown_is_not_nobody(
    data, monkeypatch, tmp_path
):
    """This happens on macOS."""
    path = publish(1).path
    monkeypatch.setattr(retention, "PROC", tmp_path / "proc")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "lsof is not installed" in retention.readers_of(path)
    for script, answer in (
        ("exit 1", ""),
        ("echo 7; echo 8", "pid 7, pid 8"),
        ("echo no >&2; exit 1", "lsof says: no"),
    ):
        (tmp_path / "lsof").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "lsof").chmod(0o755)
        said = retention.readers_of(path)
        assert answer in said and bool(said) == bool(answer)


def test_what_a_killed_writer_left_goes_where_nothing_is_written_either(data):
    """Issue 7, item 20: the copy of a killed build stayed.

    A refresh that finds nothing new opens no session.
    """
    publish(3)
    left = store.folder("prod") / "staging/dead"
    left.mkdir(parents=True)
    with warehouse.write("prod", who="at work") as session:
        warehouse.tidy()
        assert session.folder.exists()
        session.discard()
    left.mkdir(parents=True, exist_ok=True)
    warehouse.tidy()
    assert not left.exists()


def test_a_reader_survives_the_removal_of_its_version(data):
    publish(3)
    with warehouse.read("prod") as con:
        publish(4)
        assert warehouse.prune("prod", keep=1, grace=0) == [1]
        assert con.execute("select count(*) from t").fetchone() == (3,)


def test_clock_set_back_ids_rise_and_nothing_is_removed_early(data, monkeypatch):
    monkeypatch.setattr(time, "time", lambda real=time.time: real() - 10 * 365 * 86400)
    for value in (1, 2, 3):
        publish(value)
    assert [v.id for v in warehouse.history("prod")] == [3, 2, 1]
    assert warehouse.prune("prod", keep=1, grace=60) == []
    assert rows() == 3


def test_diff_shows_tables_schema_changes_and_rows(data):
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute(
            "create table same as select 1 as i; create table gone (i int); create table grew as"
            " select 1 as i;create table changed (a int, b varchar, c int)"
        )
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute(
            "drop table gone; create table fresh as select 1 as i; insert into grew values (2),"
            " (3);alter table changed drop b; alter table changed alter c type bigint; alter table"
            " changed add d date"
        )
    found = {item.name: item for item in warehouse.diff("prod", 1, 2)}
    assert {name: item.status for name, item in found.items()} == {
        "main.same": "same",
        "main.gone": "removed",
        "main.grew": "rows",
        "main.fresh": "added",
        "main.changed": "schema",
    }
    assert (found["main.grew"].rows_before, found["main.grew"].rows_after) == (1, 3)
    assert (found["main.gone"].rows_before, found["main.gone"].rows_after) == (0, None)
    assert found["main.changed"].columns == ("- b VARCHAR", "+ d DATE", "~ c INTEGER -> BIGINT")


# --- the writer's lock


def test_a_waiting_writer_says_whom_it_waits_for_and_gives_up(data, caplog):
    holder = python(
        """
        import sys
        from proto_loc import warehouse
        with warehouse.write("prod", who="other"):
            print("held", flush=True)
            sys.stdin.read()
    """,
        stdin=subprocess.PIPE,
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(warehouse.LockTimeout) as refused:
        publish(1, timeout=0.3)
    message = str(refused.value)
    assert re.search(
        rf"still being written after a wait of 0.3 s.*pid {holder.pid} .*since"
        r" 20\d\d-.*LOC_LOCK_TIMEOUT",
        message,
    )
    assert f"waiting up to 0.3 s for the writer of prod: pid {holder.pid}" in caplog.text
    holder.communicate()
    assert publish(1, timeout=5).id >= 1


def test_two_writers_take_turns_and_lose_nothing(data):
    publish(0)

    def add():
        for _ in range(5):
            with warehouse.write("prod", who="test") as session, session.connect() as con:
                con.execute("insert into t select count(*) from t")

    threads = [threading.Thread(target=add) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    with warehouse.read("prod") as con:
        assert con.execute("select i from t order by i").fetchall() == [(i,) for i in range(10)]


def test_killed_writer_its_lock_is_no_obstacle_and_its_staging_goes(data, tmp_path):
    publish(3)
    writer = python(
        """
        import sys, time, pathlib
        from proto_loc import warehouse
        with warehouse.write("prod", who="victim") as session, session.connect() as con:
            con.execute("drop table t")
            pathlib.Path(sys.argv[1]).touch()
            time.sleep(60)
    """,
        tmp_path / "ready",
    )
    wait_for(tmp_path / "ready")
    writer.kill()
    writer.communicate()
    assert len(staging()) == 1, "a killed writer cannot clean up"
    assert rows() == 3
    assert publish(4, timeout=0).id == 2
    assert (rows(), staging()) == (4, [])


def test_killed_parent_its_child_is_named_and_waited_for(data, tmp_path):
    publish(3)
    parent = python(
        """
        import sys, pathlib
        from proto_loc import warehouse
        child = "import sys, time, pathlib; pathlib.Path(sys.argv[1]).touch();"
        child += "time.sleep(float(sys.argv[2]))"
        with warehouse.write("prod", who="victim") as session:
            session.run([sys.executable, "-c", child, sys.argv[1], "4"])
    """,
        tmp_path / "ready",
    )
    wait_for(tmp_path / "ready")
    parent.kill()
    parent.wait()  # the child keeps the pipes open
    with pytest.raises(
        warehouse.LockTimeout,
        match=rf"a child left by pid {parent.pid} .*which has ended: pid \d+ .*python",
    ):
        publish(4, timeout=0.2)
    assert publish(4, timeout=20).id == 2
    assert (rows(), staging()) == (4, [])


def test_left_over_staging_and_a_torn_lock_file_are_no_obstacle(data):
    publish(3)
    left = store.folder("prod") / "staging" / "old"
    left.mkdir(parents=True)
    (left / "prod.duckdb").write_bytes(b"half a file")
    (store.folder("prod") / "writer.lock").write_text('{"pid": 12')
    assert lock.holder(store.folder("prod") / "writer.lock").startswith("an unknown process")
    publish(4)
    assert (rows(), staging()) == (4, [])


def test_a_version_that_was_renamed_but_never_made_current_is_not_served(data):
    publish(3)
    shutil.copytree(
        store.folder("prod") / "versions/000001", store.folder("prod") / "versions/000002"
    )
    assert rows() == 3
    assert publish(4).id == 3, "its id is not used again"


# --- damaged files


def test_truncated_version_is_refused_with_the_way_back(data):
    publish(3)
    version = publish(4)
    version.path.chmod(0o644)
    os.truncate(version.path, 4096)
    with pytest.raises(
        warehouse.VersionDamaged,
        match=r"000002/prod.duckdb has 4,096 bytes.*loc db rollback 1 --database prod",
    ):
        warehouse.read("prod")
    with pytest.raises(warehouse.VersionDamaged):
        publish(5)
    warehouse.rollback("prod", 1)
    assert rows() == 3
    with pytest.raises(warehouse.VersionDamaged):
        warehouse.rollback("prod", 2)
    assert (publish(6).id, rows()) == (3, 6)


def flip(version: warehouse.Version, *positions: int) -> None:
    """Change one bit of the file at each of the positions."""
    version.path.chmod(0o644)
    content = bytearray(version.path.read_bytes())
    for position in positions:
        content[position] ^= 1
    version.path.write_bytes(content)


def test_a_damaged_version_is_not_copied_on_not_gone_back_to_and_not_listed_as_good(data, capsys):
    """Issue 7, item 2: only the sizes of files were compared."""
    publish(3)
    flip(publish(4), -1)
    entered = []
    with (
        pytest.raises(
            warehouse.VersionDamaged,
            match="not what was published.*`loc db rollback 1 --database prod`",
        ),
        warehouse.write("prod", who="test"),
    ):
        entered.append(True)
    assert not entered and not staging()
    assert main(["db", "history"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "current" in line)
    assert "damaged" in line
    assert main(["db", "list"]) == 1
    warehouse.rollback("prod", 1)
    with pytest.raises(warehouse.VersionDamaged, match="not what was published"):
        warehouse.rollback("prod", 2)
    assert publish(5).based_on == 1


def test_the_way_out_leads_to_a_whole_version(data):
    """Issue 7, item 2: the message offered a damaged version, because its size was right."""
    for version in [publish(3), publish(4)]:
        flip(version, -1)
    with pytest.raises(
        warehouse.VersionDamaged, match=r"`rm -r \S+/warehouse/prod && loc refresh`"
    ):
        publish(5)


def test_a_block_that_cannot_be_read_is_named_where_there_is_no_checksum(data):
    """Issue 7, item 2: each refresh ended with a traceback of dbt."""
    publish(3)
    version = publish(300_000)
    manifest = version.folder / "manifest.json"
    manifest.chmod(0o644)
    old = {
        name: value
        for name, value in json.loads(manifest.read_text()).items()
        if not name.startswith("checksum")
    }
    manifest.write_text(json.dumps(old))
    flip(version, *range(20_000, version.bytes, 262_144))
    with (
        pytest.raises(
            warehouse.VersionDamaged, match="Version 2 of prod .*DuckDB says.*loc db rollback 1"
        ),
        warehouse.write("prod", who="test") as session,
        session.connect() as con,
    ):
        con.execute("select sum(i) from t").fetchall()


def test_a_flipped_bit_in_a_manifest_is_found(data):
    """Issue 7, item 2: the manifest has the sources of prod and the figures of its metrics."""
    publish(3)
    version = publish(4)
    manifest = version.folder / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(manifest.read_text().replace('"main.t": 4', '"main.t": 5'))
    with pytest.raises(
        warehouse.VersionDamaged, match="its checksum differs.*rollback 1 --database prod"
    ):
        warehouse.current("prod")


def test_a_lost_manifest_is_named(data):
    publish(3)
    publish(4)
    (store.folder("prod") / "versions/000002/manifest.json").write_text("{")
    with pytest.raises(
        warehouse.VersionDamaged, match=r"000002/manifest.json is missing or damaged.*rollback 1"
    ):
        warehouse.read("prod")
    assert [v.id for v in warehouse.history("prod")] == [1]


def test_a_file_of_another_duckdb_release_is_named_as_such(data, tmp_path):
    install = subprocess.run(
        [
            ROOT / "loc",
            "--uv",
            "pip",
            "install",
            "--quiet",
            "--target",
            tmp_path / "other",
            "--python",
            sys.executable,
            "duckdb==2.0.1",
        ],
        capture_output=True,
        text=True,
    )
    if install.returncode != 0:
        pytest.skip(
            "no other DuckDB release can be had from a package registry:"
            f" {install.stderr.strip()[-200:]}"
        )
    version = publish(3)
    version.path.unlink()
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('create table t (i int)')",
            version.path,
        ],
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "other")},
    )
    manifest = version.folder / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(
        json.dumps(
            json.loads(manifest.read_text())
            | {
                "bytes": version.path.stat().st_size,
                "checksum": None,
            }
        )
    )
    with pytest.raises(
        warehouse.VersionDamaged,
        match=f"another DuckDB release than this one, {duckdb.__version__} .*version number",
    ):
        warehouse.read("prod")


def test_read_only_folder_can_be_read_and_refuses_to_be_written(data, tmp_path_factory):
    publish(3)
    home = store.folder("prod")
    (home / "current").unlink()  # issue 7, item 1: readers work even if the link cannot be repaired
    folders = [home, home / "versions"]
    uid = os.geteuid()
    parents = [
        p for p in (home, *home.parents) if p.owner() == Path.home().owner() and p != Path("/tmp")
    ]
    modes = {p: p.stat().st_mode & 0o7777 for p in [*parents, *folders]}
    try:
        for path in modes:
            path.chmod(0o555)
        (home / "writer.lock").chmod(0o444)
        assert not (home / "current").exists()
        if uid == 0:
            os.seteuid(65534)  # root can write everywhere
        with pytest.raises(
            warehouse.WarehouseError, match=rf"{home}/writer.lock cannot be written.*LOC_DATA"
        ):
            publish(4)
        assert rows() == 3
    finally:
        os.seteuid(uid)
        for path, mode in modes.items():
            path.chmod(mode)
    (home / "writer.lock").chmod(0o600)
    assert (publish(4).based_on, warehouse.rollback("prod").id) == (1, 1)


@pytest.mark.parametrize(
    "name, value",
    [
        ("LOC_LOCK_TIMEOUT", "soon"),
        ("LOC_KEEP_VERSIONS", "0"),
        ("LOC_GRACE", "nan"),
        ("LOC_QUERY_THREADS", "1.5"),
    ],
)
def test_a_setting_that_is_no_use_is_refused_by_name(data, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=rf"{name}='{value}' is not usable"):
        publish(1)


def test_a_question_mark_in_the_path_is_refused_since_duckdb_would_cut_it_off(data, monkeypatch):
    monkeypatch.setenv("LOC_DATA", f"{data}?")
    with pytest.raises(UsageError, match="question mark.*Set LOC_DATA"):
        publish(1)


def test_errors_survive_pickling():
    import pickle

    error = pickle.loads(pickle.dumps(UsageError("a", "b", "c")))
    assert isinstance(error, LocError) and (error.what, error.why, error.fix) == ("a", "b", "c")


def test_a_process_that_ends_while_the_holder_is_looked_for_is_no_error(tmp_path, monkeypatch):
    """The process is listed in /proc, but its folder is gone when it is read.

    The test uses init for this.
    """
    scandir, gone = os.scandir, []

    def vanished(path="."):
        if str(path).rstrip("/") == "/proc/1/fd":
            gone.append(path)
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return scandir(path)

    held = tmp_path / "file"
    with held.open("w"), subprocess.Popen(["sleep", "60"], stdin=(other := held.open())) as holder:
        monkeypatch.setattr(os, "scandir", vanished)
        try:
            assert set(lock.open_in(held)) == {holder.pid, os.getpid()} and gone
        finally:
            holder.kill()
            other.close()
