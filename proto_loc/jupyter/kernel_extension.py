"""What a kernel of ``notebooks/`` brings: SQL cells on the published data, and failures in plain
sentences.

An IPython extension. The kernel of the service loads it by itself; elsewhere ``%load_ext
proto_loc.jupyter.kernel_extension`` does. ``%%sql`` connects to the newest ``prod`` at its first
use; ``%reload_ext proto_loc.jupyter.kernel_extension`` connects anew. Altair's charts need no
network. Only the standard library is imported before any of that: every start of a kernel pays.
"""

import os
import sys
import traceback

from proto_loc import dotenv
from proto_loc.errors import LocError
from proto_loc.jupyter import interrupts

WRITES = "attached in read-only mode"
"""What DuckDB says of a write to a published file."""


class ReadOnly(LocError):
    """A statement would change a published version; nothing was changed."""

    def __init__(self, *_: str) -> None:
        super().__init__(
            "Published data cannot be changed from here.",
            "Every version is immutable, for all who read it.",
            "Write to a database of your own, which has prod attached: con = warehouse.scratch(),"
            " and %sql con for SQL cells. What belongs in prod for good is a model of dbt/.",
        )


def load_ipython_extension(shell) -> None:
    """Called by IPython."""
    dotenv.load()  # the service has done so; an editor or nbconvert has not
    if "sql.magic" in sys.modules:  # %reload_ext
        from proto_loc import warehouse

        _connect(warehouse.read("prod"))
    else:
        shell.register_magic_function(_first_sql(shell), "line_cell", "sql")
    shell.events.register("pre_execute", interrupts.install)
    shell.set_custom_exc((Exception,), _shown)
    shell.display_formatter.mimebundle_formatter.for_type_by_name(
        "altair.vegalite.v6.api", "TopLevelMixin", _drawn
    )


def _first_sql(shell):
    """``%sql`` until its first use, which brings the real one."""

    def sql(line: str, cell: str | None = None):
        from IPython.utils.capture import capture_output

        from proto_loc import warehouse

        fresh = warehouse.read("prod")  # first: where it fails, the next use begins anew
        os.environ.setdefault("PLOOMBER_STATS_ENABLED", "false")  # it would report its use
        with capture_output():  # it says what it would read if it had another package
            shell.run_line_magic("load_ext", "sql")
        settings = shell.find_line_magic("config")
        for setting in ("displaycon = False", "feedback = 0"):
            settings(f"SqlMagic.{setting}")
        _connect(fresh)
        return (
            shell.run_line_magic("sql", line)
            if cell is None
            else shell.run_cell_magic("sql", line, cell)
        )

    return sql


def _connect(fresh) -> None:
    """Point SQL cells at this connection to what is newest now; what was open is closed."""
    from sql.connection import ConnectionManager

    if "prod" in ConnectionManager.connections:
        ConnectionManager.close_connection_with_descriptor("prod")
    ConnectionManager.set(fresh, displaycon=False, alias="prod")


def _drawn(chart, include=None, exclude=None):
    """An Altair chart, drawn here: its own default is a page that loads its programs from the
    internet.
    """
    import altair

    if altair.renderers.active == "default":
        altair.renderers.enable("png", ppi=144)  # SVG would be set in the browser's fonts, and cut
    return chart._repr_mimebundle_(include, exclude)


def _shown(shell, kind, error, trace, tb_offset=None) -> None:
    """Show an error as IPython does, or, where a person can act on a sentence, as that."""
    plain = next((cause for cause in _causes(error) if isinstance(cause, LocError)), None)
    if plain is None and any(WRITES in str(cause) for cause in _causes(error)):
        plain = ReadOnly()
    if any(_is_stop(cause) for cause in _causes(error)):
        shell._showtraceback(
            KeyboardInterrupt, KeyboardInterrupt(), ["KeyboardInterrupt: the query was stopped"]
        )
    elif plain is not None:
        shell._showtraceback(type(plain), plain, plain.said().splitlines())
    elif any(
        frame.f_code.co_filename.endswith("/sql/magic.py") for frame, _ in traceback.walk_tb(trace)
    ):
        shell._showtraceback(
            kind, error, str(error).splitlines()
        )  # who writes SQL is helped by no Python
    else:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


def _is_stop(error: BaseException) -> bool:
    """Whether this is how DuckDB says that a query was interrupted: of the two, the one that
    came first.
    """
    return type(error).__name__ == "InterruptException" or str(error) == "Query interrupted"


def _causes(error: BaseException | None):
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
