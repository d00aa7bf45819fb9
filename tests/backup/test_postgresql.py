"""Superset's metadata in PostgreSQL go into the archive, and come back in one transaction."""

import subprocess
from collections.abc import Callable

import pytest
from databases import postgresql_server

from proto_loc.backup import archive, databases, make, moves, restore, workspace
from proto_loc.backup.make import Wish
from proto_loc.backup.plan import Terms
from proto_loc.errors import LocError, UsageError


@pytest.fixture
def sql(platform, tmp_path, monkeypatch) -> Callable[[str], str]:
    """Runs SQL on the PostgreSQL that the settings name, which has a dashboard."""
    with postgresql_server(tmp_path) as address:
        monkeypatch.setenv("LOC_SUPERSET_METADATA", address)

        def run(text: str) -> str:
            command = ["psql", "-qAtX", "--dbname", address, "-c", text]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout

        run("create table dashboards (title text); insert into dashboards values ('Mine')")
        yield run


def test_metadata_in_postgresql_come_back_as_they_were(platform, empty, target, sql, monkeypatch):
    make.backup(target, Wish(), who="test")
    names = {entry.path for entry in archive.read_manifest(target).files}
    assert "superset/postgresql.dump" in names and "data/superset/superset.db" not in names
    sql("update dashboards set title = 'Later'; create table other (x integer)")
    empty.use()
    with pytest.raises(UsageError, match="hold something: the database of LOC_SUPERSET_METADATA"):
        restore.restore(target, Terms())
    assert sql("select title from dashboards") == "Later\n"
    with monkeypatch.context() as patch:
        patch.setattr(databases, "_run", refuse(databases._run))
        with pytest.raises(LocError, match="pg_restore failed"):
            restore.restore(target, Terms(force=True))
    assert sql("select title from dashboards") == "Later\n" and empty.files() == {}
    assert workspace.pending() is None and empty.leftovers() == []
    restore.restore(target, Terms(force=True))
    assert sql("select title from dashboards") == "Mine\n" and empty.total() == 3
    with monkeypatch.context() as patch:
        patch.delenv("LOC_SUPERSET_METADATA")
        with pytest.raises(UsageError, match="are for PostgreSQL"):
            restore.restore(target, Terms(force=True))


def refuse(run):
    """Give pg_restore an option that it does not have."""
    return lambda program, *options: run(
        program, *(["--nonsense"] if program == "pg_restore" else []), *options
    )


def test_a_kill_behind_postgresqls_commit_is_finished(platform, empty, target, sql, monkeypatch):
    make.backup(target, Wish(), who="test")
    sql("drop table dashboards")
    empty.use()

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moves.Move, "make", killed)
        with pytest.raises(KeyboardInterrupt):
            restore.restore(target, Terms())
    assert sql("select title from dashboards") == "Mine\n" and workspace.pending()
    assert restore.resume() and empty.total() == 3


def test_a_server_that_is_down_is_named_and_no_archive_remains(platform, target, monkeypatch):
    monkeypatch.setenv("LOC_SUPERSET_METADATA", f"postgresql://x:word@/x?host={target.parent}")
    with pytest.raises(LocError, match=r"pg_dump failed on Superset's metadata") as error:
        make.backup(target, Wish(), who="test")
    assert "word" not in str(error.value) and list(target.parent.iterdir()) == []


def test_a_missing_program_is_named_with_its_package(platform, target, monkeypatch):
    monkeypatch.setenv("LOC_SUPERSET_METADATA", "postgresql://x@/x")
    monkeypatch.setenv("PATH", str(target.parent))
    with pytest.raises(LocError, match=r"pg_dump is not installed.*postgresql-client"):
        make.backup(target, Wish(), who="test")


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("postgresql+psycopg2://a:b%40c@h:1/d?x=y", ("postgresql://a@h:1/d?x=y", "b@c")),
        ("postgresql://a@/d?host=/x", ("postgresql://a@/d?host=/x", "")),
        ("postgresql://h/d", ("postgresql://h/d", "")),
    ],
)
def test_a_password_is_not_on_the_command_line(address, parts):
    assert databases._address(address) == parts
