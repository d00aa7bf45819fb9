"""Doctor on the databases: writers, what they left, other programs, versions, loads."""

import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed
from troubles import findings, is_well, only

from proto_loc import doctor, warehouse
from proto_loc.settings import ROOT
from proto_loc.warehouse import store

WRITER = """
import sys
from proto_loc import warehouse
with warehouse.write("prod", who="test") as session:
    with session.connect() as con:
        con.execute("create table t as select range as i from range(100000)")
    {then}
    print("writing", flush=True)
    sys.stdin.read()
"""
OTHER = """
import sys, {module}
con = {module}.connect(sys.argv[1])
con.execute("create table if not exists t (i integer)")
con.execute("begin"), con.execute("insert into t values (1)")
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def child(code: str, *arguments: object) -> Iterator[subprocess.Popen]:
    """A Python process that runs the code; it is ready once it has printed a line."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline().strip()
            yield process
        finally:
            process.kill()
            process.send_signal(signal.SIGCONT)


def wait_until(condition: Callable[[], bool]) -> None:
    patient = Retrying(
        retry=retry_if_result(lambda value: not value),
        stop=stop_after_delay(30),
        wait=wait_fixed(0.05),
    )
    assert patient(condition)


@pytest.mark.trouble("writers", "A writer waits for another one that never ends")
def test_who_writes_and_a_writer_that_is_stopped(data):
    assert is_well("writers")
    with child(WRITER.format(then="")) as writer:
        (prod,) = (row for row in findings("writers") if "prod" in row.what)
        assert prod.status == "ok" and f"prod is being written by pid {writer.pid}" in prod.what
        assert ", since 20" in prod.what and "UTC" in prod.what
        writer.send_signal(signal.SIGSTOP)
        wait_until(lambda: psutil.Process(writer.pid).status() == psutil.STATUS_STOPPED)
        finding = only("writers")
        assert "The writer of prod is stopped" in finding.what
        assert f"kill -CONT {writer.pid} lets it work on" in finding.fix
    assert is_well("writers")


@pytest.mark.trouble("writers", "A writer waits for another one that never ends")
def test_a_writer_s_child_that_outlives_it(data):
    then = 'import subprocess; keeps = {"pass_fds": (session.lock_fd,)}\n'
    then += '    subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, **keeps)'
    with child(WRITER.format(then=then)) as writer:
        (sleeper,) = psutil.Process(writer.pid).children()
        writer.kill()
        writer.wait()
        finding = only("writers")
        assert f"a child left by pid {writer.pid}" in finding.what
        assert finding.fix.startswith(f"kill {sleeper.pid};")
        sleeper.kill()
    wait_until(lambda: is_well("writers"))


@pytest.mark.trouble("staging", "Disk space is taken by folders of writers that were killed")
def test_what_a_killed_writer_leaves_is_removed_by_fix(data):
    with child(WRITER.format(then="")) as writer:
        assert is_well("staging"), "a writer at work leaves nothing"
        writer.kill()
        writer.wait()
        finding = only("staging")
        assert finding.what.startswith("Killed writers have left 1 folders of prod, ")
        assert any((store.folder("prod") / "staging").iterdir()), "without --fix, nothing changes"
        assert [row.status for _, row in doctor.mend([("staging", finding)])] == ["done", "ok"]
    assert not (store.folder("prod") / "staging").exists()


@pytest.mark.trouble("staging", "Disk space is taken by folders of writers that were killed")
def test_what_a_killed_prune_leaves_is_removed_by_fix(data):
    """Bug: without a folder of staging, fix said that it had removed what it left."""
    gone = publish().folder.with_name(".0-12345678.gone")
    gone.mkdir()
    assert not (store.folder("prod") / "staging").exists()
    finding = only("staging")
    assert finding.what.startswith("Killed writers have left 1 folders of prod, ")
    assert [row.status for _, row in doctor.mend([("staging", finding)])] == ["done", "ok"]
    assert not gone.exists()


def test_what_fix_cannot_remove_is_said_and_stays_a_trouble(data):
    """A link to a folder stands for a folder of another user: Python removes neither."""
    staging = store.folder("prod") / "staging"
    (data / "elsewhere/left").mkdir(parents=True)
    staging.parent.mkdir(parents=True)
    staging.symlink_to(data / "elsewhere")
    ((_, row),) = doctor.mend([("staging", only("staging"))])
    assert row.status == "warn" and f"{staging}/left could not be removed." in row.why


@pytest.mark.trouble(
    "other-programs", "`database is locked`, or a publish says that its file is still open"
)
@pytest.mark.parametrize("path", ["superset/superset.db", "dagster/storage/x.db"])
def test_a_program_that_has_a_database_of_a_service_open(data, path: str):
    (data / path).parent.mkdir(parents=True)
    with child(OTHER.format(module="sqlite3"), data / path) as other:
        finding = only("other-programs")
    assert finding.what.startswith(f"pid {other.pid} (") and f"has {path} of" in finding.what
    assert ", since 20" in finding.what and f"kill {other.pid}" in finding.fix
    assert is_well("other-programs")


@pytest.mark.trouble(
    "other-programs", "`database is locked`, or a publish says that its file is still open"
)
def test_a_program_that_has_the_file_of_a_write_session_open(data):
    with child(WRITER.format(then="")):
        staged = only_staged().with_name("other.duckdb")
        with child(OTHER.format(module="duckdb"), staged) as other:
            finding = only("other-programs")
    assert finding.what.startswith(f"pid {other.pid} (") and "warehouse/prod/staging/" in (
        finding.what
    )


def only_staged() -> Path:
    (path,) = store.folder("prod").glob("staging/*/prod.duckdb")
    return path


@pytest.mark.trouble("other-programs", "`dbt build` for `dev` says that it could not set a lock")
def test_a_program_that_has_dev_open(data):
    (data / "warehouse").mkdir(parents=True)
    with child(OTHER.format(module="duckdb"), data / "warehouse/dev.duckdb") as other:
        finding = only("other-programs")
    assert finding.what.startswith(f"pid {other.pid} (") and "dev.duckdb open" in finding.what


def test_a_reader_of_a_published_version_is_no_trouble(data):
    path = publish().path
    code = OTHER.format(module="duckdb").replace("(sys.argv[1])", "(sys.argv[1], read_only=True)")
    lines = [line for line in code.splitlines() if "begin" not in line and "create" not in line]
    with child("\n".join(lines), path):
        assert is_well("other-programs")


def publish() -> warehouse.Version:
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute("create or replace table t as select range as i from range(1000)")
    return session.version


def rewrite(version: warehouse.Version, **fields: object) -> None:
    """Write a manifest with other values, as the release that wrote the file would."""
    manifest = version.folder / "manifest.json"
    manifest.chmod(0o644)
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | fields | {"checksum": None}))


@pytest.mark.trouble("warehouse", "A reader says that a version is damaged")
@pytest.mark.parametrize("limit", [None, "0"], ids=["content", "size"])
def test_a_damaged_version(data, monkeypatch, limit):
    publish()
    path = publish().path
    path.chmod(0o644)
    if limit is None:
        text = bytearray(path.read_bytes())
        text[len(text) // 2] ^= 0xFF
        path.write_bytes(text)
    else:  # too large to be read in full: its size is compared
        monkeypatch.setattr(doctor.data, "READ", 0)
        os.truncate(path, path.stat().st_size - 1)
    finding = only("warehouse")
    assert finding.status == "fail" and "loc db rollback 1 --database prod" in finding.fix


def test_a_large_version_is_compared_by_size_and_the_command_for_more_is_named(data, monkeypatch):
    """Bug: doctor read every byte, which took a minute on a warehouse of 100 GB."""
    publish()
    monkeypatch.setattr(doctor.data, "READ", 0)
    assert is_well("warehouse")
    assert any("`loc db verify` compares" in row.what for row in findings("warehouse"))


def duckdb_checksum(block: bytes) -> int:
    """The checksum that DuckDB writes in front of a block."""
    checksum = 5381
    for (word,) in struct.iter_unpack("<Q", block):
        checksum ^= (word * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    return checksum


@pytest.mark.trouble("warehouse", "After a step back to an earlier release, no data can be read")
def test_a_version_that_a_later_duckdb_wrote(data):
    """The file has the version number of a storage format that this DuckDB does not know."""
    version = publish()
    version.path.chmod(0o644)
    text = bytearray(version.path.read_bytes())
    assert text[8:12] == b"DUCK"
    text[12:20] = struct.pack("<Q", 999)
    text[:8] = struct.pack("<Q", duckdb_checksum(text[8:4096]))
    version.path.write_bytes(text)
    rewrite(version, duckdb="9.9.9", checksums={"prod.duckdb": store.checksum(version.path)})
    finding = only("warehouse")
    assert "another DuckDB release" in finding.why
    assert finding.fix.startswith("Take the release that wrote it")
