"""IPython extension: SQL cells on the published data, and errors in plain sentences.

The kernels of the service load it by themselves; elsewhere use ``%load_ext
proto_loc.jupyter.kernel_extension``. The first ``%%sql`` connects to the newest ``prod``;
``%reload_ext proto_loc.jupyter.kernel_extension`` connects to a newer version. Altair's charts are
drawn without the network. Only the standard library is imported at first, to keep the start of a
kernel fast.
"""

import os
import re
import sys
import traceback

from proto_loc import dotenv
from proto_loc.errors import LocError
from proto_loc.jupyter import interrupts

WRITES = re.compile(
    "attached in read-only mode"
    "|Access Denied: Cannot (create|insert|update|delete|drop|rename|add|alter|truncate|comment)"
)
"""The errors of DuckDB and Trino for a write to what is published."""


class ReadOnly(LocError):
    """A statement tried to change a published version; nothing was changed."""

    def __init__(self, *_: str) -> None:
        super().__init__(
            "Published data cannot be changed from here.",
            "A version is immutable, because others read it too.",
            "Write to a database of your own: con = warehouse.scratch(), then warehouse.keep(con,"
            " 'mine', 'select ...'), and %sql con for SQL cells. To add a table to prod, add a"
            " model to dbt/.",
        )


def load_ipython_extension(shell) -> None:
    """Set up the shell; IPython calls this."""
    dotenv.load()  # the service has loaded it, but an editor or nbconvert has not
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
    """Make the placeholder for ``%sql``, which loads JupySQL at its first use."""

    def sql(line: str, cell: str | None = None):
        from IPython.utils.capture import capture_output

        from proto_loc import warehouse

        fresh = warehouse.read("prod")  # first, so that the next use tries again if it fails
        os.environ.setdefault("PLOOMBER_STATS_ENABLED", "false")  # JupySQL's telemetry
        with capture_output():  # JupySQL recommends another package
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
    """Make SQL cells use this connection, and close the previous one."""
    from sql.connection import ConnectionManager

    if "prod" in ConnectionManager.connections:
        ConnectionManager.close_connection_with_descriptor("prod")
    ConnectionManager.set(fresh, displaycon=False, alias="prod")


def _drawn(chart, include=None, exclude=None):
    """Draw an Altair chart as PNG; Altair's default loads scripts from the internet."""
    import altair

    if altair.renderers.active == "default":
        altair.renderers.enable("png", ppi=144)  # an SVG's text is cut in the browser's fonts
    return chart._repr_mimebundle_(include, exclude)


def _shown(shell, kind, error, trace, tb_offset=None) -> None:
    """Show an error in sentences, or else with IPython's traceback."""
    plain = next((cause for cause in _causes(error) if isinstance(cause, LocError)), None)
    if any(WRITES.search(str(cause)) for cause in _causes(error)):
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
        # A Python traceback does not help with a fault in SQL.
        shell._showtraceback(kind, error, str(error).splitlines())
    else:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


def _is_stop(error: BaseException) -> bool:
    """Whether an error is one of DuckDB's two errors for an interrupted query."""
    return type(error).__name__ == "InterruptException" or str(error) == "Query interrupted"


def _causes(error: BaseException | None):
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
