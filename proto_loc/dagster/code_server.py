"""``python -m proto_loc.dagster.code_server``: Dagster's code server, which holds the definitions
and starts the runs.

One process. Dagster's ``code-server start``, a proxy and a child, costs another 80 MB, wakes a
hundred times a second, and does not notice that its child was killed; all that it has beside is the
reload, which is here too.
"""

import os
import sys
import threading
from contextlib import suppress

import psutil

from proto_loc import services
from proto_loc.dagster import instance, trouble

GRACE = 0.5
"""Seconds in which the answer to a reload gets out."""


def main() -> None:
    """Serve on :func:`proto_loc.dagster.instance.socket` until a signal ends it; the socket is
    there once the code is loaded, or its error known.
    """
    instance.begin()
    instance.socket().unlink(
        missing_ok=True
    )  # of one that was killed: who waits for this one must not see it
    for (
        orphan
    ) in psutil.Process().children():  # runs of before a reload: nothing else waits for their ends
        threading.Thread(target=orphan.wait, daemon=True).start()
    from proto_loc.dagster.private import DagsterApiServer, dagster_api_pb2
    from proto_loc.dagster.private import main as dagster

    def reload(self, request, context):
        """Become a new process under the same number; runs go on, and are watched by
        :mod:`proto_loc.dagster.launcher`.
        """
        threading.Timer(GRACE, os.execv, [sys.executable, instance.command("code_server")]).start()
        return dagster_api_pb2.ReloadCodeReply()

    begin = DagsterApiServer.__init__

    def load(self, *arguments, **options):
        """What keeps the code from loading is known beside Dagster too: `loc status` says it."""
        begin(self, *arguments, **options)
        with suppress(OSError):  # where the disk is full, Dagster's own pages say it alone
            services.trouble("dagster-code", _trouble(self._serializable_load_error))

    DagsterApiServer.__init__, DagsterApiServer.ReloadCode = load, reload
    sys.argv[1:] = [
        *("api", "grpc", "--socket", str(instance.socket()), "--location-name", instance.LOCATION),
        *(
            "--module-name",
            "proto_loc.dagster.definitions",
            "--working-directory",
            os.environ["PYTHONPATH"],
        ),
        *(
            "--lazy-load-user-code",
            "--use-python-environment-entry-point",
            "--log-level",
            "warning",
        ),
    ]
    dagster()


def _trouble(error) -> str:
    """The error of a load that failed, with its place in the project; empty for none."""
    chain = []
    while error:
        chain.append((error.message, error.stack))
        error = error.cause
    return trouble.of_chain(chain) if chain else ""


if __name__ == "__main__":
    main()
