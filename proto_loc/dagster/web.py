"""Runs Dagster's web server and dbt's documentation, behind :mod:`proto_loc.web.gate`."""

import time

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from proto_loc.credentials import secret
from proto_loc.dagster import instance
from proto_loc.dbt import docs
from proto_loc.settings import settings
from proto_loc.web.gate import Guard
from proto_loc.web.serving import OPTIONS

PATIENCE = 60.0
"""Seconds that the code server may take to start or reload, as it may parse the dbt project."""


def main() -> None:
    """Serve the instance in ``data/dagster`` until a signal ends the process."""
    home = instance.begin()
    from dagster import DagsterInstance, __version__
    from dagster_webserver.webserver import DagsterWebserver

    from proto_loc.dagster.private import WorkspaceFileTarget, WorkspaceProcessContext

    class Workspace(WorkspaceProcessContext):
        def reload_code_location(self, name: str) -> None:
            """Reload, then wait until the code server's new process listens."""
            before = _number()
            super().reload_code_location(name)
            _wait(lambda: _number() not in (None, before))
            self.refresh_code_location(name)

    port = settings().port("dagster")
    _wait(lambda: _number() is not None, 10)  # otherwise the first page shows a passing error
    with (
        DagsterInstance.get() as dagster,
        Workspace(
            dagster, WorkspaceFileTarget([str(home / "workspace.yaml")]), __version__
        ) as workspace,
    ):
        app = Starlette(
            routes=[
                Route(docs.PATH, docs.page),
                Mount("/", DagsterWebserver(workspace, live_data_poll_rate=2000).create_asgi_app()),
            ]
        )
        guarded = Guard(app, token=secret("dagster"), port=port, owner=str(settings().data))
        uvicorn.run(guarded, host="127.0.0.1", port=port, **OPTIONS)


def _number() -> tuple[int, int] | None:
    """Identify the socket of the current code server; None while the code server starts."""
    try:
        found = instance.socket().stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns  # a file system may reuse an inode


def _wait(condition, patience: float = PATIENCE) -> None:
    end = time.monotonic() + patience
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)


if __name__ == "__main__":
    main()
