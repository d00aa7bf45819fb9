"""Checks of the services of this clone: what they left, and what they serve."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil

from proto_loc import credentials, services, warehouse
from proto_loc.dagster import instance
from proto_loc.doctor.finding import Finding, ok
from proto_loc.doctor.versions import running
from proto_loc.errors import LocError
from proto_loc.services import launch
from proto_loc.settings import ROOT, environment_folder, settings

LAUNCHER = "proto_loc/services/launch.py"
OPEN = "('QUEUED', 'NOT_STARTED', 'MANAGED', 'STARTING', 'STARTED', 'CANCELING')"
PATIENCE = 5.0
"""Seconds that Cube has to answer, which may compile a changed model first."""
KEY_PATIENCE = 20.0
"""Seconds that the program that tries Superset's key has to answer."""
KEY_TEST = Path(__file__).with_name("superset_key.py")


def orphans() -> Iterator[Finding]:
    """Find processes of services that nothing supervises."""
    alone, detached = unsupervised()
    if alone:
        names = ", ".join(f"pid {one.pid} ({_name(one.pid)})" for one in alone)
        yield Finding(
            "warn",
            f"Nothing supervises {names}.",
            "Their supervisor was killed, and they live on: they hold ports, locks and memory.",
            "./loc down, or ./loc doctor --fix",
            symptom="After `./loc down` or a crash, processes of services still run",
            repair=partial(_end_orphans, alone),
        )
    for process in detached:
        name = _name(process.pid)
        yield ok(f"pid {process.pid} is a job of {name}, which runs: it has lost its parent")
    lost = _of_lost_clones()
    for pid, folder in sorted(lost.items()):
        yield Finding(
            "warn",
            f"pid {pid} is {_name(pid)} of a clone that is gone.",
            f"Its run folder was {folder}.",
            f"kill {pid}",
            symptom="A service of a clone that was deleted still runs",
        )
    if not alone and not lost:
        yield ok("Every process of a service is supervised")


def unsupervised() -> tuple[list[psutil.Process], list[psutil.Process]]:
    """The processes of this clone's services that have no launcher among their ancestors.

    Returns:
        Those of services that do not run, and those of services that do. A launcher that starts
        ends what an earlier one left, so the latter are younger: somebody's jobs in the background,
        which on macOS have no subreaper.
    """
    pids = launch.left(services.mark())
    alone = {pid for pid in pids if not _has_launcher(pid)}
    run = {_name(pid) for pid in pids - alone}
    results: tuple[list[psutil.Process], list[psutil.Process]] = [], []
    for pid in sorted(alone):
        with suppress(psutil.Error):  # it has ended
            results[_name(pid) in run].append(psutil.Process(pid))
    return results


def _has_launcher(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        family = [process, *process.parents()]
    except psutil.Error:
        return True  # it has ended
    return any(LAUNCHER in _command(one) for one in family)


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):  # an ancestor may end, or be another user's
        return " ".join(process.cmdline())
    return ""


def _end_orphans(processes: list[psutil.Process]) -> str:
    """End these processes, and none that has got the pid of one of them since."""

    def running() -> set[int]:
        return {one.pid for one in processes if one.is_running()} & launch.left(services.mark())

    launch.end(running)
    if left := running():
        raise LocError(
            f"{', '.join(map(str, sorted(left)))} could not be ended.", "", f"kill {min(left)}"
        )
    return f"Ended {', '.join(str(one.pid) for one in processes)}."


def _name(pid: int) -> str:
    with suppress(psutil.Error):
        return psutil.Process(pid).environ().get(services.MARK, "").rpartition(":")[2]
    return "a service"


def _of_lost_clones() -> dict[int, str]:
    folders = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            folder = process.environ().get(services.MARK, "").rpartition(":")[0]
            root = f"/proc/{process.pid}/root" if sys.platform == "linux" else ""  # of a container
            if folder and not Path(root + folder).exists():
                folders[process.pid] = folder
    return folders


def runs() -> Iterator[Finding]:
    """Find Dagster's runs that count as running, while their process has ended."""
    database = instance.home() / "history/runs.db"
    if not database.exists():
        yield ok("Dagster has no runs yet")
        return
    query = f"select run_id, pipeline_name from runs where status in {OPEN}"
    dead = {
        run: job for run, job in _rows(database, query) if (pid := _pid(run)) and not _lives(*pid)
    }
    if dead and not instance.daemon_lives():
        yield Finding(
            "warn",
            f"Dagster counts {len(dead)} runs as running that were killed:"
            f" {', '.join(f'{job} ({run[:8]})' for run, job in dead.items())}.",
            "They were killed with the stack. They keep their slots, so that others wait, until"
            " Dagster's daemon has ended them.",
            "./loc up -d ends them after some seconds; ./loc doctor --fix does it now",
            symptom="A run waits in Dagster's queue for one that was killed",
            repair=lambda: _end_runs(list(dead)),
        )
    else:
        yield ok("Every run that counts as running has a process")


def _rows(database: Path, query: str, *parameters: str) -> list[tuple]:
    try:
        address = f"file:{quote(str(database))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as con:
            return con.execute(query, parameters).fetchall()
    except sqlite3.Error as error:
        raise LocError(f"{database} cannot be read.", f"{error}.", "./loc logs dagster-web") from (
            error
        )


def _pid(run: str) -> tuple[int, float] | None:
    """The process that a run has recorded, and when; None if it has none."""
    events = instance.home() / f"history/runs/{run}.db"
    if not events.exists():
        return None
    query = (
        "select event from event_logs where dagster_event_type = 'ENGINE_EVENT' order by id desc"
    )
    for (text,) in _rows(events, query):
        event = json.loads(text)
        with suppress(KeyError, TypeError, ValueError):
            entries = event["dagster_event"]["event_specific_data"]["metadata_entries"]
            for entry in entries:
                if entry["label"] == "pid":
                    return int(entry["entry_data"]["text"]), event["timestamp"]
    return None


def _lives(pid: int, since: float) -> bool:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return process.create_time() <= since and process.status() != psutil.STATUS_ZOMBIE
    return False


def _end_runs(ids: list[str]) -> str:
    command = [sys.executable, "-P", "-m", "proto_loc.dagster.restored", "killed", *ids]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise LocError("Dagster's runs were not ended.", done.stderr.strip()[-300:], "./loc up -d")
    return f"Ended {len(ids)} runs in Dagster's history, and freed their slots."


def code() -> Iterator[Finding]:
    """Ask whether Dagster could load the code of this clone."""
    processes = running()
    if "dagster-code" not in processes:
        yield ok("Dagster's code server does not run")
    elif why := services.trouble("dagster-code"):
        yield Finding(
            "fail",
            "Dagster cannot load this clone's code.",
            why,
            "Mend that line, then: ./loc restart dagster-code",
            symptom="Dagster shows no assets or an error of its code location",
        )
    else:
        yield ok("Dagster has loaded this clone's code")


def cube() -> Iterator[Finding]:
    """Ask Cube which model and which version it serves."""
    if "cube" not in running():
        yield ok("Cube does not run")
        return
    try:
        url = f"http://127.0.0.1:{settings().port('cube')}/readyz"
        answer = httpx.get(url, timeout=PATIENCE, trust_env=False).json()
    except (httpx.HTTPError, ValueError) as error:
        yield Finding(
            "warn",
            "Cube runs, and does not answer.",
            f"{type(error).__name__}: {error}.",
            "./loc logs cube, ./loc restart cube",
            symptom="Cube does not answer",
        )
        return
    if "model" in answer:
        yield Finding(
            "fail",
            f"Cube serves {answer['model']['serving']}, since it refuses the current one.",
            answer["model"]["error"],
            "Mend that line; Cube reads the model again by itself. ./loc generate --check compares"
            " it with dbt",
            symptom="A metric that was changed is the old one in Cube",
        )
    elif (answer.get("version"), answer.get("published_at")) != (newest := _filled_version()):
        number, at = newest
        yield Finding(
            "warn",
            f"Cube serves version {answer.get('version')} of prod, published"
            f" {answer.get('published_at')}; here, version {number} of {at} is current.",
            answer.get("error") or "It was started with another LOC_DATA than this shell has.",
            "./loc down, then ./loc up -d: all services take the settings of this shell",
            symptom="Cube shows other figures than `loc` or Superset",
        )
    else:
        yield ok("Cube serves the current model and version")


def _filled_version() -> tuple[int | None, str | None]:
    """Number and time of the current ``prod``; None if it has no mart, as Cube says it."""
    serving = warehouse.store.current_id("prod")
    version = warehouse.store.load("prod", serving) if serving is not None else None
    if version is None or not any(name.startswith("marts.") for name in version.tables):
        return None, None
    return version.id, version.published_at


def superset_key() -> Iterator[Finding]:
    """Try whether the secrets in Superset's metadata are those of its key."""
    database, key = settings().superset_sqlite, credentials.path("superset")
    python = environment_folder("superset") / "bin/python"
    if database is None:
        yield ok("Superset's metadata is in PostgreSQL, not looked at")
        return
    if not database.exists() or not key.exists() or not python.exists():
        yield ok("Superset has no metadata in SQLite yet")
        return
    answer, reason = _answer_of_key(python, database, key)
    previous = key.with_name(f"{key.name}.previous")
    if answer == "another key" and previous.exists():
        yield ok(f"Superset's metadata has the key of {previous}; its next start encrypts it anew")
    elif answer == "another key":
        yield Finding(
            "fail",
            f"{key} is not the key with which Superset's metadata was encrypted.",
            "It was replaced, or the data came from another clone or a backup without its secrets.",
            f"Write the earlier key into {previous} (mode 600), then ./loc restart"
            " superset-provision superset: all is encrypted anew",
            symptom="Superset does not start: secrets of another key",
        )
    elif reason:
        yield Finding(
            "warn",
            f"Nobody knows whether {key} is the key of {database}.",
            f"The program that tries it failed: {reason.removesuffix('.')}.",
            "Mend that; if the file is damaged, restore it from a backup: ./loc restore FILE",
            symptom="Superset's metadata cannot be read",
        )
    else:
        yield ok("Superset's key is the one of its metadata")


def _answer_of_key(python: Path, database: Path, key: Path) -> tuple[str, str]:
    """The answer of the program that tries a key, and why it gave none."""
    command = [python, "-I", KEY_TEST, database, key]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=KEY_PATIENCE)
    except subprocess.TimeoutExpired:
        return "", f"it did not answer within {KEY_PATIENCE:g} seconds"
    answer = done.stdout.strip()
    if done.returncode == 0 and re.fullmatch(r"another key|\d+ secrets", answer):
        return answer, ""
    return "", (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
