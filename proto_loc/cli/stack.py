"""``loc up | down | restart | status | logs | urls | exec``: controls the services."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from proto_loc.errors import plain

PANEL = "Services"
app = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command(rich_help_panel=PANEL)
def up(
    detach: Annotated[
        bool,
        typer.Option("--detach", "-d", help="Return once all is ready; the services keep running."),
    ] = False,
    only: Annotated[
        str, typer.Option(metavar="NAME,...", help="Start these processes and their dependencies.")
    ] = "",
    timeout: Annotated[
        float, typer.Option(help="With -d: seconds to wait until all is ready.", min=1)
    ] = 1800,
) -> None:
    """Start the services, load data if there is none, and print the links once all is ready.

    If the stack is up, services that are off are started.

    In the foreground all logs are shown, and Ctrl-C stops everything in order. A port that is taken
    is reported before anything starts.

    Examples: loc up -d, loc up --only dagster-web, LOC_PORT_PREFIX=1 loc up
    """
    from proto_loc import fork_file
    from proto_loc.compose import stack

    if hint := fork_file.first_step():
        print(hint, flush=True)
    stack.up(
        tuple(name.strip() for name in only.split(",") if name.strip()),
        detach=detach,
        timeout=timeout,
    )


@app.command(rich_help_panel=PANEL)
def down() -> None:
    """Stop the services in reverse order of dependencies, and all that a killed stack left."""
    from proto_loc.compose import stack

    print("Everything has ended." if stack.down() else "Nothing was up.")


@app.command(rich_help_panel=PANEL)
def restart(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Processes, as in `loc status`.")
    ],
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait until they are ready.", min=1)
    ] = 300,
) -> None:
    """Restart services of the running stack, or start those that are off; the others continue.

    Examples: loc restart cube, loc restart dagster-web dagster-daemon
    """
    from proto_loc.compose import stack

    stack.restart(tuple(names), timeout=timeout)


@app.command(rich_help_panel=PANEL)
def status(
    json: Annotated[
        bool, typer.Option("--json", help="Print the state of everything as JSON, for programs.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of --json, and read nothing.")
    ] = False,
    openmetrics: Annotated[
        bool, typer.Option("--openmetrics", help="Print it as text for Prometheus, with counters.")
    ] = False,
) -> None:
    """Show the state of every process; the exit code is 1 if one failed or nothing is up,
    or if a channel of notices is dead.

    With --json: also what is published, sources, runs, metrics, lineage, disk and memory, as the
    home page shows it, and the problems of each part with the command to run.
    """
    if openmetrics:
        from proto_loc.monitoring.openmetrics import text

        print(text(), end="")
        return
    if json or schema:
        from proto_loc.home import output

        if schema:
            print(output.schema())
            return
        text, well = output.status()
        print(text)
        raise typer.Exit(0 if well else 1)
    from proto_loc import fork_file
    from proto_loc.compose.client import Client
    from proto_loc.home import notices
    from proto_loc.home.processes import is_well, problem_of

    with Client() as client:
        states = client.processes()
    problems = {state.name: problem for state in states if (problem := problem_of(state))}
    if states:
        _table(states)
    else:
        print("Nothing is up. Start it with: ./loc up -d")
    for schedule in fork_file.read().schedules:
        print(f"schedule {schedule}")
    if hint := fork_file.first_step():
        print(hint)
    for name, problem in problems.items():
        typer.echo(f"{name} does not serve the model as it is: {problem}", err=True)
    dead = [channel for channel in notices.channels() if channel.dead]
    for channel in dead:
        typer.echo(" ".join(notices.dead(channel)), err=True)
    well = states and not problems and not dead and all(map(is_well, states))
    raise typer.Exit(0 if well else 1)


def _table(states: list) -> None:
    from datetime import timedelta

    from proto_loc.cli._console import out, table
    from proto_loc.services import SERVICES
    from proto_loc.settings import settings

    shown = table(
        "", "process", "", "status", "exit code", "restarts", "up for", "pid", "port",
        numbers=("exit code", "restarts", "up for", "pid", "port"),
    )  # fmt: skip
    for state in states:
        service = SERVICES.get(state.name)
        shown.add_row(
            state.name,
            state.verdict,
            state.status,
            ""
            if state.status in ("Running", "Broken", "Disabled", "Pending")
            else str(state.exit_code),
            str(state.restarts),
            str(timedelta(seconds=int(state.age))) if state.pid else "",
            str(state.pid or ""),
            str(settings().port(service.port)) if service and service.port else "",
        )
    out.print(shown)
    for state in states:
        if state.why:
            out.print(f"{state.name}: {state.why}", markup=False, soft_wrap=True)


@app.command(rich_help_panel=PANEL)
def logs(
    name: Annotated[str, typer.Argument(help="A process, as in `loc status`.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the log until Ctrl-C.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Number of lines.", min=0)] = 100,
) -> None:
    """Show the end of a process's log, also when the stack is down."""
    from proto_loc.compose import stack

    path = stack.log(name)
    if not path.exists() and not follow:
        typer.echo(f"{name} has written nothing yet; its log will be {path}.", err=True)
        return
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(path)]
    if not sys.stdout.isatty():
        os.execvp("tail", command)
    # A log may contain control characters from a file or a request.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as tail:
        for line in tail.stdout:
            typer.echo(plain(line), nl=False)


@app.command(rich_help_panel=PANEL)
def urls(json: AsJson = False) -> None:
    """Print the links to all pages. Each link contains a secret: do not share it."""
    from proto_loc import services

    if json:
        from json import dumps

        print(dumps(services.urls(), indent=2))
        return
    print("\n".join(services.lines()))


@app.command("exec", rich_help_panel=PANEL)
def exec_(
    name: Annotated[str, typer.Argument(help="A service of proto_loc/services/__init__.py.")],
) -> None:
    """Run one service in the foreground, as the supervisor does, with its own secret.

    It ends with the process that started it, and so do its children.
    """
    from proto_loc.settings import ROOT

    os.execv(Path(ROOT, "loc"), ["loc", "exec", name])
