"""An archive appears whole, under its own name, and replaces nothing."""

import errno
import os
import signal
import subprocess
import sys

import pytest
from forgery import backup

from proto_loc.backup import archive, records, restore, workspace
from proto_loc.errors import LocError, UsageError


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


def test_an_archive_can_only_be_read_by_its_owner(platform, target):
    backup(target)
    assert target.stat().st_mode & 0o777 == 0o600


def test_two_backups_at_once_exclude_each_other(platform, target):
    """The second one names the first, and the first one is not disturbed."""
    with workspace.alone(), pytest.raises(LocError, match=r"Another backup.*pid \d+"):
        backup(target)
    assert not target.exists()
    backup(target)


def test_a_child_that_is_being_started_does_not_keep_a_backup_going(platform, target):
    """Bug: a process forked during a backup had its lock, so the next backup was refused."""
    with workspace.alone():
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
    try:
        backup(target)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert target.exists()


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
