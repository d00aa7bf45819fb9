"""``loc demo remove``: takes the demonstration away, so that an empty platform remains."""

import sys
from collections import Counter
from collections.abc import Callable, Collection
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
    base: Annotated[
        str,
        typer.Option(metavar="COMMIT", help="The commit that the platform came with, if you know."),
    ] = "",
) -> None:
    """Remove the demonstration's files, retire its loads, and publish without its tables.

    The command lists what goes, and asks. It compares with the commit that the platform came with:
    files of your own stay, and files of the demonstration that you have changed are named and asked
    for. All of them stay in git's history; files in data/landing/ stay where they are.

    Examples: loc demo remove, loc demo remove --yes --changed keep
    """
    from proto_loc import fork_file

    take_away(yes=yes, changed=changed, base=base)
    print("Keep that: git add --all && git commit -m 'Start empty'")
    print("Services that run show it after: ./loc down && ./loc up -d")
    if hint := fork_file.first_step():
        print(hint)


def take_away(
    *,
    yes: bool,
    changed: str,
    base: str = "",
    check: Callable[[Collection[str]], None] = lambda gone: None,
) -> None:
    """Show what goes, ask, and remove it.

    Args:
        base: the name of the commit that the platform came with, if a person says it.
        check: is called with the files that go before anything is removed, and may refuse.

    Raises:
        UsageError: it is gone already, or there is nobody to ask; nothing was removed.
    """
    from proto_loc.errors import UsageError
    from proto_loc.fork import removal

    removal.check_present()
    planned = removal.plan(base=base)
    _show(planned)
    interactive = sys.stdin.isatty() and sys.stderr.isatty()
    if planned.pushed and (yes or not interactive):
        first, last = planned.pushed[0][:9], planned.pushed[-1][:9]
        raise UsageError(
            f"{len(planned.pushed)} commits on origin may be yours, and would count as the"
            " platform's.",
            f"{first} is the first, and its author has never changed proto_loc/.",
            f"If they are yours, say --base {first}~, else --base {last}. Nothing was removed.",
        )
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
    check(planned.gone(keep))
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


def _show(planned) -> None:
    names = Counter("/".join(name.split("/")[:2]) for name in planned.files)
    print(f"Compared with {planned.base}.")
    for commit in planned.pushed:
        print(f"counts as the platform's: {commit[:9]} on origin; if it is yours, use --base")
    for place, count in sorted(names.items()):
        print(f"goes: {place}{f' ({count} files)' if count > 1 else ''}")
    for name in planned.changed:
        print(f"changed by you: {name}")
    for name in planned.own:
        print(f"yours, stays: {name}")
    if loads := planned.loads():
        rows = sum(load.rows for load in loads)
        print(f"retired: {len(loads)} loads of {', '.join(planned.sources)}, {rows:,} rows")
    if files := planned.landing():
        print(f"stays in data/landing/: {', '.join(files)}; move away what no other source is for")
