"""``loc generate``: what serves the metrics, from their definitions in dbt."""

from typing import Annotated

import typer

from proto_loc.errors import LocError
from proto_loc.settings import ROOT

app = typer.Typer()


@app.command(rich_help_panel="Data", epilog="After a change of a metric: ./loc generate")
def generate(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; print what differs, and fail if anything does.")
    ] = False,
) -> None:
    """Make Cube's model and Superset's datasets from the metrics defined in dbt.

    It needs no data and no service. Files written by hand beside the generated ones stay as they are.
    """
    from pipelines import dbt
    from proto_loc.metrics import files
    from proto_loc.metrics.read import read

    models = read(dbt.manifest())
    if check:
        if difference := files.drift(ROOT, models):
            print(difference, end="")
            raise LocError(
                "What is generated is not what dbt defines.",
                "A definition was changed after the last `loc generate`, or a generated file was edited.",
                "Run `loc generate` and commit its result.",
            )
        print(f"{len(files.wanted(models))} files agree with the definitions")
        return
    for line in files.write(ROOT, models) or ["nothing has changed"]:
        print(line)
