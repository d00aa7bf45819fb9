"""``loc notify``: tests the channels of notices, and looks for incidents once."""

from typing import Annotated

import typer

NAME, PANEL = "notify", "Services"
app = typer.Typer(
    help="Notices of failed runs, stale data and dead services, by webhook and mail.",
    no_args_is_help=True,
)


@app.command(epilog="Examples: loc notify test    loc notify test team")
def test(
    name: Annotated[str, typer.Argument(help="A channel of fork.toml; default all.")] = "",
) -> None:
    """Send a test notice to the channels now; the exit code is 1 if one does not take it."""
    from proto_loc import fork_file
    from proto_loc.errors import LocError, UsageError
    from proto_loc.monitoring import watch
    from proto_loc.notify import delivery

    fork = fork_file.read()
    channels = [channel for channel in fork.channels if name in ("", channel.name)]
    if not channels:
        names = ", ".join(channel.name for channel in fork.channels)
        raise UsageError(
            f"fork.toml has no channel {name}." if name else "fork.toml has no channel.",
            f"It has: {names}." if names else "",
            "Add a line to [notify]: docs/monitoring.md has examples.",
        )
    failed = False
    for channel in channels:
        try:
            delivery.send(channel, watch.greeting(fork.name))
        except LocError as error:
            failed = True
            typer.echo(error.said(), err=True)
        else:
            print(f"{channel.name} ({channel.kind}) took a test notice.")
    raise typer.Exit(int(failed))


@app.command()
def check() -> None:
    """Look for incidents once, and deliver what waits; the home page's process does so, too.

    The exit code is 3 if a channel is dead. Nothing is sent twice: what is open is in
    .run/notify/state.json.
    """
    from proto_loc.home.commands import DEAD_CHANNEL
    from proto_loc.monitoring import watch

    done = watch.watch()
    for word, incidents in (("new", done.opened), ("recovered", done.recovered)):
        for incident in incidents:
            print(f"{word}: {incident.what}")
    dead = [name for name, box in done.outbox.boxes.items() if box.is_dead]
    for name in dead:
        typer.echo(f"The channel {name} takes no notices: {done.outbox.boxes[name].why}", err=True)
    raise typer.Exit(DEAD_CHANNEL if dead else 0)
