"""Runs Dagster's code server, which loads the definitions and starts the runs.

It is one process. Dagster's own ``code-server start`` runs a proxy and a child: that costs another
80 MB, wakes up a hundred times a second, and does not notice when the child is killed. Its only
advantage is the reload, which this module also has.
"""

import os
import sys
import threading
from contextlib import suppress

import psutil

from proto_loc import files, services
from proto_loc.dagster import instance, trouble

GRACE = 0.5
"""Seconds between the answer to a reload and the reload."""


def main() -> None:
    """Serve on :func:`proto_loc.dagster.instance.socket` until a signal ends the process.

    The socket exists once the code is loaded, or has failed to load.
    """
    instance.begin()
    instance.socket().unlink(missing_ok=True)  # the socket of a killed server is misleading
    for orphan in psutil.Process().children():  # the parent must wait for runs of an earlier code
        threading.Thread(target=orphan.wait, daemon=True).start()
    from proto_loc.dagster.private import DagsterApiServer, dagster_api_pb2
    from proto_loc.dagster.private import main as dagster

    again = (sys.executable, instance.command("code_server"))

    def reload(self, request, context):
        """Replace this process, with the same id; runs continue, and the launcher watches them."""
        threading.Timer(GRACE, os.execv, again).start()
        return dagster_api_pb2.ReloadCodeReply()

    begin = DagsterApiServer.__init__

    def load(self, *arguments, **options):
        """Record the error of a load, so that `loc status` can show it without Dagster."""
        begin(self, *arguments, **options)
        if self._serializable_load_error and files.room(instance.home()) < files.FULL:
            # Dagster keeps the error of a load until somebody asks for another one.
            full = f"no space left on the disk of {instance.home()}"
            print(f"The project's code is loaded again once there is room: {full}.", flush=True)
            files.wait_for_room(instance.home())
            os.execv(*again)
        with suppress(OSError):  # if the disk is full, only Dagster's pages show it
            services.trouble("dagster-code", _trouble(self._serializable_load_error))

    DagsterApiServer.__init__, DagsterApiServer.ReloadCode = load, reload
    sys.argv[1:] = [
        *("api", "grpc", "--socket", str(instance.socket()), "--location-name", instance.LOCATION),
        *("--module-name", "proto_loc.dagster.definitions"),
        *("--working-directory", os.environ["PYTHONPATH"], "--lazy-load-user-code"),
        *("--use-python-environment-entry-point", "--log-level", "warning"),
        *("--log-format", instance.log_format()),
    ]
    dagster()


def _trouble(error) -> str:
    """The error of a failed load with its file and line; empty if there is none."""
    chain = []
    while error:
        chain.append((error.message, error.stack))
        error = error.cause
    return trouble.of_chain(chain) if chain else ""


if __name__ == "__main__":
    main()
