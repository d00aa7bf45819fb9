"""Dagster's instance: its home under ``data/dagster``, and how its three processes are started."""

import os
import sys
from importlib.resources import files
from pathlib import Path

from proto_loc.settings import ROOT, private_folder, settings

SERVICES = ("code", "web", "daemon")
LOCATION = "proto_loc"


def home() -> Path:
    """``DAGSTER_HOME``: runs, events, ticks and logs of steps, in SQLite and files."""
    return settings().data / "dagster"


def socket() -> Path:
    """Where the code server listens; a Unix socket, so that nothing but this user's processes can reach it."""
    return settings().run / "dagster-code.sock"


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
    template = files("pipelines").joinpath("dagster.yaml").read_text()
    workspace = f'load_from:\n  - grpc_server: {{socket: "{socket()}", location_name: {LOCATION}}}\n'
    for name, text in {"dagster.yaml": template, "workspace.yaml": workspace}.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            new = path.with_suffix(f".{os.getpid()}")
            new.write_text(text)
            new.replace(path)
    return folder


def command(service: str) -> list[str]:
    """The argv of one of :data:`SERVICES`; it wants :func:`environment`, and :func:`prepare` to have been called."""
    python = [sys.executable, "-P", "-m"]
    workspace = str(home() / "workspace.yaml")
    return {
        "code": [
            *python,
            *("dagster", "code-server", "start", "--socket", str(socket()), "--location-name", LOCATION),
            *("--module-name", "pipelines.definitions", "--working-directory", str(ROOT)),
            *("--use-python-environment-entry-point", "--log-level", "warning"),
        ],
        "web": [*python, "pipelines.web"],
        "daemon": [*python, "dagster._daemon", "run", "--workspace", workspace, "--log-level", "warning"],
    }[service]
