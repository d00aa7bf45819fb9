"""``loc fork merge``: takes a later version of the platform into a fork."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Keep a fork up to date.")
NAME, PANEL = "fork", "Fork"


@app.callback()
def _group() -> None:
    """Keep a fork up to date."""


@app.command()
def merge(
    commit: Annotated[
        str,
        typer.Argument(metavar="[COMMIT]", help="A branch, tag or commit; default upstream/main."),
    ] = "",
) -> None:
    """Merge a later version of the platform, and commit it.

    What the demonstration has upstream does not come back into a fork that removed it, and a file
    that the fork deleted stays deleted. If you and the platform changed the same lines, the merge
    waits: resolve them, `git add`, and run it again.

    Examples: git fetch upstream && loc fork merge, loc fork merge v2.0.0
    """
    from proto_loc.fork import merge as merging

    merged = merging.merge(commit)
    if not merged.commit:
        print("This fork has that version already.")
        return
    for path in merged.kept_out:
        print(f"not brought back: {path}")
    for path in merged.kept:
        print(f"stays as it is here: {path}")
    print(f"Merged {merged.commit[:9]}. Next: ./loc up -d, and ./loc test")
