"""Tests of the query process: a limit ends one query, and the next query gets its answer."""

import os
import pickle
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import duckdb
import psutil
import pytest

from proto_loc.errors import LocError
from proto_loc.warehouse import guard, query_process

LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="macOS does not keep the system's bound of memory"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("reader") / "x.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("create table t as select range as n from range(10)")
    return path


@pytest.fixture(scope="module")
def child():
    made = query_process.Reader()
    yield made
    made.close()


def pid(child: query_process.Reader) -> int:
    child.start()
    return child._child.pid


def test_a_query_of_some_seconds_is_answered(child, tmp_path):
    """DuckDB's progress bar, which it prints after 2 s, once stood in the place of the answer."""
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("create table t as select range::varchar as text from range(1_000_000)")
    digest = "text"
    for _ in range(40):
        digest = f"md5({digest})"
    start = time.monotonic()
    assert child.run(path, f"select count({digest}) from t").rows == [(1_000_000,)]
    assert time.monotonic() - start > 2.5  # else DuckDB had no reason to print


def test_values_arrive_as_duckdb_gives_them(child, path):
    values = [
        "?::decimal(9, 2)",
        "date '2025-01-02'",
        "timestamp '2025-01-02 03:04:05'",
        "interval 1 day",
        "'a\\x00'::blob",
        "uuid '00000000-0000-0000-0000-000000000001'",
        "{'a': [1.5, null]}",
        "170141183460469231731687303715884105727",
        "timestamptz '2025-01-01 00:00:00Z'",
    ]
    found = child.run(path, f"select {', '.join(values)}", ["1.20"]).rows
    assert found[0][:6] == (
        Decimal("1.20"),
        date(2025, 1, 2),
        datetime(2025, 1, 2, 3, 4, 5),
        timedelta(days=1),
        b"a\0",
        UUID(int=1),
    )
    assert found[0][6:8] == ({"a": [1.5, None]}, 2**127 - 1) and found[0][8] == datetime(
        2025, 1, 1, tzinfo=UTC
    )
    cut = child.run(path, "from t", limit=3)
    assert (len(cut.rows), cut.truncated, cut.types) == (3, True, ("BIGINT",))


@LINUX
@pytest.mark.parametrize(
    "greedy", ["list_aggregate(range(3000000000), 'sum')", "length(repeat('x', 4000000000))"]
)
def test_a_single_value_is_bounded_by_the_system(child, path, greedy):
    """DuckDB's own limit does not apply to a single value.

    A list of 3 billion numbers took 17.8 GB.
    """
    with pytest.raises(query_process.Ended, match="memory"):
        child.run(path, f"select {greedy}")
    assert psutil.Process(pid(child)).memory_info().rss < child.memory + query_process.BESIDE
    assert child.run(path, "select count(*) from t").rows == [(10,)]


def test_the_next_statement_is_answered_where_the_process_was_killed(child, path):
    os.kill(pid(child), signal.SIGKILL)
    time.sleep(0.1)
    assert child.run(path, "select 1").rows == [(1,)]


def test_a_process_that_ends_for_it_was_idle_is_no_fault(path):
    mine = query_process.Reader()
    code = "from proto_loc.warehouse import query_process as p; p.IDLE = 0.5; p._serve(10**9)"
    mine._child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=-1,
        stdout=-1,
        bufsize=0,
        cwd=Path(query_process.__file__).parents[1],
    )
    assert mine.run(path, "select 1").rows == [(1,)]
    os.kill(pid(mine), signal.SIGSTOP)  # its idle time is over before it reads the next statement
    time.sleep(0.6)
    os.kill(pid(mine), signal.SIGCONT)
    assert mine.run(path, "select 2").rows == [(2,)]
    mine.close()


def test_a_process_that_ended_is_no_zombie_until_the_next_statement(path):
    """Bug: a process that ended while idle became a zombie, and reading the server's processes
    failed.
    """
    mine = query_process.Reader()
    mine.run(path, "select 1")
    ended = psutil.Process(pid(mine))
    ended.kill()
    assert not psutil.wait_procs([ended], timeout=10)[1]
    assert not ended.is_running()
    mine.close()


def test_a_statement_that_no_interrupt_cuts_is_ended(path, monkeypatch):
    monkeypatch.setattr(query_process, "GRACE", 0.1)
    mine = query_process.Reader()
    mine.run(path, "select 1")
    os.kill(pid(mine), signal.SIGSTOP)
    stopped = pid(mine)
    with pytest.raises(guard.TooLong, match="longer than 0.2 seconds"):
        mine.run(path, "select 1", timeout=0.2)
    assert not psutil.pid_exists(stopped)
    mine.close()


def test_what_is_refused_and_what_fails_says_why_and_the_process_stays(child, path):
    before = pid(child)
    with pytest.raises(guard.Refused, match="not allowed"):
        child.run(path, "select * from read_csv('/etc/passwd')")
    with pytest.raises(LocError, match="nosuch"):
        child.run(path, "select nosuch")
    with pytest.raises(guard.TooLong):
        child.run(path, "select count(*) from range(1000000000) a, range(1000) b", timeout=0.2)
    with pytest.raises(LocError, match="too large"):
        child.run(path, "select repeat('x', 40000000) from range(2)")
    assert pid(child) == before


def test_a_process_ends_with_the_one_that_asks(child, path):
    """It ends even during a query, because nobody would read the answer."""
    mine = query_process.Reader()
    mine.run(path, "select 1")
    mine._child.stdin.close()
    assert mine._child.wait(5) == 0
    mine._child.stdout.close()


def test_an_answer_is_values_and_no_code(path):
    """The process that sends the answer has run the SQL of an unknown person."""
    with pytest.raises(pickle.UnpicklingError, match="is no value"):
        query_process._Values(__import__("io").BytesIO(pickle.dumps(os.system))).load()


@pytest.mark.parametrize(
    ("written", "bytes_"),
    [("1GB", 10**9), ("512MiB", 512 << 20), ("100 kb", 100_000), ("7", 7), ("80%", 1 << 30)],
)
def test_sizes_are_read_as_duckdb_reads_them(written, bytes_):
    assert query_process.size(written) == bytes_
