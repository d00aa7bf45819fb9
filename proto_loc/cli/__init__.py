"""The command line: each module of this package that defines ``app`` adds its commands.

The commands form a group if the module defines ``NAME`` (under the heading ``PANEL``); else they
are at the top level. Every start imports every module, so commands import heavy packages (duckdb,
dagster, pytest) inside their functions.
"""

import importlib
import os
import pkgutil
import sys
import tomllib
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from proto_loc import dotenv, run_id
from proto_loc.errors import LocError, UsageError, of_file, of_source, plain
from proto_loc.settings import ROOT, spare_loopback

EPILOG = """
[bold]Two commands to start with[/bold]

./loc up -d     the services, with data loaded, built, audited, published

./loc test      the proof that it works

Every command explains itself: ./loc load --help
"""

cli = typer.Typer(
    name="loc",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(requested: bool) -> None:
    if requested:
        print(
            "proto_loc", tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        )
        raise typer.Exit


@cli.callback()
def _root(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a failure.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """A local analytics platform: Dagster, dbt, DuckDB, Superset, Cube and JupyterLab."""
    half_restored = Path(os.environ.get("LOC_DATA") or ROOT / "data") / "backup/restore.json"
    if os.path.exists(half_restored) and context.invoked_subcommand not in ("restore", "down"):
        from proto_loc.backup import workspace

        if error := workspace.pending():
            raise error
    socket = Path(os.environ.get("LOC_RUN") or ROOT / ".run") / "process-compose.sock"
    if os.path.exists(socket):  # pathlib's raises if the folder is closed to this user
        from proto_loc.services import ports

        with suppress(UsageError):  # the command reports it
            ports.follow()


def command():
    """The complete command tree as a click command."""
    if not cli.registered_groups:
        for module_info in pkgutil.iter_modules(__path__):
            if not module_info.name.startswith("_"):
                module = importlib.import_module(f"{__name__}.{module_info.name}")
                if hasattr(module, "app"):
                    options = {"rich_help_panel": module.PANEL} if hasattr(module, "PANEL") else {}
                    cli.add_typer(module.app, name=getattr(module, "NAME", None), **options)
    return typer.main.get_command(cli)


def _report(error: Exception) -> int:
    """Print a failure in plain sentences on stderr, and return its exit code."""
    error = of_source(error) or error if not isinstance(error, LocError) else error
    if isinstance(error, LocError):
        print(error.said(), file=sys.stderr)
        return error.exit_code
    if isinstance(error, OSError) and error.filename and error.strerror:
        reason = of_file(error)
        tail = ", then run it again; ./loc --debug ... shows the traceback."
        print(LocError(reason.what, reason.why, reason.fix + tail).said(), file=sys.stderr)
        return 1
    print(
        plain(f"error: {type(error).__name__}: {error}").rstrip(": "),
        "why: This is a defect of proto_loc, not of what you did.",
        "fix: Run it again with --debug (./loc --debug ...) and report the traceback as an issue of"
        " this repository.",
        sep="\n",
        file=sys.stderr,
    )
    return 1


def main(arguments: list[str] | None = None, *, tree=None, name: str = "loc") -> int:
    """Run the command line and return its exit code; an exception becomes a message on stderr.

    Args:
        tree: the command tree of another program, instead of this one's.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        try:
            dotenv.load()
        except UsageError:
            named = next((word for word in arguments if not word.startswith("-")), "")
            if named != "doctor":  # which reports it beside everything else
                raise
        spare_loopback(os.environ)
        if not run_id.current():
            run_id.join(run_id.new())
        (tree or command())(arguments, prog_name=name)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:
        if "--debug" in arguments:
            print(plain(traceback.format_exc()), file=sys.stderr)
        code = _report(error)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
