"""``loc setup``: install the environments ahead of their first use."""

from typing import Annotated

import typer

from proto_loc import environments

app = typer.Typer()


@app.command(rich_help_panel="Set-up", epilog="Example: ./loc setup superset")
def setup(
    wanted: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="platform, superset, notebooks; all if none is named.")
    ] = None,
) -> None:
    """Install the Python environments exactly as locks/ says; no work where that is done already."""
    wanted = wanted or environments.names()
    environments.sync(*wanted)
    print("ready:", ", ".join(f".venvs/{name}" for name in wanted))


@app.command(rich_help_panel="Set-up")
def prepare() -> None:
    """Make ready what the services need: environments, secrets, an empty first version of raw and prod.

    The process `setup` runs it at each start; where all is there, it takes a second.
    """
    from proto_loc.prepare import prepare

    prepare()
