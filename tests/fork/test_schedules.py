"""A schedule is a line of fork.toml; a mistake in it is named by file and line."""

from datetime import UTC, datetime

import pytest
from dagster._utils.schedules import cron_string_iterator, is_valid_cron_string

from proto_loc import cron, doctor, fork_file
from proto_loc.errors import UsageError


def write(folder, lines: str):
    path = folder / "fork.toml"
    path.write_text(f'name = "shop"\n\n[schedules]\n{lines}\n')
    return path


def test_the_file_of_the_repository_can_be_read():
    assert fork_file.FILE.exists() and fork_file.read().name


def test_schedules_are_read_in_order_with_their_lines(tmp_path):
    path = write(
        tmp_path,
        'night = { cron = "30 2 * * *", time_zone = "Europe/Berlin", on = true }\n'
        'noon = { cron = "0 12 * * mon-fri", time_zone = "UTC" }',
    )
    night, noon = fork_file.read(path).schedules
    assert (night.line, night.on, noon.line, noon.on) == (4, True, 5, False)
    assert str(night) == "night: 30 2 * * * (Europe/Berlin), on"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('late = { cron = "0 25 * * *", time_zone = "UTC" }', "hour '25' is out of range"),
        ('late = { cron = "0 6 * *", time_zone = "UTC" }', "has 4 fields"),
        ('late = { cron = "0 6 30 2 *", time_zone = "UTC" }', "no month of it has a day 30"),
        ('late = { cron = "0 6 * * *", time_zone = "Berlin" }', "no time zone 'Berlin'"),
        ('late = { cron = "0 6 * * *", time_zone = "../etc" }', "no time zone '../etc'"),
        ('late = { cron = "0 6 * * *" }', "has cron, time_zone"),
        ('late = { cron = "0 6 * * *", time_zone = "UTC", at = 1 }', "has cron, time_zone"),
        ('late = { cron = "0 6 * * *", time_zone = "UTC", on = "yes" }', "must be true or false"),
        ('late = { cron = 6, time_zone = "UTC" }', "must be a text"),
        ('late-one = { cron = "0 6 * * *", time_zone = "UTC" }', "s name has small letters"),
    ],
)
def test_a_mistake_is_named_by_file_and_line(tmp_path, line: str, reason: str):
    path = write(tmp_path, f'fine = {{ cron = "0 6 * * *", time_zone = "UTC" }}\n{line}')
    with pytest.raises(UsageError) as error:
        fork_file.read(path)
    assert f"{path}, line 5:" in error.value.what and reason in error.value.why


def test_a_file_that_is_not_toml_is_named_with_its_line(tmp_path):
    with pytest.raises(UsageError, match=r"fork\.toml cannot be read.*line 4"):
        fork_file.read(write(tmp_path, "night = { cron ="))


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000 + "]" * 5000, '"\xff"'])
def test_a_file_that_python_cannot_read_is_named(tmp_path, value):
    path = tmp_path / "fork.toml"
    path.write_bytes(f"name = {value}\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"fork\.toml cannot be read"):
        fork_file.read(path)


@pytest.mark.parametrize(
    "expression",
    [
        *("0 6 * * *", "*/15 * * * mon-fri", "0 6 1-5/2 * *", "5/10 * * * *", "0 6 * JAN,feb 7"),
        *("0 6 30 2 *", "61 * * * *", "0 6 * *", "0 24 * * *", "0 6 * * 8", "0 6 0 * *"),
        *("*/0 * * * *", "a * * * *", "", "1-70 * * * *", "0 0 31 2 1"),
    ],
)
def test_the_check_agrees_with_dagsters(expression: str):
    assert (not cron.fault(expression)) == is_valid_cron_string(expression)


def test_what_dagster_takes_and_never_runs_or_runs_otherwise_is_refused():
    for expression in ("0 6 31 4 *", "0 6 l * *", "0 6 * * fri-sun", "*/70 * * * *", "@daily"):
        assert is_valid_cron_string(expression) and cron.fault(expression)


@pytest.mark.parametrize(
    ("start", "ticks"),
    [
        # clocks go from 2:00 to 3:00: the skipped 2:30 runs at 3:00
        (datetime(2026, 3, 28, tzinfo=UTC), ["28 02:30 CET", "29 03:00 CEST", "30 02:30 CEST"]),
        # clocks go from 3:00 back to 2:00: it runs once
        (datetime(2026, 10, 24, tzinfo=UTC), ["24 02:30 CEST", "25 02:30 CET", "26 02:30 CET"]),
    ],
)
def test_a_schedule_keeps_to_the_clock_when_the_clock_changes(start: datetime, ticks: list[str]):
    runs = cron_string_iterator(start.timestamp(), "30 2 * * *", "Europe/Berlin")
    assert [f"{next(runs):%d %H:%M %Z}" for _ in ticks] == ticks


def test_doctor_shows_each_schedule_with_its_next_run(tmp_path, monkeypatch):
    line = 'night = { cron = "30 2 * * *", time_zone = "Europe/Berlin", on = true }'
    monkeypatch.setattr(fork_file, "FILE", write(tmp_path, line))
    (finding,) = doctor.CHECKS["schedules"]()
    assert (
        finding.status == "ok" and "night: 30 2 * * * (Europe/Berlin), on; next at" in finding.what
    )
    monkeypatch.setattr(fork_file, "FILE", write(tmp_path, line.replace("Berlin", "Berlinn")))
    faults = [finding for name, finding in doctor.look() if name == "schedules"]
    assert [fault.status for fault in faults] == ["fail"] and "line 4" in faults[0].what
