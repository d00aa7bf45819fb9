"""Imports the private names of Dagster that we use, each at its first use.

A test compares :data:`VERSION` with the installed version. After an upgrade, check that each name
has the same meaning, then change :data:`VERSION`.
"""

from importlib import import_module

VERSION = "1.13.27"
"""The version of Dagster for which the names were checked."""

PLACES = {
    "CheckRunHealthResult": "dagster._core.launcher.base",
    "DagsterApiServer": "dagster._grpc.server",
    "DagsterExecutionInterruptedError": "dagster._core.errors",
    "EngineEventData": "dagster._core.events",
    "InstanceConcurrencyContext": "dagster._core.execution.plan.instance_concurrency_context",
    "SqlEventLogStorage": "dagster._core.storage.event_log",
    "WorkerStatus": "dagster._core.launcher.base",
    "WorkspaceFileTarget": "dagster._core.workspace.load_target",
    "WorkspaceProcessContext": "dagster._core.workspace.context",
    "capture_interrupts": "dagster._utils.interrupts",
    "daemon_controller_from_instance": "dagster._daemon.controller",
    "cron_string_iterator": "dagster._utils.schedules",
    "dagster_api_pb2": "dagster._grpc.server",
    "main": "dagster._cli",
    "server_watcher": "dagster._grpc.server_watcher",
    "setup_interrupt_handlers": "dagster._utils.interrupts",
}
"""Name → the module that contains the name; for a module, its own full name."""


def __getattr__(name: str):
    if name not in PLACES:
        raise AttributeError(name)
    module = import_module(PLACES[name])
    return module if PLACES[name].endswith(f".{name}") else getattr(module, name)
