"""``loc init NAME``: makes a fork of this clone."""

from typing import Annotated, Literal

import typer

from proto_loc.cli.demo import Base, Changed, Yes

app = typer.Typer()


@app.command(rich_help_panel="Fork")
def init(
    name: Annotated[
        str, typer.Argument(help="The fork's name: small letters, digits, hyphens, underscores.")
    ],
    port: Annotated[
        list[str] | None,
        typer.Option(metavar="SERVICE=PORT", help="The port of a service; may be repeated."),
    ] = None,
    licence: Annotated[
        str, typer.Option(help="MIT, none (all rights reserved), or a file; default: it stays.")
    ] = "",
    owner: Annotated[str, typer.Option(help="Whose work it is, for the licence.")] = "",
    ci: Annotated[
        Literal["github", "none"], typer.Option(help="Whether GitHub's workflows stay.")
    ] = "github",
    demonstration: Annotated[
        Literal["remove", "keep"], typer.Option(help="What becomes of the demonstration.")
    ] = "remove",
    dbt: Annotated[
        str, typer.Option(metavar="FOLDER", help="A dbt-duckdb project to take, and publish.")
    ] = "",
    yes: Yes = False,
    changed: Changed = "ask",
    base: Base = "",
) -> None:
    """Make this clone a fork with a name of its own, without the demonstration.

    It writes README.md, fork.toml and, as you choose, LICENSE and ports; a README or licence that
    you have changed stays. Nothing is committed. With --dbt, the models, seeds, tests, snapshots,
    metrics and vendored packages of a dbt-duckdb project become the fork's own; what cannot work
    here is refused by its file before anything is changed.

    Examples: loc init shop, loc init shop --port dagster=3100 --licence MIT --owner 'Ann Lee'
    """
    from proto_loc import fork_file
    from proto_loc.cli import demo
    from proto_loc.errors import UsageError
    from proto_loc.fork import start

    ports = {}
    for entry in port or []:
        service, _, number = entry.partition("=")
        if not number.isdigit():
            raise UsageError(f"--port {entry} is not usable.", "", "Write --port dagster=3100.")
        ports[service] = int(number)
    choices = start.Choices(name, ports, licence, owner, ci == "github")
    start.check(choices, base=base)
    project = _read_project(dbt, demonstration) if dbt else None
    if demonstration == "remove" and fork_file.read().demonstration:
        check = _check_room if project else lambda gone: None
        demo.take_away(yes=yes, changed=changed, base=base, check=check)
    for line in [*start.start(choices, base=base), *([] if project else start.name_project())]:
        print(line)
    if project:
        _publish_project(project)
    print(f"Keep it: git add --all && git commit -m 'A fork named {name}'")
    if hint := fork_file.first_step():
        print(hint)


def _read_project(folder: str, demonstration: str):
    """Check a dbt project before anything is changed.

    Raises:
        LocError: it cannot work here; the message names the file.
    """
    from pathlib import Path

    from proto_loc import fork_file
    from proto_loc.errors import UsageError
    from proto_loc.fork import dbt_project

    if demonstration == "keep":
        raise UsageError(
            "A dbt project takes the place of the demonstration.", "", "Leave out --demonstration."
        )
    if not fork_file.read().demonstration:
        dbt_project.check_room()
    project = dbt_project.read(Path(folder).resolve())
    dbt_project.check(project)
    return project


def _check_room(gone) -> None:
    """Refuse if files stay where the project's go."""
    from proto_loc.fork import dbt_project

    dbt_project.check_room(without=gone)


def _publish_project(project) -> None:
    """Copy the project, make what is generated from its metrics, build and publish."""
    from proto_loc.cli import _console, _generated_files
    from proto_loc.dbt import parse
    from proto_loc.fork import dbt_project
    from proto_loc.metrics.read import read
    from proto_loc.refresh.job import load_and_refresh
    from proto_loc.settings import ROOT

    for line in dbt_project.install(project):
        print(line)
    models = read(parse.manifest())
    for line in _generated_files.write(ROOT, models):
        print(line)
    with _console.progress() as report:
        done = load_and_refresh(lambda _: [], who="loc init", report=report)
    metrics = sum(len(model.metrics) for model in models)
    print(
        f"Version {done.prod.id} of prod is published: {len(done.prod.tables)} tables,"
        f" {sum(done.prod.checks.values())} tests, {metrics} metrics"
    )
