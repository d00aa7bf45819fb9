"""What a kernel can do with the warehouse, what fails, and which files the kernel leaves."""

import json
import re
import shutil
import threading
import time
from pathlib import Path

import psutil
import pytest
from lab import Lab

from proto_loc import warehouse
from proto_loc.errors import UsageError
from proto_loc.settings import ROOT, settings

pytestmark = pytest.mark.xdist_group("notebooks")

COUNT = (
    "con.sql('select count(*), max(version_id) from marts.fct_taxi_trips,"
    " marts.publication').fetchone()"
)


@pytest.fixture
def own(tmp_path, published, port_prefix, monkeypatch):
    """A copy of the published platform that a test may change, and JupyterLab on it."""
    shutil.copytree(published, tmp_path / "data", symlinks=True)
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    monkeypatch.setenv("LOC_GRACE", "0")
    monkeypatch.setenv("LOC_KEEP_VERSIONS", "2")
    with Lab() as lab:
        yield lab


def publish(note: int) -> int:
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute(f"create or replace table marts.note as select {note} as value")
    return session.version.id


@pytest.fixture
def names():
    """Names of scratch databases; the fixture removes their files."""
    made = [f"test_{time.time_ns()}_{letter}" for letter in "ab"]
    yield made
    for name in made:
        (ROOT / f"notebooks/work/{name}.duckdb").unlink(missing_ok=True)


def test_one_line_reads_what_is_published(kernel):
    shown = kernel("from proto_loc import warehouse; con = warehouse.read('prod'); " + COUNT)
    with warehouse.read("prod") as con:
        assert shown == str(
            con.sql(
                "select count(*), max(version_id) from marts.fct_taxi_trips, marts.publication"
            ).fetchone()
        )


def test_sql_cells_read_it_too_without_a_word_of_set_up(kernel):
    shown = kernel(
        "%%sql\nselect colour, count(*) as trips from marts.mart_taxi_trips group by all order by"
        " colour"
    )
    with warehouse.read("prod") as con:
        for colour, trips in con.sql(
            "select colour, count(*) from marts.mart_taxi_trips group by all"
        ).fetchall():
            assert colour in shown and str(trips) in shown
    assert "toml" not in shown, "no notice of another package"


def test_sql_cells_work_once_there_is_data_though_the_first_came_too_early(kernel, tmp_path):
    """Bug: if the first SQL cell failed, %%sql had no connection until the kernel ended."""
    kernel(
        f"import os; before = os.environ['LOC_DATA']; os.environ['LOC_DATA'] = {str(tmp_path)!r}"
    )
    assert "prod holds no data yet" in kernel("%%sql\nselect 42 as answer")
    kernel("os.environ['LOC_DATA'] = before")
    assert "42" in kernel("%%sql\nselect 42 as answer")


LONG = "select count(*) from range(100000000000) a where a.range % 7 = 3 and hash(a.range) > 5"


def test_stop_ends_a_query_and_the_next_cell_answers(kernel):
    """Bug: after Stop, DuckDB's threads continued, and each further cell waited for them, despite
    Stop.
    """
    kernel(
        f"import duckdb; con = duckdb.connect(config={{'threads': 8}}); long = {LONG!r}\n%sql con"
    )
    cells = [
        "con.sql(long).fetchall()",
        "con.sql(long).df()",
        "con.execute(long).fetchall()",
        "%sql {{long}}",
        "import asyncio; await asyncio.sleep(0); con.sql(long).fetchall()",
    ]
    for cell in cells:
        stop = threading.Timer(0.7, kernel.interrupt)
        stop.start()
        assert "the query was stopped" in kernel(cell), cell
        stop.join()
        start = time.monotonic()
        assert kernel("con.sql('select 42').fetchone()") == "(42,)", cell
        assert time.monotonic() - start < 20, cell


def test_stop_ends_what_is_no_query_as_anywhere(kernel):
    kernel("import time")
    stop = threading.Timer(0.7, kernel.interrupt)
    stop.start()
    assert "KeyboardInterrupt" in kernel("while True: time.sleep(0.01)")
    assert kernel("42") == "42"


@pytest.mark.parametrize(
    "cell",
    [
        "warehouse.read('prod').execute('create table mine as select 1')",
        "warehouse.read('prod').sql('drop view marts.mart_taxi_trips')",
        "warehouse.scratch(name).execute('delete from prod.marts.fct_taxi_trips')",
        "%sql create table marts.mine as select 1 as value",
    ],
)
def test_a_write_to_published_data_is_refused_with_the_way_to_do_it(kernel, names, cell):
    kernel(f"from proto_loc import warehouse; name = {names[0]!r}")
    assert kernel(cell).splitlines() == [
        "error: Published data cannot be changed from here.",
        "why: A version is immutable, because others read it too.",
        (
            "fix: Write to a database of your own: con = warehouse.scratch(), then"
            " warehouse.keep(con, 'mine', 'select ...'), and %sql con for SQL cells. To add a table"
            " to prod, add a model to dbt/."
        ),
    ]


def test_a_scratch_database_is_ones_own_and_has_what_is_published(kernel, names):
    kernel(f"from proto_loc import warehouse; con = warehouse.scratch({names[0]!r})")
    kernel("con.execute('create table mine as from marts.dim_taxi_zones')")
    kernel(f"again = warehouse.scratch({names[0]!r})")
    assert (
        kernel("again.sql('select count(*) from mine, marts.publication').fetchone()") == "(265,)"
    )
    kernel("%sql con")
    assert "265" in kernel("%sql select count(*) as n from mine")
    assert (ROOT / f"notebooks/work/{names[0]}.duckdb").exists()


def test_a_scratch_database_of_another_kernel_is_named_with_its_process(lab, kernel, names):
    other = lab.kernel()
    try:
        pid = other(
            f"from proto_loc import warehouse; con = warehouse.scratch({names[0]!r}); import os;"
            " os.getpid()"
        )
        shown = kernel(f"from proto_loc import warehouse; warehouse.scratch({names[0]!r})")
    finally:
        other.end()
    assert (
        f"is open in another process, pid {pid}" in shown and 'warehouse.scratch("other")' in shown
    )
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    "name", ["prod", "PROD", "a/b", "../up", "", "a b", "temp", "Main", "pg_catalog"]
)
def test_a_name_that_is_none_is_refused(name, platform):
    with pytest.raises(UsageError, match="cannot be the name of a scratch database"):
        warehouse.scratch(name)


def test_an_error_of_a_persons_own_code_keeps_its_traceback(kernel):
    shown = kernel("def half(x):\n    return 1 / x\nhalf(0)")
    assert "ZeroDivisionError" in shown and "Traceback" in shown and "line 2" in shown
    shown = kernel("%sql select nosuch from marts.dim_dates")
    assert "nosuch" in shown and "LINE 1" in shown and "site-packages" not in shown


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_idle_kernel_with_an_open_connection_disturbs_nobody_over_20_publishes(own):
    kernel = own.kernel()
    before = kernel("from proto_loc import warehouse; con = warehouse.read('prod'); " + COUNT)
    kernel("%sql select 1")
    held = warehouse.current("prod").folder
    for note in range(20):
        assert publish(note) == warehouse.current("prod").id
    assert not held.exists(), "its folder was pruned, as any other"
    assert len(list((settings().warehouse / "prod/versions").glob("[0-9]*"))) == 2
    assert kernel(COUNT) == before, "its file is whole for as long as it is open"
    assert kernel("warehouse.read('prod').table('marts.note').fetchone()") == "(19,)", (
        "a new connection sees the newest"
    )
    assert "19" in kernel("%reload_ext proto_loc.jupyter.kernel_extension\n%sql from marts.note")
    kernel("con.close()")
    kernel.end()


def test_kernels_end_with_the_service(own):
    kernel = own.kernel()
    pid = int(kernel("import os; os.getpid()"))
    assert psutil.pid_exists(pid)
    own.process.terminate()
    own.process.wait(30)
    assert not psutil.pid_exists(pid)


def test_a_killed_server_leaves_no_token_to_the_next_ones_readers(own):
    """Bug: files of killed servers (with the token) and of their kernels (with a key) stayed
    forever.
    """
    own.kernel()("1")
    (server,) = (each for each in own.family() if "jupyter-lab" in " ".join(each.cmdline()[:3]))
    server.kill()
    own.process.wait(30)
    folder = settings().run / "jupyter"
    left = [
        file for file in folder.rglob("*") if re.match("jpserver-|kernel-|.*-[1-5]$", file.name)
    ]
    assert len(left) >= 7, (
        "the server's two files, the kernel's one, and five sockets, or less where it ended well"
    )
    with Lab() as lab:
        assert [file for file in left if file.exists()] == []
        assert lab.kernel()("6 * 7") == "42"
        holders = {
            file.relative_to(settings().run).parts[0]
            for file in settings().run.rglob("*")
            if file.is_file()
            and lab.token.encode() in file.read_bytes()
            and f"jpserver-{server_pid(lab)}" not in file.name
        }
        assert holders == {"secrets"}


def server_pid(lab: Lab) -> int:
    return next(each.pid for each in lab.family() if "jupyter-lab" in " ".join(each.cmdline()[:3]))


def test_kernels_work_in_a_folder_whose_path_is_longer_than_that_of_a_socket(
    tmp_path, monkeypatch, port_prefix
):
    """The path of a Unix socket has at most 107 bytes, and a kernel's socket is in the
    run folder.
    """
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    monkeypatch.setenv("LOC_RUN", str(tmp_path / ("deep" * 30) / "run"))
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "data"))
    with Lab() as lab:
        kernel = lab.kernel()
        assert kernel("6 * 7") == "42"
        assert lab.call("POST", f"/api/kernels/{kernel.id}/restart").status_code == 200
        assert kernel("'anew'") == "'anew'"
        kernel.end()
        assert list((settings().run / "jupyter/ipc").iterdir()) == []


def test_it_leaves_nothing_in_the_home_folder_and_nothing_that_git_sees(lab, kernel, platform):
    kernel("import matplotlib.pyplot as plt; plt.plot([1, 2])")
    kernel("%sql select 1")
    kernel("%load_ext proto_loc.jupyter.kernel_extension")
    assert [str(path) for path in (platform / "home").rglob("*")] == []
    assert (platform / "run").stat().st_mode & 0o077 == 0, (
        "what is in there, a token too, is this user's"
    )


def test_what_git_tracks_is_saved_without_output_and_what_is_ones_own_with_it(lab):
    cell = {
        "cell_type": "code", "id": "a", "metadata": {}, "source": "1", "execution_count": 7,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "seen\n"}],
    }  # fmt: skip
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    for path, kept in (("test-saved.ipynb", False), ("work/test-saved.ipynb", True)):
        file = ROOT / "notebooks" / path
        try:
            answer = lab.call(
                "PUT", f"/api/contents/{path}", {"type": "notebook", "content": notebook}
            )
            assert answer.status_code == 201, answer.text
            (saved,) = json.loads(file.read_text())["cells"]
            assert bool(saved["outputs"]) is kept and (saved["execution_count"] == 7) is kept, path
        finally:
            file.unlink(missing_ok=True)
            for checkpoint in Path(file.parent, ".ipynb_checkpoints").glob("test-saved*"):
                checkpoint.unlink()
