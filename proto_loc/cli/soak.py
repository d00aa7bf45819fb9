"""``loc soak``: readers query while versions are published, for as long as one likes."""

import signal
import threading
from typing import Annotated

import typer

app = typer.Typer()


@app.command(rich_help_panel="Services")
def soak(
    hours: Annotated[
        float, typer.Option(help="Hours under load, of all runs of this soak together.", min=0)
    ] = 0,
    minutes: Annotated[float, typer.Option(help="Minutes in addition to the hours.", min=0)] = 0,
    readers: Annotated[int, typer.Option(help="Readers at a time.", min=1, max=200)] = 20,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Publish nothing meanwhile.")
    ] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Begin another soak, even if the last one is unfinished.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Let readers query while versions are published; the exit code is 1 if anything went wrong.

    People in Superset with accounts of their own, clients of Cube, notebooks and `loc query` ask
    for metrics, while Dagster publishes one version after the other. Every answer must be that of a
    published version. Memory, open files, threads, disk and latencies are fitted over time, and
    what grows steadily is called a leak. A soak that is stopped goes on with the next command until
    it has its hours. Services that are not up are started, and stopped at the end.

    Examples: loc soak --minutes 5, loc soak --hours 24
    """
    from proto_loc.cli._console import err, out
    from proto_loc.compose import stack
    from proto_loc.compose.client import Client
    from proto_loc.errors import UsageError
    from proto_loc.soak import soaking

    total = hours + minutes / 60
    if not total:
        raise UsageError("A soak needs a time.", "", "Give it, such as --minutes 5 or --hours 24.")
    with Client() as client:
        was_up = client.alive()
    stops: list[threading.Event] = []

    def stop(*_: object) -> None:
        if not stops:
            raise KeyboardInterrupt
        err.print("Stopping; the time so far counts.")
        stops[0].set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        this, fitted = soaking.soak(
            total,
            number=readers,
            publish=not read_only,
            new=new,
            say=lambda text: err.print(text, markup=False, soft_wrap=True),
            begun=stops.append,
        )
        page = soaking.write(this, fitted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if not was_up:
            stack.down()
    if json:
        from json import dumps

        print(dumps(soaking.content(this, fitted) | {"report": page}, indent=2))
    else:
        out.print(soaking.page(this, fitted), markup=False, soft_wrap=True)
        out.print(f"Report: {page}", markup=False, soft_wrap=True)
    raise typer.Exit(int(not soaking.passed(this, fitted)))
