"""After kill -9 at any step of a fetch, the next fetch leaves each row once."""

import json
import os
import signal
import time

import pytest

from proto_loc import files
from proto_loc.sources.dlt import Code, DltTable
from proto_loc.sources.dlt import package as packages
from proto_loc.warehouse import file_engine, lake, store

MODULE = """
import json
import time
from pathlib import Path

import dlt


@dlt.resource(name="events")
def events(folder: str, number=dlt.sources.incremental("number", initial_value=0)):
    for page in json.loads(Path(folder, "pages.json").read_text()):
        yield page
    Path(folder, "begun").touch()
    while Path(folder, "wait").exists():
        time.sleep(0.05)
"""


@pytest.fixture
def log(platform):
    """A source whose rows are appended: only an exact cursor keeps a row from coming twice."""
    (platform.home / "log_source.py").write_text(MODULE)
    where = Code("log_source:events", {"folder": str(platform.home)})
    platform.declare("log", (DltTable("events", {"number": "BIGINT"}, mode="append"),), where)
    return platform


def serve(platform, *numbers: int) -> None:
    (platform.home / "pages.json").write_text(json.dumps([[{"number": n} for n in numbers]]))


def kill_at(platform, monkeypatch, module, function: str, after: bool) -> None:
    """Fetch in a process that kills itself before or after a function."""
    original = getattr(module, function)

    def fatal(*arguments, **options):
        if after:
            original(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    if not (pid := os.fork()):
        monkeypatch.setattr(module, function, fatal)
        try:
            platform.fetch()
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


@pytest.mark.parametrize(
    "module, function, after",
    [
        (packages, "complete", False),
        (packages, "complete", True),
        (lake.Loading, "add", True),
        (file_engine, "_finished", True),
        (store, "swap", True),
    ],
    ids=["fetched", "complete", "in the lake", "finished", "published"],
)
def test_a_kill_loses_no_row_and_doubles_none(log, monkeypatch, module, function, after):
    serve(log, 1, 2)
    kill_at(log, monkeypatch, module, function, after)
    serve(log, 1, 2, 3)
    log.fetch()
    assert log.rows("select number from log.events order by 1") == [(1,), (2,), (3,)]
    assert list(packages.folder("log").glob("*/")) == []


def test_a_kill_during_a_download_ends_the_download_and_holds_no_writer_up(log, monkeypatch):
    serve(log, 1)
    (log.home / "wait").touch()
    if not (pid := os.fork()):
        try:
            log.fetch()
        finally:
            os._exit(0)
    end = time.monotonic() + 60
    while not (log.home / "begun").exists() and time.monotonic() < end:
        time.sleep(0.05)
    with store.write_lock("raw", 0):
        pass  # the writer's lock is free during a download
    with (packages.folder("log") / "lock").open("w") as lock:
        assert not files.try_lock(lock)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert files.lock_within(lock, 20), "dlt's process outlived the one that started it"
    (log.home / "wait").unlink()
    log.fetch()
    assert log.rows("select number from log.events") == [(1,)]
