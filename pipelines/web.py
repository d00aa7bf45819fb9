"""``python -m pipelines.web``: Dagster's web server and dbt's documentation, behind :mod:`proto_loc.web`."""

import os

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from pipelines import dbt_docs, instance
from proto_loc.secrets import secret
from proto_loc.settings import settings
from proto_loc.web import Guard


def main() -> None:
    """Serve until a signal ends it; configures and uses the instance in ``data/dagster``."""
    os.environ.update(instance.environment())
    home = instance.prepare()
    # Dagster reads its settings at import.
    from dagster import DagsterInstance
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.webserver import DagsterWebserver

    port = settings().port("dagster")
    with (
        DagsterInstance.get() as dagster,
        WorkspaceProcessContext(dagster, WorkspaceFileTarget([str(home / "workspace.yaml")])) as workspace,
    ):
        app = Starlette(
            routes=[
                Route("/dbt-docs/", dbt_docs.page),
                Mount("/", DagsterWebserver(workspace, live_data_poll_rate=2000).create_asgi_app()),
            ]
        )
        guarded = Guard(app, token=secret("dagster"), port=port, owner=str(settings().data))
        # No access log: the address of a login has the token in it.
        uvicorn.run(guarded, host="127.0.0.1", port=port, log_level="warning", access_log=False, server_header=False)


if __name__ == "__main__":
    main()
