"""Dagster's instance: its home folder, its configuration, and the start of its processes."""

import os
import shutil
import signal
import sys
import warnings
from pathlib import Path

import yaml

from proto_loc import logs
from proto_loc.files import replace, try_lock
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.warehouse.lock import writer_lock

LOCATION = "proto_loc"


def home() -> Path:
    """``DAGSTER_HOME``, with runs, events, ticks and logs of steps in SQLite and files."""
    return settings().data / "dagster"


def socket() -> Path:
    """The Unix socket of the code server, which only this user's processes can reach."""
    return settings().socket("dagster-code.sock")


def daemon_ready() -> Path:
    """An empty file that exists, locked by the daemon, while the daemon's loops run."""
    return settings().run / "dagster-daemon.ready"


def daemon_lives() -> bool:
    """Whether the daemon runs; the file of a killed daemon has no lock."""
    try:
        with daemon_ready().open() as file:
            return not try_lock(file, shared=True)
    except OSError:
        return False


def environment() -> dict[str, str]:
    """The additional environment of Dagster's processes."""
    return {
        "DAGSTER_HOME": str(home()),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(ROOT),
    }


def prepare() -> Path:
    """Write the instance's configuration if it differs; return :func:`home`.

    Raises:
        OSError: the folder cannot be written.
    """
    private_folder(settings().run)
    folder = private_folder(home())
    template = Path(__file__).with_name("dagster.yaml").read_text()
    server = {"socket": str(socket()), "location_name": LOCATION}
    workspace = yaml.safe_dump({"load_from": [{"grpc_server": server}]})
    for name, text in {"dagster.yaml": template, "workspace.yaml": workspace}.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            replace(path, text)
    return folder


def begin() -> Path:
    """Set up a Dagster process: environment, configuration and signals; return the home folder.

    Call it before dagster is imported, because the import reads the environment.
    """
    os.environ.update(environment())
    logs.install()
    # A process that a shell starts with & ignores SIGINT, and then Dagster ignores SIGTERM too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The code server may start later; the page shows that too, and Dagster tries again.
    warnings.filterwarnings("ignore", "Error loading repository location")
    folder = prepare()
    _make_storage(folder)
    from proto_loc.dagster.private import server_watcher

    # Seconds between two checks of the code server. Dagster's defaults are 1, which is more often
    # than needed, and 10 after an error, which is slow if the code server starts later.
    server_watcher.WATCH_INTERVAL, server_watcher.ERROR_RECOVERY_INTERVAL = 5, 5
    return folder


def _make_storage(folder: Path) -> None:
    """Create the SQLite files of a new home in one process; two at once would damage them."""
    made = folder / "storage.made"
    if made.exists():
        return
    with writer_lock(folder / "storage.lock", timeout=settings().lock_timeout):
        if not made.exists():
            from dagster import DagsterInstance

            for name in ("history", "schedules", "storage"):  # left by a process that was killed
                shutil.rmtree(folder / name, ignore_errors=True)
            with DagsterInstance.get() as dagster:
                dagster.get_runs(limit=1)
                dagster.all_instigator_state()
                dagster.get_asset_keys(limit=1)
            made.touch()


def log_format() -> str:
    """Dagster's name of the format of its processes' logs."""
    return "json" if logs.wants_json() else "colored"


def command(service: str) -> list[str]:
    """The command line of ``code_server``, ``web`` or ``daemon``; it needs ``PYTHONPATH``."""
    return [sys.executable, "-P", "-m", f"proto_loc.dagster.{service}"]
