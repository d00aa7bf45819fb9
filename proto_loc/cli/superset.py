"""``loc superset``: what is kept as YAML of Superset."""

import subprocess
from typing import Annotated

import typer

NAME = "superset"
PANEL = "Services"
app = typer.Typer(
    help="The dashboards, roles and rules that are kept as files in superset/.",
    no_args_is_help=True,
)


@app.command()
def provision(
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Drop what was changed in Superset of the bundle's objects."
        ),
    ] = False,
) -> None:
    """Bring Superset to what the files say: schema, roles, the admin's account, the database, the
    bundle.

    `loc up` does so before Superset starts; this does it at any time, also while Superset is up.
    What a person has changed in an object of the bundle stays, and is named; what a person has made
    is not touched.
    """
    from proto_loc import services
    from proto_loc.settings import ROOT
    from proto_loc.setup import environments

    environments.sync("superset")
    command, env = services.start("superset-provision")
    command += ["--overwrite"] if overwrite else []
    raise typer.Exit(subprocess.run(command, cwd=ROOT, env=env).returncode)


@app.command()
def export(
    add: Annotated[
        list[str] | None,
        typer.Option(metavar="TITLE", help="Take in a dashboard that a person has made, too."),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Also where a file was changed since it was provisioned."),
    ] = False,
) -> None:
    """Bring what was changed in Superset of the bundle's charts and dashboards into their files.

    Only lines that differ are written. Datasets stay: their metrics and columns are defined in dbt.
    """
    from proto_loc import services
    from proto_loc.settings import ROOT
    from proto_loc.setup import environments

    environments.sync("superset")
    command, env = services.start("superset-provision")
    command = [*command[:-1], "proto_loc.superset.export", *(["--overwrite"] if overwrite else [])]
    command += [part for title in add or [] for part in ("--add", title)]
    raise typer.Exit(subprocess.run(command, cwd=ROOT, env=env).returncode)
