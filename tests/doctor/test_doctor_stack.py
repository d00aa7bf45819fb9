"""Doctor on the services: orphans, killed runs, Dagster's code, Cube, Superset's key."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from clones import borrowing_clone
from running import Running
from troubles import findings, in_shell, is_well, only, program

from proto_loc import credentials, doctor, services, warehouse
from proto_loc.settings import ROOT, environment_folder
from proto_loc.setup import node


@contextmanager
def marked(mark: str):
    """A process that looks as if a service had started it."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
        env=os.environ | {services.MARK: mark},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            process.stdout.readline()  # before, the system may not show its environment yet
            yield process
        finally:
            process.kill()


@pytest.mark.trouble("orphans", "After `./loc down` or a crash, processes of services still run")
def test_an_orphan_is_named_and_ended_by_fix(data):
    """Its launcher was killed, and no supervisor starts another one."""
    data.with_name("run").mkdir()
    with marked(services.mark("cube")) as orphan:
        (finding,) = (row for row in findings("orphans") if "Nothing supervises" in row.what)
        assert finding.what == f"Nothing supervises pid {orphan.pid} (cube)."
        rows = doctor.mend([("orphans", finding)])
        assert rows[0][1].status == "done" and f"Ended {orphan.pid}." in rows[0][1].what
        assert not psutil.pid_exists(orphan.pid)
        assert not any("Nothing supervises" in row.what for _, row in rows[1:])


def test_a_job_of_a_service_that_runs_is_not_ended_by_fix(data):
    """Bug: on macOS a job in the background that has lost its parent was one of the orphans.

    The launcher here is a shell with the launcher's path among its words, since the real one is a
    subreaper on Linux, where no job leaves it.
    """
    launcher = ["sh", "-c", "sleep 60 & read _; kill $!", doctor.stack.LAUNCHER, "jupyter"]
    env = os.environ | {services.MARK: services.mark("jupyter")}
    with (
        subprocess.Popen(launcher, env=env, stdin=subprocess.PIPE) as service,
        marked(services.mark("jupyter")) as job,
        marked(services.mark("cube")) as orphan,
    ):
        try:
            rows = findings("orphans")
            assert any(
                row.status == "ok" and row.what.startswith(f"pid {job.pid} is a job of jupyter")
                for row in rows
            )
            (finding,) = (row for row in rows if "Nothing supervises" in row.what)
            assert finding.what == f"Nothing supervises pid {orphan.pid} (cube)."
            with marked(services.mark("cube")) as younger:
                doctor.mend([("orphans", finding)])
                assert younger.poll() is None and job.poll() is None, "they were not in the report"
            assert not psutil.pid_exists(orphan.pid)
        finally:
            service.communicate(b"\n")


@pytest.mark.trouble("orphans", "A service of a clone that was deleted still runs")
def test_a_service_of_a_clone_that_was_deleted(data, tmp_path):
    with marked(f"{tmp_path}/deleted clone/.run:jupyter") as process:
        (finding,) = (row for row in findings("orphans") if f"pid {process.pid} is" in row.what)
        assert finding.what == f"pid {process.pid} is jupyter of a clone that is gone."
        assert finding.fix == f"kill {process.pid}" and finding.repair is None


RUN = """
import os, subprocess, sys
import dagster as dg
from dagster._core.events import EngineEventData
from proto_loc.dagster import instance
instance.begin()

@dg.op(pool="prod")
def build(): pass

@dg.job
def refresh(): build()

with dg.DagsterInstance.get() as dagster:
    if sys.argv[1:] == ["look"]:
        print(*(run.status.value for run in dagster.get_runs()))
        print(*dagster.event_log_storage.get_concurrency_info("prod").claimed_slots)
    else:
        run = dagster.create_run_for_job(refresh, status=dg.DagsterRunStatus.STARTED)
        dagster.event_log_storage.set_concurrency_slots("prod", 1)
        dagster.event_log_storage.claim_concurrency_slot("prod", run.run_id, "build")
        worker = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
        data = EngineEventData({"pid": str(worker.pid)})
        dagster.report_engine_event("Started process for run", run, data)
        print(worker.pid, run.run_id)
"""


def dagster(*arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.trouble("runs", "A run waits in Dagster's queue for one that was killed")
def test_a_run_that_was_killed_with_the_stack_gives_its_slot_back(data):
    assert is_well("runs")
    ((pid, run),) = (line.split() for line in dagster())
    assert is_well("runs"), "its process lives"
    psutil.Process(int(pid)).kill()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    finding = only("runs")
    assert f"refresh ({run[:8]})" in finding.what
    assert dagster("look")[0] == "STARTED", "without --fix, nothing changes"
    assert [row.status for _, row in doctor.mend([("runs", finding)])] == ["done", "ok"]
    assert dagster("look") == ["CANCELED", ""]


@pytest.mark.trouble("code", "Dagster shows no assets or an error of its code location")
def test_a_broken_code_location(data, tmp_path):
    """A merge has left its conflict in a file."""
    clone = tmp_path / "clone"
    names = ("proto_loc", "loc", "locks", "golden.toml", "fork.toml", "process-compose.yaml")
    borrowing_clone(clone, *names)
    (clone / ".venvs/platform/.stamp").touch()
    file = clone / "proto_loc/dagster/definitions.py"
    file.write_text(f"<<<<<<< HEAD\n{file.read_text()}")
    env = os.environ | {"PYTHONPATH": str(clone)}
    launcher = clone / "proto_loc/services/launch.py"
    assert in_shell("code", PYTHONPATH=str(clone)).status == "ok"
    with subprocess.Popen(
        [clone / ".venvs/platform/bin/python", "-I", "-S", launcher, "dagster-code"], env=env
    ) as server:
        try:
            trouble = data.with_name("run") / "dagster-code.trouble"
            end = time.monotonic() + 90
            while not trouble.exists() and time.monotonic() < end:
                time.sleep(0.1)
            finding = in_shell("code", PYTHONPATH=str(clone))
        finally:
            server.terminate()
    assert finding.status == "fail" and finding.fix.endswith("./loc restart dagster-code")
    assert "proto_loc/dagster/definitions.py, line 1: " in finding.why


@pytest.fixture
def cube(data, port_prefix, tmp_path, monkeypatch):
    """The service ``cube`` with a model of one cube, on a version of ``prod``."""
    node.install()
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    model = tmp_path / "model/one.yml"
    model.parent.mkdir()
    model.write_text("cubes: [{ name: one, sql: select 1, measures: [{ name: n, type: count }] }]")
    monkeypatch.setenv("LOC_CUBE_MODEL", str(model.parent))
    publish()
    with Running("cube") as running:
        yield running, model


def publish() -> warehouse.Version:
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute("create schema if not exists marts")
        con.execute("create or replace table marts.t as select range as i from range(1000)")
    return session.version


@pytest.mark.trouble("cube", "A metric that was changed is the old one in Cube")
@pytest.mark.trouble("cube", "Cube shows other figures than `loc` or Superset")
@pytest.mark.trouble("cube", "Cube does not answer")
def test_a_cube_that_serves_what_is_old(cube, tmp_path):
    """An old model, then another data folder than this shell's, then a process that is stopped."""
    running, model = cube
    assert is_well("cube")
    good = model.read_text()
    model.write_text(good.replace("count", "cont"))
    finding = only("cube")
    assert finding.status == "fail" and "Cube serves the last good model" in finding.what
    assert "one.yml:1" in finding.why
    model.write_text(good)
    assert is_well("cube"), "it has read the model again by itself"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(tmp_path / "another"))
        other = publish()
        finding = only("cube")
    assert f"here, version 1 of {other.published_at} is current." in finding.what
    processes = running.family()
    for process in processes:
        process.suspend()
    try:
        finding = only("cube")
    finally:
        for process in processes:
            process.resume()
    assert finding.what == "Cube runs, and does not answer."


ENCRYPT = """
import sqlite3, sys
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine
from superset.utils.encrypt import EncryptedType
table = Table(
    "dbs", MetaData(), Column("id", Integer, primary_key=True),
    Column("password", EncryptedType(String(1024), lambda: sys.argv[2])))
engine = create_engine(f"sqlite:///{sys.argv[1]}")
table.create(engine)
with engine.begin() as con:
    con.execute(table.insert(), [{"password": "a password"}, {"password": None}])
"""


@pytest.mark.trouble("superset-key", "Superset does not start: secrets of another key")
def test_a_key_of_superset_that_was_replaced(data):
    """The secret is encrypted by Superset's own type of column."""
    python = environment_folder("superset") / "bin/python"
    if not python.exists():
        pytest.skip("the environment superset is not installed: ./loc setup superset")
    assert is_well("superset-key")
    database = data / "superset/superset.db"
    database.parent.mkdir(parents=True)
    key = credentials.path("superset")
    secret = credentials.secret("superset")
    subprocess.run([python, "-c", ENCRYPT, database, secret], check=True)
    assert is_well("superset-key")
    key.unlink()
    credentials.secret("superset")
    finding = only("superset-key")
    assert finding.status == "fail" and finding.what.startswith(f"{key} is not the key")
    previous = Path(f"{key}.previous")
    assert f"{previous} (mode 600)" in finding.fix
    previous.write_text(secret)
    assert is_well("superset-key"), "the next start encrypts it anew"
    with closing(sqlite3.connect(database)) as con:
        con.execute("delete from dbs where password is not null")
        con.commit()
    previous.unlink()
    assert is_well("superset-key"), "there is no secret to read"


@pytest.mark.trouble("superset-key", "Superset's metadata cannot be read")
@pytest.mark.parametrize(
    "script, reason",
    [
        ("", "sqlite3.DatabaseError: file is not a database"),
        ("exit 3", "exit code 3"),
        ("exec sleep 60", "it did not answer within 3 seconds"),
    ],
)
def test_metadata_of_superset_that_cannot_be_read(data, tmp_path, monkeypatch, script, reason):
    """Bug: doctor said that the key is the one of the metadata."""
    python = tmp_path / "environments/superset/bin/python"
    program(python, script or f'exec {sys.executable} "$@"')
    monkeypatch.setenv("LOC_ENVIRONMENTS", str(tmp_path / "environments"))
    if "sleep" in script:
        monkeypatch.setattr(doctor.stack, "KEY_PATIENCE", 3.0)
    database = data / "superset/superset.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"no database" * 1000)
    credentials.secret("superset")
    finding = only("superset-key")
    assert finding.status == "warn" and reason in finding.why
    monkeypatch.setenv("LOC_SUPERSET_METADATA", "postgresql://superset@localhost/superset")
    (finding,) = findings("superset-key")
    assert (finding.status, finding.what) == (
        "ok",
        "Superset's metadata is in PostgreSQL, not looked at",
    ), "the old file stays after a move"
