"""The platform of the matrix: a whole stack on a small disk of its own, and what may happen to it.

The disk is a tmpfs in a mount namespace. Commands run in that namespace; this process reads the
same files through ``/proc/PID/root``.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import httpx
import psutil
import pytest
from phases import HERE
from running import PROBES

from proto_loc import files, services, warehouse
from proto_loc.compose.client import Client
from proto_loc.dagster import instance
from proto_loc.settings import ROOT, settings
from proto_loc.sources.dlt import package
from proto_loc.warehouse import store

SIZE = 240
"""Size of the disk in megabytes."""
PYTHON = str(ROOT / ".venvs/platform/bin/python")
OPEN_RUNS = """
import sqlite3, sys
for path, query in (
    ("runs.db", "select run_id || ' is ' || status from runs"
     " where status not in ('SUCCESS', 'FAILURE', 'CANCELED')"),
    ("runs/index.db", "select 'slot of ' || run_id from concurrency_slots"
     " where run_id is not null and not deleted"),
):
    for (text,) in sqlite3.connect(f"{sys.argv[1]}/{path}").execute(query):
        print(text)
"""
"""Program that prints Dagster's runs that have not ended, and the slots that are taken."""


class Stage:
    """A stack with data and run folders on a small disk.

    Args:
        shared: a folder off the disk, where the writers and the test meet.
    """

    def __init__(self, holder: int, namespace: list[str], home: Path, shared: Path, prefix: str):
        self.namespace, self.home, self.shared = namespace, home, shared
        self.seen = Path(f"/proc/{holder}/root{home}")
        """The same folder, for this process."""
        outside = {name: text for name, text in os.environ.items() if not name.startswith("LOC_")}
        self.variables = outside | {
            "LOC_DATA": f"{home}/data",
            "LOC_RUN": f"{home}/run",
            "LOC_PORT_PREFIX": prefix,
            "LOC_COMPOSE": os.environ.get("LOC_COMPOSE") or "runner",
            "LOC_KEEP_VERSIONS": "2",
            "LOC_GRACE": "0",
            "LOC_BIN_GRACE": "0",
            "LOC_LOCK_TIMEOUT": "90",
            "TMPDIR": f"{home}/tmp",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}",
            "CHAOS_FOLDER": str(shared),
        }
        self.started_in = 0.0
        """Seconds that the first start of the stack took."""

    def run(self, *command: object, **variables: str) -> subprocess.CompletedProcess:
        """Run a command in the namespace, and wait until it ends."""
        return subprocess.run(
            [*self.namespace, *map(str, command)],
            env=self.variables | variables,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def begin(self, *command: object) -> subprocess.Popen:
        """Start a command in the namespace, in this process's place there."""
        return subprocess.Popen(
            [*self.namespace, *map(str, command)],
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def loc(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        return self.run(ROOT / "loc", *arguments, **variables)

    @contextmanager
    def paused(self, phase: str) -> Iterator[subprocess.Popen]:
        """Start a writer; inside, it waits in this phase until :meth:`go`."""
        (self.shared / "begun").unlink(missing_ok=True)
        (self.shared / "wait").touch()
        writer = self.begin(PYTHON, HERE / "phases.py", phase)
        try:
            end = time.monotonic() + 120
            while not (self.shared / "begun").exists():
                assert writer.poll() is None, writer.stdout.read()
                assert time.monotonic() < end, f"the writer did not come to {phase}"
                time.sleep(0.02)
            yield writer
        finally:
            self.go()
            writer.kill()
            writer.wait()
            writer.stdout.close()

    def go(self) -> None:
        (self.shared / "wait").unlink(missing_ok=True)

    def write(self, phase: str) -> subprocess.CompletedProcess:
        """Run the writer of a phase without a pause."""
        self.go()
        return self.run(PYTHON, HERE / "phases.py", phase)

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Fill the disk to the last byte."""
        filler = self.seen / "filler"
        try:
            with filler.open("ab") as file, suppress(OSError):
                for block in (1 << 20, 1 << 12, 1):
                    with suppress(OSError):
                        while True:
                            os.write(file.fileno(), bytes(block))
            yield
        finally:
            filler.unlink(missing_ok=True)

    def published(self) -> tuple[int, list[tuple]]:
        """The version that a reader gets, and its figures; the files have their checksums."""
        version = warehouse.current("prod").check()
        warehouse.current("raw").check()
        with self.open(version) as con:
            rows = con.execute("select * from marts.metric_figures order by all").fetchall()
            counted = {name: con.table(name).count("*").fetchone()[0] for name in version.tables}
        assert rows and counted == version.tables
        return version.id, rows

    def open(self, version: warehouse.Version) -> duckdb.DuckDBPyConnection:
        """Open a copy of a version: DuckDB follows ``/proc/PID/root``, and misses the disk."""
        copy = self.shared / f"{version.database}-{version.id}.duckdb"
        if not copy.exists():
            shutil.copyfile(version.path, copy)
        return duckdb.connect(copy, read_only=True)

    def pids(self) -> dict[str, int]:
        """The process of `loc exec` by service."""
        with Client() as client:
            return {state.name: state.pid for state in client.processes()}

    def unwell(self) -> list[str]:
        """What is not as it should be: services, and the supervisor."""
        with Client() as client:
            states = client.processes()
        if not states:
            return ["supervisor"]
        unwell = {state.name for state in states if state.verdict not in ("ready", "done")}
        for name, probe in PROBES.items():
            if probe.http_get:
                port = settings().port(services.find(name).port)
                address = f"http://127.0.0.1:{port}{probe.http_get.path}"
                try:
                    answer = httpx.get(address, trust_env=False, timeout=5)
                    unwell |= set() if answer.status_code == 200 else {name}
                except httpx.HTTPError:
                    unwell.add(name)
        with socket.socket(socket.AF_UNIX) as code, suppress(OSError):
            code.connect(str(settings().run / "dagster-code.sock"))
            return sorted(unwell | (set() if instance.daemon_lives() else {"dagster-daemon"}))
        return sorted(unwell | {"dagster-code"})

    def processes(self) -> list[psutil.Process]:
        """Every process with this stage's data folder."""
        ours = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, FileNotFoundError):
                if process.environ().get("LOC_DATA") == self.variables["LOC_DATA"]:
                    ours.append(process)
        return ours

    def dbt(self) -> psutil.Process | None:
        """The process of dbt that builds, or None."""
        for process in self.processes():
            with suppress(psutil.Error, FileNotFoundError):
                if "dbt.cli.main" in " ".join(process.cmdline()):
                    return process
        return None

    def supervisor(self) -> psutil.Process:
        """The process that started the services."""
        return psutil.Process(next(pid for pid in self.pids().values() if pid)).parent()

    def strays(self) -> list[str]:
        """Processes that the supervisor's keeper has not started, or that are stopped."""
        strays = []
        for process in self.processes():
            with suppress(psutil.Error, FileNotFoundError):
                status = process.status()
                line = [process, *process.parents()]
                kept = any("keeper.py" in " ".join(member.cmdline()) for member in line)
                if status == psutil.STATUS_STOPPED or not (kept or status == psutil.STATUS_ZOMBIE):
                    strays.append(f"{process.pid} ({status}): {' '.join(process.cmdline())[:150]}")
        return strays

    def remains(self) -> list[str]:
        """What a writer has left: staging, temporary files, locks, runs, slots, processes."""
        data, run = settings().data, settings().run
        patterns = ("warehouse/*/staging/*", "warehouse/*/.current.new", "lake/*/.*.part")
        paths = [path for pattern in patterns for path in data.glob(pattern)]
        paths += [path for folder in (data, run) for path in folder.rglob(".*.new")]
        paths += [path for path in data.glob("warehouse/*/versions/*/*") if path.suffix == ".wal"]
        paths += (self.seen / "tmp").iterdir()
        paths += package.folder("events").glob("*/")
        with self.open(warehouse.current("raw")) as con:
            files_of_loads = con.execute("select file from loads").fetchall()
        recorded = {settings().lake / file for (file,) in files_of_loads}
        paths += {path for path in settings().lake.rglob("*.parquet")} - recorded
        remains = [str(path.relative_to(self.seen)) for path in paths]
        for database in store.DATABASES:
            try:
                with store.write_lock(database, 0):
                    pass
            except warehouse.LockTimeout as refusal:
                remains.append(f"{refusal}")
        with (data / "superset/provision.lock").open() as lock:
            if not files.try_lock(lock):
                remains.append("the lock of Superset's provisioning")
        return remains + self.strays() + self.open_runs()

    def open_runs(self) -> list[str]:
        """Runs of Dagster that have not ended, and slots that are taken."""
        done = self.run(PYTHON, "-I", "-S", "-c", OPEN_RUNS, f"{self.home}/data/dagster/history")
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


def namespace_command() -> list[str]:
    """The command that runs a program in a mount namespace of its own, or skip the test."""
    why = "unshare is not installed"
    for command in (["unshare", "-m"], ["unshare", "-rm"]):
        try:
            done = subprocess.run(
                [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True
            )
        except FileNotFoundError:
            break
        if done.returncode == 0:
            return command
        why = done.stderr.strip()
    pytest.skip(f"no small disk can be mounted here: {why}")


@contextmanager
def small_disk(home: Path) -> Iterator[tuple[int, list[str]]]:
    """Mount a small disk on a folder, in a mount namespace that lasts for the block.

    Yields:
        The process that holds the namespace, and the command that enters it.
    """
    unshare = namespace_command()
    script = (
        f'mount -t tmpfs -o size={SIZE}m,mode=700 tmpfs "$1" && echo mounted && exec sleep 9999'
    )
    with subprocess.Popen(
        [*unshare, "sh", "-c", script, "sh", str(home)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout.readline() == "mounted\n"
            user = ["--user", "--preserve-credentials"] if "-rm" in unshare else []
            yield holder.pid, ["nsenter", "--target", str(holder.pid), "--mount", *user]
        finally:
            holder.kill()


@contextmanager
def standing_stage(home: Path, shared: Path, prefix: str, fill) -> Iterator[Stage]:
    """Start a stack on a small disk; the environment of this process leads to its folders.

    Args:
        fill: fills ``home/data`` and ``home/run``, which ``LOC_DATA`` and ``LOC_RUN`` name.
    """
    with small_disk(home) as (holder, namespace), pytest.MonkeyPatch.context() as patch:
        stage = Stage(holder, namespace, home, shared, prefix)
        (stage.seen / "tmp").mkdir()
        for name in ("LOC_PORT_PREFIX", "LOC_KEEP_VERSIONS", "LOC_GRACE", "LOC_BIN_GRACE"):
            patch.setenv(name, stage.variables[name])
        patch.setenv("LOC_DATA", str(stage.seen / "data"))
        patch.setenv("LOC_RUN", str(stage.seen / "run"))
        fill(stage.seen)
        try:
            begun = time.monotonic()
            up = stage.loc("up", "-d", "--timeout", "280")
            assert up.returncode == 0, up.stdout + up.stderr
            stage.started_in = time.monotonic() - begun
            yield stage
        finally:
            stage.loc("down")
            for process in stage.processes():
                with suppress(psutil.Error):
                    process.kill()
