"""What Dagster does not promise to keep, in one place; each name is imported when it is asked for.

A test holds :data:`VERSION` to the one that is installed: at an upgrade, see that each is still
what it was, then change it.
"""

from importlib import import_module

VERSION = "1.13.27"
"""The version of Dagster that these were read in."""

PLACES = {
    "CheckRunHealthResult": "dagster._core.launcher.base",
    "DagsterApiServer": "dagster._grpc.server",
    "DagsterExecutionInterruptedError": "dagster._core.errors",
    "EngineEventData": "dagster._core.events",
    "WorkerStatus": "dagster._core.launcher.base",
    "WorkspaceFileTarget": "dagster._core.workspace.load_target",
    "WorkspaceProcessContext": "dagster._core.workspace.context",
    "capture_interrupts": "dagster._utils.interrupts",
    "daemon_controller_from_instance": "dagster._daemon.controller",
    "dagster_api_pb2": "dagster._grpc.server",
    "main": "dagster._cli",
    "server_watcher": "dagster._grpc.server_watcher",
    "setup_interrupt_handlers": "dagster._utils.interrupts",
}
"""Name → the module that it is in, or is."""


def __getattr__(name: str):
    if name not in PLACES:
        raise AttributeError(name)
    module = import_module(PLACES[name])
    return module if PLACES[name].endswith(f".{name}") else getattr(module, name)
