"""A database that can check its own consistency, with programs that write and read it.

``events`` has batches of random numbers, and ``batches`` one row per batch with its count and sum.
They are written in separate transactions, so that a version published in the middle of a batch is
detected. The benchmarks and the kill test run this module as a program, since only a separate
process can be killed or compete for the lock.

    python -m benchmarks.ledger write  STOP ACKS ROWS [child]
    python -m benchmarks.ledger read   STOP REPORT PAUSE
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb

from proto_loc import warehouse
from proto_loc.errors import LocError
from proto_loc.settings import ROOT

CREATE = """
create table events (batch bigint, number ubigint);
create table batches (batch bigint, rows bigint, total hugeint);
"""
STATE = """
select coalesce(max(batch), 0), count(*) = coalesce(max(batch), 0) and not exists (
    from (select batch, count(*) as rows, sum(number) as total from events group by batch) as actual
    full join batches as due using (batch)
    where actual.rows is distinct from due.rows or actual.total is distinct from due.total)
from batches
"""
FAILED = 3
"""Exit code of a writer whose child was killed; it has published nothing."""


def create() -> None:
    """Publish a first version without batches."""
    with warehouse.write("prod", who="ledger") as session, session.connect() as con:
        con.execute(CREATE)


def state(con: duckdb.DuckDBPyConnection) -> tuple[int, bool]:
    """Return the number of the last batch, and whether all batches up to it are complete."""
    return con.execute(STATE).fetchone()


def add(con: duckdb.DuckDBPyConnection, rows: int) -> int:
    """Add the next batch of ``rows`` events and return its number."""
    batch = state(con)[0] + 1
    con.execute(f"insert into events select {batch}, hash(range, {batch}) from range({rows})")
    con.execute(
        "insert into batches select batch, count(*), sum(number) from events where batch = ? group"
        " by batch",
        [batch],
    )
    return batch


def acknowledge(acks: Path, batch: int, version: int) -> None:
    """Write to the disk that ``batch`` is published; ``at`` is a time of the monotonic clock."""
    fd = os.open(acks, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    entry = {"batch": batch, "version": version, "at": time.monotonic()}
    os.write(fd, json.dumps(entry).encode() + b"\n")
    os.fsync(fd)
    os.close(fd)


def acknowledged(acks: Path) -> list[dict]:
    """Return all acknowledgements, in order."""
    return [json.loads(line) for line in acks.read_text().splitlines()] if acks.exists() else []


def program(*arguments: object, **options) -> subprocess.Popen:
    """Start this module as a program on the data folder of the environment."""
    return subprocess.Popen(
        [sys.executable, "-m", __spec__.name, *map(str, arguments)], cwd=ROOT, **options
    )


def wait_for_readers(reports: list[Path], timeout: float = 120) -> None:
    """Wait until every reader has read once, so that their start is not measured.

    Raises:
        LocError: a reader has not read after ``timeout`` seconds.
    """
    end = time.monotonic() + timeout
    while not all(_ready(report).exists() for report in reports):
        if time.monotonic() > end:
            raise LocError(
                f"Not all readers have started within {timeout:g} s.", "", "Try it with fewer."
            )
        time.sleep(0.02)


def _ready(report: Path) -> Path:
    return report.with_suffix(".ready")


def _write(stop: Path, acks: Path, rows: int, through_child: bool) -> None:
    while not stop.exists():
        with warehouse.write("prod", who=f"ledger {os.getpid()}") as session:
            if through_child:
                command = [sys.executable, "-m", __spec__.name, "child", session.path, str(rows)]
                batch = int(
                    session.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
                )
            else:
                with session.connect() as con:
                    batch = add(con, rows)
        acknowledge(acks, batch, session.version.id)


def _child(path: str, rows: int) -> None:
    """Write three batches with pauses; during a pause, the test can kill this process or its
    parent.
    """
    with duckdb.connect(path) as con:
        for _ in range(3):
            batch = add(con, rows)
            time.sleep(0.03)
    print(batch)


def _read(stop: Path, report: Path, pause: float) -> None:
    opens, last, torn, back, errors, seen = 0, 0, 0, 0, {}, []
    start = time.monotonic()
    while not stop.exists():
        try:
            with warehouse.read("prod") as con:
                batch, whole = state(con)
        except (LocError, duckdb.Error, OSError) as error:
            errors[f"{type(error).__name__}: {error}"] = (
                errors.get(f"{type(error).__name__}: {error}", 0) + 1
            )
            continue
        if opens == 0:
            _ready(report).touch()
        opens, torn, back = opens + 1, torn + (not whole), back + (batch < last)
        if batch > last:
            seen.append((batch, time.monotonic()))
        last = max(last, batch)
        time.sleep(pause)
    report.write_text(
        json.dumps(
            {
                "seconds": time.monotonic() - start,
                "opens": opens,
                "torn": torn,
                "back": back,
                "errors": errors,
                "seen": seen,
            }
        )
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", stop, acks, rows, *rest]:
            sys.stdin.readline()  # the parent process gives the signal to begin
            try:
                _write(Path(stop), Path(acks), int(rows), rest == ["child"])
            except (subprocess.CalledProcessError, warehouse.PublishError) as failure:
                print(failure, file=sys.stderr)
                sys.exit(FAILED)
        case ["child", path, rows]:
            _child(path, int(rows))
        case ["read", stop, report, pause]:
            _read(Path(stop), Path(report), float(pause))
        case _:
            sys.exit(__doc__)
