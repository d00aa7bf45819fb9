"""A restore is whole or nothing, and loses nothing that is here."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from forgery import refused

from proto_loc import services
from proto_loc.backup import archive, make, moves, restore, workspace
from proto_loc.backup.make import Wish
from proto_loc.backup.plan import Terms
from proto_loc.cli import main
from proto_loc.errors import LocError
from proto_loc.services import launch
from proto_loc.warehouse import store


def test_what_is_here_is_not_overwritten(monday, platform, empty):
    """Without --force nothing changes, and every place is named; with it, all is set aside."""
    empty.load(7)
    (empty.notebooks / "work").mkdir()
    (empty.notebooks / "work/Ünï code.ipynb").write_text("mine")
    refused(monday, empty, r"These hold something: .*another place/data/lake.*Ünï code.*--force")
    result = restore.restore(monday, Terms(force=True))
    assert (empty.orders(), empty.total()) == ([1, 2, 3], 3)
    assert (empty.notebooks / "work/Ünï code.ipynb").read_text() == "{}"
    data, notebooks = map(Path, result.aside)
    assert (notebooks / "work/Ünï code.ipynb").read_text() == "mine"
    versions = data / "warehouse/prod/versions"
    assert [path.name for path in versions.iterdir()] == ["000001"]
    assert [path.suffix for path in (data / "lake/shop").iterdir()] == [".parquet"]


def test_a_notebook_that_is_the_same_is_no_conflict(monday, empty):
    (empty.notebooks / "work").mkdir()
    (empty.notebooks / "work/Ünï code.ipynb").write_text("{}")
    restore.restore(monday, Terms())
    assert empty.total() == 3


@pytest.mark.parametrize("name", ["data/lake", "data/superset", "notebooks/work"])
def test_a_link_out_of_the_folder_is_not_followed(monday, empty, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (empty.home / name).symlink_to(outside)
    refused(monday, empty, "is a link to .*outside", terms=Terms(force=True))
    assert list(outside.iterdir()) == []


def test_a_file_where_a_folder_belongs_is_refused_before_anything(monday, empty):
    (empty.notebooks / "work").write_text("mine")
    refused(monday, empty, "is a file, and the archive has a folder", terms=Terms(force=True))


def test_running_services_are_named(monday, empty, monkeypatch):
    monkeypatch.setattr(launch, "left", lambda mark: {1} if mark == services.mark() else set())
    refused(monday, empty, "Services of this clone run.*loc down")


def test_services_do_not_start_while_a_restore_unpacks(monday, empty, monkeypatch):
    """Neither by `loc up`, nor by hand: the moves would take their open files away."""
    running, answers = [], []

    def start(*_):
        with pytest.raises(LocError, match=r"Another backup or restore.*pid \d+"):
            workspace.prepare()
        answers.append(workspace.staging().exists())
        running.append(1)

    monkeypatch.setattr(restore, "_settle_dagster", start)
    monkeypatch.setattr(launch, "left", lambda mark: set(running))
    refused(monday, empty, "Services of this clone run.*loc down", terms=Terms(force=True))
    assert answers == [True]
    workspace.prepare()


def test_a_writer_is_waited_for_by_nobody(monday, empty):
    with store.write_lock("prod"), pytest.raises(LocError, match="prod is still being written"):
        restore.restore(monday, Terms())
    assert empty.leftovers() == []


def test_a_disk_that_fills_up_leaves_nothing(monday, empty, monkeypatch):
    unpack = restore._unpack

    def full(path, mode, content):
        unpack(path, mode, content)
        if path.suffix == ".parquet":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(restore, "_unpack", full)
    refused(monday, empty, r"the disk is full.*MB are free")


KILLED = """
import os, signal, sys
from pathlib import Path
from proto_loc.backup import moves, restore, workspace
from proto_loc.backup.plan import Terms
workspace.NOTEBOOKS = Path(sys.argv[2])
made, rename = int(sys.argv[3]), os.rename
def counted(*names):
    global made
    if not made:
        os.kill(os.getpid(), signal.SIGKILL)
    made -= 1
    rename(*names)
os.rename = counted
restore.restore(Path(sys.argv[1]), Terms(force=True))
"""


@pytest.mark.parametrize("renames", [0, 1, 2, 5, 9])
def test_a_restore_killed_half_way_is_finished_and_never_taken_for_whole(
    monday, empty, renames, capfd
):
    """Until it is finished, every command refuses; then nothing of the old state remains."""
    empty.load(7)
    command = [sys.executable, "-c", KILLED, monday, empty.notebooks, str(renames)]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert main(["db", "list"]) == 1
    assert "A restore was ended before it was done" in capfd.readouterr().err
    with pytest.raises(LocError, match="ended before it was done"):
        workspace.prepare()
    with pytest.raises(LocError, match="ended before it was done"):
        make.backup(monday.with_name("x"), Wish(), who="test")
    with pytest.raises(LocError, match="ended before it was done"):
        restore.restore(monday, Terms(force=True))
    assert main(["restore"]) == 0
    assert (empty.orders(), empty.total()) == ([1, 2, 3], 3)
    assert (empty.notebooks / "work/Ünï code.ipynb").read_text() == "{}"
    assert [name.partition("-")[0] for name in empty.leftovers()] == ["replaced"]
    assert main(["restore"]) == 2


def test_a_restore_killed_while_it_unpacks_changes_nothing(monday, empty, tmp_path):
    """What was there is served, and the next restore clears up."""
    empty.load(7)
    program = KILLED.replace(
        "os.rename = counted", "restore._settle_dagster = lambda *_: counted()"
    )
    command = [sys.executable, "-c", program, monday, empty.notebooks, "0"]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert empty.leftovers() and (empty.orders(), empty.total()) == ([7], 7)
    assert workspace.pending() is None
    restore.restore(monday, Terms(force=True))
    assert empty.total() == 3


def test_a_rename_that_fails_is_finished_later(monday, empty, monkeypatch):
    make_move, failing = moves.Move.make, [True]

    def fail_once(self):
        if self.target.endswith("superset") and failing:
            failing.clear()
            raise PermissionError(errno.EACCES, "Permission denied", self.target)
        make_move(self)

    monkeypatch.setattr(moves.Move, "make", fail_once)
    with pytest.raises(LocError, match=r"not restored in full yet.*`loc restore` finishes it"):
        restore.restore(monday, Terms())
    assert workspace.pending()
    assert restore.resume() and empty.total() == 3 and empty.leftovers() == []


def test_check_reads_everything_and_writes_nothing(monday, empty, capfd):
    before = empty.files()
    assert main(["restore", "--check", str(monday)]) == 0
    assert "is whole" in capfd.readouterr().out
    assert empty.files() == before and empty.leftovers() == []
    content = bytearray(monday.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    monday.write_bytes(content)
    assert main(["restore", "--check", str(monday)]) == 1


def test_a_backup_goes_onto_an_older_release_with_the_same_tools(monday, empty, monkeypatch):
    """A later release counts up the archive's format if an older one could not read it."""
    older = make.releases() | {"proto_loc": "0.0.1"}
    monkeypatch.setattr(make, "releases", lambda: older)
    result = restore.restore(monday, Terms())
    assert empty.total() == 3
    assert any("and this clone has the older 0.0.1" in note for note in result.notes)


def test_a_restored_backup_can_be_backed_up_again(monday, empty, target):
    """The second archive is another platform's, with the same content."""
    restore.restore(monday, Terms())
    again = target.with_name("again.tar.zst")
    make.backup(again, Wish(), who="test")
    first, second = map(archive.read_manifest, (monday, again))
    assert first.platform != second.platform
    assert {item for item in first.files if "/prod/" in item.path or "lake" in item.path} <= {
        *second.files
    }
