"""A program in the sandbox reads rows and returns a result of each kind."""

import struct
import zlib
from datetime import datetime

import pytest

from proto_loc.ai import values
from proto_loc.ai.chatting import picture, sandbox
from proto_loc.errors import LocError


def test_rows_come_in_with_types_and_a_table_goes_out(box):
    found = box(
        "frame = execute_sql_query('select borough, sum(fare) as fares, min(day) as first from"
        " trips group by all')\nassert str(frame.fares.dtype) == 'float64' and"
        " str(frame['first'].dtype).startswith('datetime64')\nresult = {'type': 'dataframe',"
        " 'value': frame.sort_values('borough')}"
    )
    columns, kinds, rows, truncated = found.value
    assert (found.type, columns, kinds, truncated) == (
        "dataframe", ["borough", "fares", "first"], ["text", "float", "timestamp"], False,
    )  # fmt: skip
    assert [row[:2] for row in rows] == [["Bronx", 3125.0], ["Queens", 3062.5]]
    assert found.queries == [
        "select borough, sum(fare) as fares, min(day) as first from trips group by all"
    ]


@pytest.mark.parametrize(
    ("code", "kind", "value"),
    [
        (
            (
                "result = {'type': 'number', 'value': execute_sql_query('select count(*) as n from"
                " trips').n[0]}"
            ),
            "number",
            100,
        ),
        ("print('seen'); result = {'type': 'string', 'value': 'plain'}", "string", "plain"),
    ],
)
def test_numbers_and_texts_come_out(box, code, kind, value):
    found = box(code)
    assert (found.type, found.value) == (kind, value)
    assert found.printed == ("seen\n" if kind == "string" else "")


@pytest.mark.parametrize(
    "how", ["plt.savefig('exports/charts/a.png'); value = 'exports/charts/a.png'", "value = ''"]
)
def test_a_figure_comes_out_as_a_picture(box, how):
    found = box(f"plt.plot([1, 2]); {how}\nresult = {{'type': 'plot', 'value': value}}")
    assert found.type == "plot" and found.value.startswith(b"\x89PNG")


def test_dates_that_nanoseconds_do_not_reach_come_in_and_go_out(box):
    found = box(
        "frame = execute_sql_query(\"select date '9999-12-31' as day, timestamp '0001-01-01 12:00'"
        " as at\")\nassert (frame.day.dt.year[0], frame['at'].dt.hour[0]) == (9999, 12)\nresult ="
        " {'type': 'dataframe', 'value': frame}"
    )
    assert found.value[2] == [[datetime(9999, 12, 31), datetime(1, 1, 1, 12)]]


def test_times_with_and_without_a_zone_in_one_column_stay_as_they_are(box):
    """Bug: a frame of such times failed, and the message contained a value of the data.

    The parent process makes the frame of a result in the same way.
    """
    table = {
        "columns": ["at"],
        "kinds": ["timestamp"],
        "rows": [["2025-01-01T00:00:00"], ["2025-01-01T00:00:00+00:00"]],
    }
    found = box(
        f"import values\nframe = values.frame(*values.load({table!r})[:3])\n"
        "result = {'type': 'string', 'value': ' '.join(map(str, frame['at']))}"
    )
    assert found.value == "2025-01-01 00:00:00 2025-01-01 00:00:00+00:00"


def test_a_failure_names_the_line(box):
    with pytest.raises(sandbox.SandboxError, match="failed in line 2 with ZeroDivisionError"):
        box("a = 1\nb = a / 0")


def test_a_refused_query_is_reported_even_if_the_program_hides_it(box):
    found = box(
        "try:\n    execute_sql_query(\"select * from read_csv('/etc/passwd')\")\nexcept"
        " Exception:\n    pass\nresult = {'type': 'string', 'value': 'all is well'}"
    )
    assert "read_csv is not allowed" in found.refused[0]


def test_more_rows_than_the_limit_are_cut_and_marked(box):
    found = box(
        "frame = execute_sql_query('select * from range(100)')\n"
        "result = {'type': 'string', 'value': f'{len(frame)} {frame.attrs[\"truncated\"]}'}",
        rows=10,
    )
    assert found.value == "10 True"


def test_without_bubblewrap_the_reason_is_said_and_nothing_runs(
    reader, notebooks, monkeypatch, tmp_path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox.unavailable.cache_clear()
    try:
        with pytest.raises(LocError, match="was not run. bubblewrap is not installed.*`loc ask`"):
            sandbox.run("result = {'type': 'number', 'value': 1}", reader)
    finally:
        sandbox.unavailable.cache_clear()


def test_where_bubblewrap_may_not_run_its_own_words_are_said(
    reader, notebooks, monkeypatch, tmp_path
):
    refusing = tmp_path / "bwrap"
    refusing.write_text(
        "#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n"
    )
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox.unavailable.cache_clear()
    try:
        with pytest.raises(LocError, match="uid map: Permission denied.*user namespaces"):
            sandbox.run("result = {'type': 'number', 'value': 1}", reader)
    finally:
        sandbox.unavailable.cache_clear()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, pixels: bytes, *more: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(pixels))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + body + chunk(b"IEND", b"")


GOOD = png(2, 1, bytes(7))


def test_a_picture_loses_what_does_not_draw_it():
    assert picture.checked(png(2, 1, bytes(7), chunk(b"tEXt", b"Comment\0secret"))) == GOOD
    assert picture.checked(GOOD + b"trailing") == GOOD


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"GIF89a", "It is not a PNG"),
        (b"<svg onload='alert(1)'/>", "It is not a PNG"),
        (GOOD[:-12], "It ends too early"),
        (GOOD[:-14], "It is broken"),
        (GOOD.replace(b"IDAT", b"IDAx"), "It is broken"),
        (png(100_000, 1, bytes(7)), "100000 by 1 pixels"),
        (png(2, 1, bytes(50_000_000)), "more pixels than its header"),
        (GOOD + bytes(6 << 20), "bytes; the limit is 5,242,880"),
    ],
)
def test_a_picture_that_is_none_is_refused(bad, why):
    with pytest.raises(LocError, match=why):
        picture.checked(bad)


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"columns": ["a"], "kinds": ["pickle"], "rows": []},
        {"columns": ["a"], "kinds": ["integer"], "rows": [["1"]]},
        {"columns": ["a"], "kinds": ["integer"], "rows": [[1, 2]]},
        {"columns": ["a"], "kinds": ["date"], "rows": [["no day"]]},
        {"columns": [1], "kinds": ["text"], "rows": []},
        {"columns": ["a"], "kinds": ["text"], "rows": 5},
    ],
)
def test_a_table_that_is_none_is_refused(bad):
    with pytest.raises(ValueError):
        values.load(bad)
