"""Output of commands: tables on stdout, progress and notes on stderr."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from proto_loc import logs
from proto_loc.errors import plain


class Plain(Console):
    """A console that escapes control characters in text from files and programs."""

    def render_str(self, text: str, **options) -> Text:
        """Escape strings before the layout, so that columns stay aligned."""
        return super().render_str(plain(text), **options)

    def render(self, renderable, options=None) -> Iterator[Segment]:
        """Escape everything else: log lines, progress bars, markup."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)


# Without a terminal rich assumes 80 columns and folds tables that a log or a pipe has room for.
out = Plain(width=None if Console().is_terminal else 140, highlight=False)
err = Plain(stderr=True, highlight=False)


def show_log() -> None:
    """Show the warehouse's log on stderr, such as the process that a writer waits for."""
    if logs.wants_json():
        logs.install()
        return
    handler = RichHandler(console=err, show_time=False, show_path=False, show_level=False)
    logger = logging.getLogger("proto_loc")
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    logger.propagate = False


def table(title: str, *columns: str, numbers: tuple[str, ...] = ()) -> Table:
    """An empty table; the columns in ``numbers`` are aligned to the right."""
    made = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return made


@contextmanager
def progress() -> Iterator[Callable[[str, str, int, int], None]]:
    """Yield a function that reports progress, called with (step, what, done, total).

    It draws bars on a terminal; elsewhere it prints a line when a step ends.
    """
    if not err.is_terminal:
        yield _plain
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[step]:<6}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=err, transient=True) as bars:
        tasks = {}

        def update(step: str, what: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(escape(what), step=step, total=total)
            bars.update(tasks[step], description=escape(what), completed=done, total=total)

        yield update


def _plain(step: str, what: str, done: int, total: int) -> None:
    if done == total:
        err.print(f"{step}: {done} of {total}")
