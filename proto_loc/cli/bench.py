"""``loc bench``: runs the benchmarks, which are a program of their own."""

import os
import subprocess
import sys

import typer

from proto_loc.settings import ROOT

app = typer.Typer()


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog=(
        "Examples: ./loc bench    ./loc bench --quick    ./loc bench pipeline --rows 1000000"
        "    ./loc bench --help"
    ),
)
def bench(context: typer.Context) -> None:
    """Measure the platform against floors taken in the same run; your data is not touched.

    All benchmarks run into one table, for about 15 minutes; or one of them, by its name. See
    docs/performance.md.
    """
    command = [sys.executable, "-P", "-m", "benchmarks", *context.args]
    raise typer.Exit(subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode)
