"""Dagster's instance: its home under ``data/dagster``, and how its three processes are started."""

import os
import shutil
import signal
import sys
import warnings
from pathlib import Path

import yaml

from proto_loc.files import replace, try_lock
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.warehouse.lock import writer_lock

LOCATION = "proto_loc"


def home() -> Path:
    """``DAGSTER_HOME``: runs, events, ticks and logs of steps, in SQLite and files."""
    return settings().data / "dagster"


def socket() -> Path:
    """Where the code server listens; a Unix socket, so that nothing but this user's processes
    can reach it.
    """
    return settings().socket("dagster-code.sock")


def daemon_ready() -> Path:
    """An empty file that is there while the daemon's loops run, and that the daemon holds a
    lock on.
    """
    return settings().run / "dagster-daemon.ready"


def daemon_lives() -> bool:
    """Whether a daemon is there to start the runs that are queued; a killed one's file has no
    lock any more.
    """
    try:
        with daemon_ready().open() as file:
            return not try_lock(file, shared=True)
    except OSError:
        return False


def environment() -> dict[str, str]:
    """What each of Dagster's processes needs in its environment, beside what is there."""
    return {
        "DAGSTER_HOME": str(home()),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(ROOT),
    }


def prepare() -> Path:
    """Write the instance's configuration where it is not as it must be; returns :func:`home`.

    Raises:
        OSError: the folder cannot be written.
    """
    private_folder(settings().run)
    folder = private_folder(home())
    template = Path(__file__).with_name("dagster.yaml").read_text()
    server = {"socket": str(socket()), "location_name": LOCATION}
    workspace = yaml.safe_dump(
        {"load_from": [{"grpc_server": server}]}
    )  # a folder's name may have quotes in it
    for name, text in {"dagster.yaml": template, "workspace.yaml": workspace}.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            replace(path, text)
    return folder


def begin() -> Path:
    """What each of Dagster's processes does first: its environment, its configuration, its signals;
    returns the home.

    It comes before the import of dagster, which reads the environment.
    """
    os.environ.update(environment())
    # A shell that starts a process with & has it ignore SIGINT, and Dagster then ignores SIGTERM as
    # well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Where the code server is not there yet; the page says so too, and it is looked for again.
    warnings.filterwarnings("ignore", "Error loading repository location")
    folder = prepare()
    _make_storage(folder)
    from proto_loc.dagster.private import server_watcher

    # Web and daemon ask the code server every second whether it is still the same: less often does
    # as well, and one that came up later than they did is to be found sooner than in ten seconds.
    server_watcher.WATCH_INTERVAL, server_watcher.ERROR_RECOVERY_INTERVAL = 5, 5
    return folder


def _make_storage(folder: Path) -> None:
    """Make the SQLite files of a new home, by one process: two that do so at once leave them
    broken for good.
    """
    made = folder / "storage.made"
    if made.exists():
        return
    with writer_lock(folder / "storage.lock", timeout=settings().lock_timeout):
        if not made.exists():
            from dagster import DagsterInstance

            for name in ("history", "schedules", "storage"):
                shutil.rmtree(
                    folder / name, ignore_errors=True
                )  # the left-over of one that was killed at it
            with DagsterInstance.get() as dagster:
                dagster.get_runs(limit=1)
                dagster.all_instigator_state()
                dagster.get_asset_keys(limit=1)
            made.touch()


def command(service: str) -> list[str]:
    """The argv of ``code``, ``web`` or ``daemon``; it needs nothing but ``PYTHONPATH`` (the
    clone) and ``LOC_*``.
    """
    return [sys.executable, "-P", "-m", f"proto_loc.dagster.{service}"]
