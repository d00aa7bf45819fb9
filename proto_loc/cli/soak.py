"""``loc soak``: readers query while versions are published, for as long as one likes."""

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
    write_docs: Annotated[
        bool,
        typer.Option(
            "--write-docs",
            help="Also write the report into docs/soak.md; without a time, that of the last soak.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Let readers query while versions are published; the exit code is 1 if anything went wrong.

    People in Superset with accounts of their own, clients of Cube, notebooks and `loc query` ask
    for metrics, while Dagster publishes one version after the other. Every answer must be that of a
    published version. Memory, open files, threads, disk and latencies are fitted over time, and
    what grows steadily is called a leak. A soak that is stopped goes on with the next command until
    it has its hours; a second Ctrl-C does not wait for queries and publishes in flight. Services
    that are not up are started, and stopped at the end.

    Examples: loc soak --minutes 5, loc soak --hours 24
    """
    from proto_loc.cli._console import err, out
    from proto_loc.compose import stack
    from proto_loc.compose.client import Client
    from proto_loc.errors import UsageError
    from proto_loc.soak import soaking, stopping

    def say(text: str) -> None:
        err.print(text, markup=False, soft_wrap=True)

    total = hours + minutes / 60
    if write_docs:
        soaking.check_docs()  # before hours of work
    if write_docs and not total:
        this, fitted = soaking.last()
        page = soaking.write(this, fitted)
    elif not total:
        raise UsageError("A soak needs a time.", "", "Give it, such as --minutes 5 or --hours 24.")
    else:
        with Client() as client:
            was_up = client.alive()
        try:
            with stopping.on_signals(say) as begun:
                this, fitted = soaking.soak(
                    total,
                    number=readers,
                    publish=not read_only,
                    new=new,
                    say=say,
                    begun=begun,
                )
                page = soaking.write(this, fitted)
        finally:
            if not was_up:
                stack.down()
    if json:
        from json import dumps

        print(dumps(soaking.content(this, fitted) | {"report": page}, indent=2))
    else:
        out.print(soaking.page(this, fitted), markup=False, soft_wrap=True)
        out.print(f"Report: {page}", markup=False, soft_wrap=True)
    if write_docs:
        soaking.write_docs(this, fitted)
        say("docs/soak.md has this report now.")
    raise typer.Exit(int(not soaking.passed(this, fitted)))
