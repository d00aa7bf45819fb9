"""``loc generate``: makes files from dbt's definitions, and the references of the guides."""

from typing import Annotated

import typer

from proto_loc.errors import LocError
from proto_loc.settings import ROOT

app = typer.Typer()


@app.command(rich_help_panel="Data", epilog="After a change of a metric: ./loc generate")
def generate(
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Write nothing; print what differs, and fail if anything does."
        ),
    ] = False,
) -> None:
    """Make Cube's model and Superset's datasets from the metrics defined in dbt.

    It needs no data and no service. Hand-written files beside the generated ones stay. A model that
    Cube's own compiler refuses is not written. With --check, the charts and dashboards of
    superset/bundle are compared with the datasets as well. It also makes the references in docs/:
    commands, settings, the declaration of a source, and what doctor finds.
    """
    from proto_loc.cli import _generated_files as files
    from proto_loc.cli import command
    from proto_loc.dbt import parse
    from proto_loc.docs import references
    from proto_loc.metrics.read import read

    models = read(parse.manifest())
    guides = references.parts(command())
    if check:
        if difference := files.drift(ROOT, models):
            print(difference, end="")
            raise LocError(
                "The generated files differ from dbt's definitions.",
                "A definition was changed after the last `loc generate`, or a generated file was"
                " edited.",
                "Run `loc generate` and commit its result.",
            )
        if pages := references.outdated(guides):
            raise LocError(
                f"{', '.join(f'docs/{page.name}' for page in pages)}: the generated part is out of"
                " date.",
                "The code that it describes changed (commands, settings, declarations, checks of"
                " doctor), or the part was edited.",
                "Run `loc generate` and commit its result.",
            )
        print(f"{len(files.wanted(models))} files agree with the definitions")
        check_cube(models)
        check_bundle(models)
        return
    check_cube(models)
    for line in [*files.write(ROOT, models), *references.write(guides)] or ["nothing has changed"]:
        print(line)


def _published() -> dict[str, set[str]]:
    """The columns of each published table, for hand-written datasets; empty without data."""
    from proto_loc import warehouse

    try:
        tables = warehouse.current("prod").columns()
    except warehouse.WarehouseError:
        return {}
    return {table: set(columns) for table, columns in tables.items()}


def check_cube(models: list) -> None:
    """Let Cube's compiler read the model that the definitions make.

    Raises:
        LocError: it refuses a file.
    """
    from proto_loc.cli import _generated_files as files
    from proto_loc.cube import process

    with files.cube_model(ROOT, models) as folder:
        faults = process.faults(folder)
    if faults is None:
        typer.echo(
            "note: Cube is not installed (./loc setup cube); its compiler did not read the model",
            err=True,
        )
    elif faults:
        raise LocError(
            "Cube rejects the model: it would keep its last valid one, or have none.",
            "\n".join(f"cube/model/{fault}" for fault in faults),
            "Correct the definition in dbt, or the file in cube/model that was written by hand.",
        )


def check_bundle(models: list) -> None:
    """Compare the dashboards with the datasets, and say that they agree.

    Raises:
        LocError: a chart or dashboard has a fault; each was printed.
    """
    from proto_loc.superset.bundle import check

    defined = {
        f"{model.schema}.{model.table}": {one.name for one in model.columns} for model in models
    }
    tables = _published() | defined
    folder = ROOT / "superset/bundle"
    if lines := check.faults(folder, tables):
        print("\n".join(f"{folder.relative_to(ROOT)}/{fault}" for fault in lines))
        raise LocError(
            f"The bundle of dashboards has {len(lines)} fault{'s' if len(lines) > 1 else ''}.",
            "Superset would not import it, or show charts that fail.",
            "Correct the lines above.",
        )
    print("the dashboards agree with the datasets")
