"""``loc init NAME``: makes a fork of this clone."""

from typing import Annotated, Literal

import typer

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
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without a question.")] = False,
    changed: Annotated[
        Literal["ask", "keep", "remove"],
        typer.Option(help="What becomes of files of the demonstration that you have changed."),
    ] = "ask",
) -> None:
    """Make this clone a fork with a name of its own, without the demonstration.

    It writes README.md, fork.toml and, as you choose, LICENSE and ports; a README or licence that
    you have changed stays. Nothing is committed.

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
    start.check()
    if demonstration == "remove" and fork_file.read().demonstration:
        demo.take_away(yes=yes, changed=changed)
    for line in [*start.start(choices), *start.name_project()]:
        print(line)
    print(f"Keep it: git add --all && git commit -m 'A fork named {name}'")
    if hint := fork_file.first_step():
        print(hint)
