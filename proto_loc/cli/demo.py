"""``loc demo remove``: takes the demonstration away, so that an empty platform remains."""

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer

app = typer.Typer(no_args_is_help=True, help="Take the demonstration away.")
NAME, PANEL = "demo", "Fork"

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without a question.")]
Changed = Annotated[
    Literal["ask", "keep", "remove"],
    typer.Option(help="What becomes of files of the demonstration that you have changed."),
]
Base = Annotated[
    str,
    typer.Option(metavar="COMMIT", help="The commit that the platform came with, if you know."),
]


@app.callback()
def _group() -> None:
    """Take the demonstration away."""


@app.command()
def remove(
    yes: Yes = False,
    changed: Changed = "ask",
    base: Base = "",
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
    _show(planned, changed)
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
        _show_broken(planned, keep, keep)
    check(planned.gone(keep))
    _remove(planned, keep)


def _remove(planned, keep: tuple[str, ...]) -> None:
    from proto_loc.cli import _console, _generated_files
    from proto_loc.dbt import parse
    from proto_loc.fork import removal, start
    from proto_loc.metrics.read import read
    from proto_loc.settings import ROOT

    with _time_spine(set(planned.gone(keep))) as spine:
        written = [*spine, *removal.remove(planned, keep)]
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


@contextmanager
def _time_spine(gone: set[str]) -> Iterator[list[str]]:
    """Write a time spine if the one that goes is the last, and metrics stay.

    Yields the names of its files, which do not outlive an exception.
    """
    from proto_loc import files
    from proto_loc.scaffold.models import time_spine
    from proto_loc.settings import ROOT

    pages = [*(ROOT / "dbt/models").rglob("*.yml"), *(ROOT / "dbt/models").rglob("*.yaml")]
    texts = [page.read_text() for page in pages if str(page.relative_to(ROOT)) not in gone]
    has_metrics = any("semantic_model" in text for text in texts)
    made = time_spine() if has_metrics and not any("time_spine:" in text for text in texts) else {}
    for name, text in made.items():
        files.replace(ROOT / name, text)
    try:
        yield list(made)
    except BaseException:
        for name in made:
            (ROOT / name).unlink()
        raise


def _show(planned, changed: str) -> None:
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
