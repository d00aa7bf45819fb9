"""``loc superset``: brings Superset and its YAML files to the same state."""

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
            "--overwrite", help="Discard changes that people made to the bundle's objects."
        ),
    ] = False,
) -> None:
    """Update Superset from the files: schema, roles, the admin's account, database, bundle.

    `loc up` does this before Superset starts; this command also works while Superset is up. Changes
    that people made to objects of the bundle stay, and are listed. Their own objects are not
    touched.
    """
    _run("proto_loc.superset.provision", overwrite)


@app.command()
def export(
    add: Annotated[
        list[str] | None,
        typer.Option(metavar="TITLE", help="Also export a dashboard that a person has made."),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Also write files that were changed since provisioning."),
    ] = False,
) -> None:
    """Write changes that people made to the bundle's charts and dashboards into its files.

    Only lines that differ are written. Datasets stay: their metrics and columns are defined in dbt.
    """
    titles = [part for title in add or [] for part in ("--add", title)]
    _run("proto_loc.superset.export", overwrite, *titles)


def _run(module: str, overwrite: bool, *arguments: str) -> None:
    from proto_loc import services
    from proto_loc.settings import ROOT
    from proto_loc.setup import environments

    environments.sync("superset")
    command, env = services.start("superset-provision")
    command = [*command[:2], module, *(["--overwrite"] if overwrite else []), *arguments]
    raise typer.Exit(subprocess.run(command, cwd=ROOT, env=env).returncode)
