"""``[backup]`` of fork.toml: its archives, how many are kept, and how a mistake is named."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proto_loc import doctor, fork_file
from proto_loc.backup import archive, records, schedule, workspace
from proto_loc.cli import main
from proto_loc.doctor.fork import backups
from proto_loc.errors import LocError, UsageError
from proto_loc.files import try_lock

CLOCK = 'cron = "0 3 * * *"\ntime_zone = "UTC"\n'


@pytest.fixture
def night(platform, tmp_path, monkeypatch):
    """Makes the backup of one night after another; returns the names of the archives present."""
    folder = tmp_path / "disk" / "backups"
    folder.mkdir(parents=True)
    clock = [datetime(2026, 1, 1, tzinfo=UTC)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return clock[0]

    monkeypatch.setattr(schedule, "datetime", Clock)

    def backup(entries: str = "") -> list[str]:
        platform.fork.write_text(f'name = "shop"\n[backup]\nfolder = "{folder}"\n{CLOCK}{entries}')
        clock[0] += timedelta(days=1)
        schedule.backup(who="test")
        return [
            re.sub(r"shop-202601|T.*Z|\.tar\.zst", "", p.name) for p in sorted(folder.iterdir())
        ]

    backup.folder = folder
    return backup


def test_the_newest_are_kept(night):
    for _ in range(3):
        present = night("keep = 2\n")
    assert present == ["03-full", "04-full"]


def test_archives_that_kept_ones_need_stay(night):
    """An incremental archive without its base is worth nothing."""
    settings = "keep = 2\nfull_every = 4\n"
    assert [night(settings) for _ in range(5)][2:] == [
        ["02-full", "03-incremental", "04-incremental"],
        ["02-full", "04-incremental", "05-incremental"],  # nothing of 03 is needed
        ["02-full", "05-incremental", "06-full"],
    ]


def test_what_the_schedule_did_not_write_stays(night):
    names = ("mine.tar.zst", "shop-20250101T000000Z-full.tar.zst", "notes.txt")
    for name in names:
        (night.folder / name).write_bytes(b"x")
    night("keep = 1\n")
    other = night.folder / "shop-20250202T000000Z-full.tar.zst"
    (newest,) = [path for path in night.folder.glob("shop-2026*")]
    other.write_bytes(newest.read_bytes())
    (workspace.folder() / "id").unlink()  # as in another clone with the same name
    night("keep = 1\n")
    assert {*names, other.name, newest.name} <= {path.name for path in night.folder.iterdir()}


def test_what_a_killed_backup_left_is_removed(night):
    """Its name is in no later backup's way, so nothing else removes it. One that is written now,
    by another clone of the same name, and those of others stay.
    """
    dead, live = (night.folder / f".shop-2025010{day}T030000Z-full.tar.zst.part" for day in (1, 2))
    others = [night.folder / f".{name}.tar.zst.part" for name in ("mine", "shop-eu-x")]
    for path in (dead, live, *others):
        path.write_bytes(b"x")
    with live.open("r+b") as file:
        assert try_lock(file)
        night()
    assert not dead.exists() and all(path.exists() for path in (live, *others))


def test_a_failed_backup_removes_nothing(night, monkeypatch):
    before = night("keep = 1\n")
    monkeypatch.setattr(
        archive.Writer, "close", lambda self: (_ for _ in ()).throw(OSError(5, "x"))
    )
    with pytest.raises(LocError):
        night("keep = 1\n")
    assert [path.name[11:13] for path in night.folder.iterdir()] == [before[0][:2]]


def test_a_missing_base_means_a_whole_archive(night):
    night("full_every = 9\n")
    (first,) = night.folder.iterdir()
    first.write_bytes(first.read_bytes()[:-1])
    assert night("full_every = 9\n")[1:] == ["03-full"]


def test_without_a_file_or_an_entry_both_ways_are_named(platform, capfd):
    platform.fork.write_text('name = "shop"\n')
    assert main(["backup"]) == 2
    assert "`loc backup FILE`" in capfd.readouterr().err


def test_the_command_prints_json_and_history(night, capfd):
    night()
    assert main(["backup", "--json", "--who", "Dagster run 1"]) == 2, (
        "the file of that second exists"
    )
    capfd.readouterr()
    assert main(["backup", "--history", "--json"]) == 0
    record, second = json.loads(capfd.readouterr().out)
    assert second["who"] == "Dagster run 1" and "exists" in second["error"]
    assert record["error"] == "" and record["bytes"] > 0 and record["who"] == "test"


def test_a_disk_that_is_not_mounted_is_a_failed_backup(night):
    """Nobody reads the message of a backup at night: history, doctor and metrics have it."""
    night()
    night.folder.rename(night.folder.with_name("unmounted"))
    with pytest.raises(UsageError, match="There is no folder"):
        night("on = true\n")
    good, failed = records.read()
    assert failed.who == "test" and f"There is no folder {night.folder}" in failed.error
    assert records.last() == good and not night.folder.exists()
    (finding,) = backups()
    assert finding.status == "fail" and "no folder" in finding.why


def test_a_backup_that_another_one_keeps_out_is_recorded(night):
    with workspace.alone(), pytest.raises(LocError, match="Another backup"):
        night()
    (record,) = records.read()
    assert "Another backup" in record.error and record.file.endswith("-full.tar.zst")


def refusal(path: Path, section: str) -> UsageError:
    """Return the error of a ``fork.toml`` with this section ``[backup]``."""
    path.write_text(f'name = "shop"\n[backup]\n{section}')
    with pytest.raises(UsageError) as error:
        fork_file.read(path)
    return error.value


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('keep = "7"', "must be a whole number"),
        ("keep = 0", "at least 1"),
        ("keep = true", "must be a whole number"),
        ("full_every = 0", "at least 1"),
        ('secrets = ["AGE-SECRET-KEY-1"]', "is no public key"),
        ('secrets = "age1x"', "must be a list"),
        ('every = "day"', "if you like, on, keep"),
        ("on = 1", "must be true or false"),
        ('secrets = [["age1x"]]', "is no public key"),
        ("keep = 1979-05-27", "must be a whole number"),
    ],
)
def test_a_mistake_is_named_by_file_and_line(tmp_path, line, reason):
    error = refusal(tmp_path / "fork.toml", f'folder = "/mnt"\n{CLOCK}{line}\n')
    assert f"{tmp_path}/fork.toml, line 6:" in error.what and reason in error.why


def test_an_hour_that_no_day_has_is_named_by_its_line(tmp_path):
    clock = CLOCK.replace("0 3", "0 25")
    error = refusal(tmp_path / "fork.toml", f'folder = "/mnt"\n{clock}')
    assert re.search(r"line 2.*hour '25' is out of range", str(error))


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ('"~nobody-of-this-name/x"', "Could not determine home directory"),
        ('"a\\u0000b"', "is no path"),
        ('" "', "is no path"),
        ('["/mnt"]', "must be a text"),
    ],
)
def test_a_folder_that_is_none_is_named_by_its_line(tmp_path, folder, reason):
    error = refusal(tmp_path / "fork.toml", f"folder = {folder}\n{CLOCK}")
    assert f"{tmp_path}/fork.toml, line 3: folder" in error.what and reason in error.why


def test_doctor_names_a_failed_and_a_missing_backup(platform, night):
    """No entry, none yet, a good one, one that failed, an old one."""

    def finding():
        (only,) = backups()
        return only

    assert "backups" in doctor.CHECKS
    platform.fork.write_text('name = "shop"\n')
    assert finding().status == "ok" and "no [backup]" in finding().what
    platform.fork.write_text(
        f'name = "shop"\n[backup]\non = true\nfolder = "{night.folder}"\n{CLOCK}'
    )
    assert finding().status == "warn" and "no backup has been made" in finding().what
    night("on = true\n")
    assert finding().status == "ok" and "shop-2026" in finding().what
    good = records.last()
    failed = type(good)(good.started_at, 1, "test", "x", error="The disk is full.")
    records.add(failed)
    assert finding().status == "fail" and "The disk is full." in finding().why
    old = "2020-01-01T00:00:00+00:00"
    records.path().unlink()
    records.add(type(good)(**vars(good) | {"started_at": old}))
    assert finding().status == "warn" and old[:10] in finding().what
