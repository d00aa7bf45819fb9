"""``loc sbom``: writes the bill of materials of each environment."""

import json
from pathlib import Path
from typing import Annotated

import typer

from proto_loc.errors import UsageError

app = typer.Typer()


@app.command(
    rich_help_panel="Set-up",
    epilog="Examples: ./loc sbom    ./loc sbom superset cube --output sboms",
)
def sbom(
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="platform, superset, notebooks, dlt, docs, cube, tools; default: all of them.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where to write; default .run/sbom."),
    ] = None,
) -> None:
    """Write the bill of materials of each environment: NAME.cdx.json, in CycloneDX 1.6.

    It has each package with version, license (SPDX), hash and what it needs, as installed on this
    machine; an environment that is missing is installed. A package whose license is not known stops
    it and is named.
    """
    from proto_loc import files
    from proto_loc.settings import settings
    from proto_loc.setup import environments, sbom

    if unknown := sorted(set(parts or ()) - set(sbom.names())):
        raise UsageError(
            f"There is no bill of materials of {unknown[0]!r}.",
            "",
            f"Choose from: {', '.join(sbom.names())}.",
        )
    chosen = parts or sbom.names()
    environments.sync(*(name for name in chosen if name in environments.names()))
    texts = {name: sbom.text(name) for name in chosen}
    folder = output or settings().run / "sbom"
    for name, text in texts.items():
        path = folder / f"{name}.cdx.json"
        files.replace(path, text)
        print(f"{path}: {len(json.loads(text)['components'])} packages")
