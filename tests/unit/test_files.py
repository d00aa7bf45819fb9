"""Tests of ``proto_loc.files``: atomic replacement of files, and file locks."""

import os
import subprocess
import sys

import pytest

from proto_loc import files


def test_a_text_is_replaced_and_nothing_stays_beside_it(tmp_path):
    path = tmp_path / "folder/text"
    files.replace(path, "one")
    files.replace(path, "two", private=True)
    assert path.read_text() == "two" and path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["text"]


def test_a_failed_write_leaves_the_old_text(tmp_path):
    path = tmp_path / "text"
    files.replace(path, "one")
    with pytest.raises(UnicodeEncodeError):
        files.replace(path, "\ud800")
    assert path.read_text() == "one" and os.listdir(tmp_path) == ["text"]


def test_several_files_are_replaced_or_none(tmp_path):
    """Bug: `loc lock` stopped after some of its files."""
    one, other = tmp_path / "one", tmp_path / "other"
    files.replace_all({one: "old", other: "old"})
    with pytest.raises(UnicodeEncodeError):
        files.replace_all({one: "new", other: "\ud800"})
    assert one.read_text() == other.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["one", "other"]


def test_a_folder_below_a_closed_one_cannot_be_made(tmp_path):
    """Bug: pathlib raises a PermissionError there, and set-up of Cube ended with it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    code = """
import os, sys
from pathlib import Path
from proto_loc import files
os.getuid() or os.setuid(65534)
print(files.can_make(Path(sys.argv[1])))
"""
    command = [sys.executable, "-c", code, closed / "home/.npm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_lock_is_held_until_the_block_ends_or_the_process_is_killed(tmp_path):
    path = tmp_path / "lock"
    holding = "import sys, time; from pathlib import Path; from proto_loc import files\n"
    holding += "with files.locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", holding, path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with path.open() as file:
            assert not files.try_lock(file) and not files.lock_within(file, 0.1)
            holder.kill()
            assert files.lock_within(file, 10)
        with files.locked(path), path.open() as file:
            assert not files.try_lock(file, shared=True)
