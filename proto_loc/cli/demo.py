"""``loc demo remove``: takes the demonstration away, so that an empty platform remains."""

import sys
from collections import Counter
from typing import Annotated, Literal

import typer

app = typer.Typer(no_args_is_help=True, help="Take the demonstration away.")
NAME, PANEL = "demo", "Fork"


@app.callback()
def _group() -> None:
    """Take the demonstration away."""


@app.command()
def remove(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without a question.")] = False,
    changed: Annotated[
        Literal["ask", "keep", "remove"],
        typer.Option(help="What becomes of files of the demonstration that you have changed."),
    ] = "ask",
) -> None:
    """Remove the demonstration's files, retire its loads, and publish without its tables.

    The command lists what goes, and asks. It compares with the commit that the platform came with:
    files of your own stay, and files of the demonstration that you have changed are named and asked
    for. All of them stay in git's history; files in data/landing/ stay where they are.

    Examples: loc demo remove, loc demo remove --yes --changed keep
    """
    from proto_loc import fork_file

    take_away(yes=yes, changed=changed)
    print("Keep that: git add --all && git commit -m 'Start empty'")
    print("Services that run show it after: ./loc down && ./loc up -d")
    if hint := fork_file.first_step():
        print(hint)


def take_away(*, yes: bool, changed: str) -> None:
    """Show what goes, ask, and remove it.

    Raises:
        UsageError: it is gone already, or there is nobody to ask; nothing was removed.
    """
    from proto_loc.errors import UsageError
    from proto_loc.fork import removal

    removal.check_present()
    planned = removal.plan()
    _show(planned, changed)
    interactive = sys.stdin.isatty() and sys.stderr.isatty()
    if planned.changed and changed == "ask" and (yes or not interactive):
        raise UsageError(
            f"{len(planned.changed)} files of the demonstration have been changed here.",
            f"They are {', '.join(planned.changed)}.",
            "Say what becomes of them: --changed keep, or --changed remove. Nothing was removed.",
        )
    if not yes and not interactive:
        raise UsageError(
            "Nothing was removed.", "There is no terminal to ask at.", "Say --yes to remove it."
        )
    if not yes:
        typer.confirm("Remove the demonstration?", abort=True, err=True)
    keep = planned.changed if changed == "keep" else ()
    if changed == "ask":
        keep = tuple(
            name
            for name in planned.changed
            if not typer.confirm(f"You have changed {name}. Remove it too?", err=True)
        )
        _show_broken(planned, keep, keep)
    _remove(planned, keep)


def _remove(planned, keep: tuple[str, ...]) -> None:
    from proto_loc.cli import _console, _generated_files
    from proto_loc.dbt import parse
    from proto_loc.fork import removal, start
    from proto_loc.metrics.read import read
    from proto_loc.settings import ROOT

    written = removal.remove(planned, keep)
    written += _generated_files.write(ROOT, read(parse.manifest()))
    for line in written:
        print(f"written: {line}")
    with _console.progress() as report:
        tables = removal.retire(planned, who="loc demo remove", report=report)
    if tables:
        print(f"prod no longer has {', '.join(tables)}; `./loc db rollback` brings it back")
    removal.finish()
    start.name_project()
    print("The demonstration is gone.")


def _show(planned, changed: str) -> None:
    names = Counter("/".join(name.split("/")[:2]) for name in planned.files)
    print(f"Compared with {planned.base}.")
    for place, count in sorted(names.items()):
        print(f"goes: {place}{f' ({count} files)' if count > 1 else ''}")
    for name in planned.changed:
        print(f"changed by you: {name}")
    for name in planned.own:
        print(f"yours, stays: {name}")
    kept = planned.changed if changed == "keep" else ()
    _show_broken(planned, kept, (*planned.own, *kept))
    if loads := planned.loads():
        rows = sum(load.rows for load in loads)
        print(f"retired: {len(loads)} loads of {', '.join(planned.sources)}, {rows:,} rows")
    if files := planned.landing():
        print(f"stays in data/landing/: {', '.join(files)}; move away what no other source is for")


def _show_broken(planned, keep: tuple[str, ...], names: tuple[str, ...]) -> None:
    from proto_loc.fork import removal

    for name, other in removal.broken(planned, keep).items():
        if name in names:
            print(f"stays, but will not work: {name} uses {other}, which goes")
