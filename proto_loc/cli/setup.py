"""``loc setup``: installs the environments before their first use."""

import os
from typing import Annotated

import typer

from proto_loc.settings import ROOT, environment_folder
from proto_loc.setup import environments, node

app = typer.Typer()


@app.command(rich_help_panel="Set-up", epilog="Example: ./loc setup superset")
def setup(
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="platform, superset, notebooks, dlt, cube, trino; default: all that are needed.",
        ),
    ] = None,
) -> None:
    """Install the environments from the locks, unless they are up to date.

    dlt is needed if a source in pipelines/ uses it. For cube, an earlier failure to install the
    native addon is tried again. trino is needed with LOC_ENGINE=trino, and brings the servers of
    Trino and Nessie, which are a gigabyte to download.
    """
    parts = parts or [*environments.needed(), "cube"]
    if python := [name for name in parts if name != "cube"]:
        environments.sync(*python)
    if "cube" in parts:
        if not node.FINISHED:
            node.ADDON_STAMP.unlink(missing_ok=True)
        node.install()
    if "trino" in parts:
        from proto_loc.setup import trino

        environments.sync("trino-client")
        trino.install_servers()
    folders = [node.MODULES if name == "cube" else environment_folder(name) for name in parts]
    print("ready:", ", ".join(str(folder).removeprefix(f"{ROOT}/") for folder in folders))


@app.command(rich_help_panel="Set-up")
def prepare() -> None:
    """Prepare what the services need: environments, secrets, empty versions of raw and prod.

    The process `setup` runs it at each start; without work it takes a second.
    """
    from proto_loc import services
    from proto_loc.setup.prepare import prepare

    if services.MARK in os.environ:  # as the process `setup` of any supervisor
        from proto_loc.compose.client import Client
        from proto_loc.services import ports

        with Client() as client:
            ports.check(state.name for state in client.processes() if state.verdict != "off")
    prepare()
