"""A file replaces another file of its month and colour; it never removes rows silently."""

import os
import pty
import subprocess
import sys

import pytest
from test_landing import write

from pipelines.taxi import load as taxi
from proto_loc import warehouse
from proto_loc.refresh.job import load
from proto_loc.settings import ROOT, settings
from proto_loc.warehouse import lake

pytestmark = pytest.mark.usefixtures("data")
DAY = "* REPLACE (tpep_pickup_datetime + INTERVAL {0} DAY AS tpep_pickup_datetime)"


def load_files(*paths, **options) -> list[taxi.Outcome]:
    return taxi.load_files(paths, who="test", report=lambda *_: None, **options)


def refresh() -> dict[str, str]:
    """Run the load part of a refresh; return the outcome of each input."""
    outcomes = load(None, who="test", report=lambda *_: None)
    return {outcome.input: outcome.skipped for outcome in outcomes}


@pytest.fixture
def first(tmp_path):
    """A loaded month: 40 trips of one day."""
    path = write(tmp_path / "yellow_2025-02-03.csv", DAY.format(0))
    load_files(path)
    return path


def test_a_second_daily_file_takes_no_row_away_without_a_word(first, tmp_path):
    """Fault: the second file replaced the rows of the first one in prod without a message."""
    second = write(tmp_path / "yellow_2025-02-04.csv", DAY.format(1))
    with pytest.raises(
        taxi.WouldReplace,
        match=(
            "yellow_2025-02-04.csv would take the place of yellow_2025-02-03.csv, without 40 of"
            " its 40"
        ),
    ):
        load_files(second)
    assert [one.input for one in lake.loads(active=False)] == [first.name]
    assert [path.name for path in settings().lake.glob("*/*.parquet")] == [
        settings().lake.joinpath(lake.loads()[0].file).name
    ]
    (outcome,) = load_files(second, replace=True)
    assert (outcome.replaced.input, outcome.replaced.rows) == (first.name, 40)
    assert [one.input for one in lake.loads()] == [second.name]


def test_a_newer_edition_takes_the_place_of_the_older_one(first, tmp_path):
    """A newer edition has the same name, rows of each day of the old one, and corrected rows.

    This is what usually happens to a month.
    """
    edition = write(tmp_path / "new" / first.name, "* REPLACE (11.5 AS fare_amount)", rows=39)
    (outcome,) = load_files(edition)
    assert (outcome.replaced.rows, outcome.load.rows) == (40, 39)
    other_day = write(tmp_path / "newer" / first.name, DAY.format(1))
    with pytest.raises(taxi.WouldReplace, match="without 39 of its 39 rows"):
        load_files(other_day)


def test_a_file_that_has_every_row_of_the_other_one_needs_no_word(first, tmp_path):
    second = write(tmp_path / "yellow_2025-02-04.csv", DAY.format(1))
    whole = tmp_path / "yellow_2025-02.csv"
    whole.write_text(first.read_text() + second.read_text().partition("\n")[2])
    (outcome,) = load_files(whole)
    assert (outcome.replaced.input, outcome.load.rows) == (first.name, 80)


def test_a_refresh_leaves_such_a_file_out_says_so_and_loads_the_others(first, tmp_path):
    settings().landing.mkdir(parents=True, exist_ok=True)
    second = write(settings().landing / "yellow_2025-02-04.csv", DAY.format(1))
    march = "INTERVAL 1 MONTH AS tpep_pickup_datetime)"
    write(settings().landing / "yellow_2025-03.csv", f"* REPLACE (tpep_pickup_datetime + {march}")
    said = refresh()
    assert (
        f"it lacks 40 of the 40 rows of {first.name}, whose place it would take"
        in said[second.name]
    )
    assert f"`loc load {second} --replace`" in said[second.name]
    assert [one.input for one in lake.loads()] == [first.name, "yellow_2025-03.csv"]
    before = warehouse.current("raw").id
    assert list(refresh()) == [second.name], "it is said each time"
    assert warehouse.current("raw").id == before, "and nothing is published for it"
    load_files(second, replace=True)
    assert refresh() == {}


def test_two_new_files_of_one_month_in_the_landing_folder_stop_no_refresh(first):
    settings().landing.mkdir(parents=True, exist_ok=True)
    for day in (1, 2):
        write(
            settings().landing / f"yellow_2025-04-0{day}.csv",
            f"* REPLACE (TIMESTAMP '2025-04-0{day}' AS tpep_pickup_datetime)",
        )
    said = refresh()
    assert "yellow_2025-04-02.csv is of the same month and colour" in said["yellow_2025-04-01.csv"]
    assert "yellow_2025-04-01.csv is of the same month and colour" in said["yellow_2025-04-02.csv"]
    assert [one.input for one in lake.loads()] == [first.name]


def test_what_a_machine_puts_into_the_landing_folder_stops_no_refresh(first, tmp_path):
    """Fault: each of these files blocked every refresh."""
    folder = settings().landing
    (folder / "year=2025").mkdir(parents=True)
    names = (
        *(
            "desktop.ini",
            "Thumbs.db",
            ".DS_Store",
            "yellow.parquet:Zone.Identifier",
            "~$yellow_2025-02.csv",
            "trips.xlsx",
        ),
        *("a.parquet.crdownload", "a.parquet.part", "a.csv.tmp", "README"),
    )
    for name in names:
        (folder / name).write_bytes(b"\xff\x00")
    (folder / "gone.csv").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.csv")
    write(
        folder / "yellow_2025-03.csv", "* REPLACE (TIMESTAMP '2025-03-01' AS tpep_pickup_datetime)"
    )
    said = refresh()
    assert said.pop("yellow_2025-03.csv") == ""
    assert set(said) == {*names, "year=2025", "gone.csv", "pipe.csv"} - {".DS_Store"}
    assert "it is a folder" in said["year=2025"] and "ends in .parquet, .csv" in said["desktop.ini"]
    assert taxi.pending() == []


def test_a_person_at_a_terminal_is_asked(first, tmp_path):
    second = write(tmp_path / "yellow_2025-02-04.csv", DAY.format(1))
    command = [sys.executable, "-m", "proto_loc.cli", "load", str(second), "--direct"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and "say --replace" in done.stderr
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, b"n\n")
        said = b""
        while piece := _read(ours):
            said += piece
    os.close(ours)
    assert (
        process.returncode == 2
        and b"would take the place of" in said
        and b"Replace it? [y/N]" in said
    )
    assert [one.input for one in lake.loads()] == [first.name]


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except OSError:  # Linux reports the error at the end
        return b""
