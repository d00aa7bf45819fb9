"""``loc test``: runs the suites under ``tests/``."""

import itertools
import os
import subprocess
import sys
from typing import Annotated

import typer

from proto_loc.errors import UsageError
from proto_loc.settings import ROOT

app = typer.Typer()


def suites() -> list[str]:
    """The names of the suites: the folders of tests/ with a test file."""
    tests = ROOT / "tests"
    return sorted({path.relative_to(tests).parts[0] for path in tests.glob("*/**/test_*.py")})


@app.command(
    rich_help_panel="Set-up", epilog="Examples: ./loc test unit    ./loc test unit -- -k lock -x"
)
def test(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SUITE", help="Folders of tests/, default all; options of pytest after --."
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also run the slow tests, which take about an hour more."),
    ] = False,
) -> None:
    """Run the tests as CI does, and list each skipped test with its reason."""
    names = list(
        itertools.takewhile(
            lambda word: not word.startswith("-") and "/" not in word, arguments or []
        )
    )
    if unknown := [name for name in names if name not in suites()]:
        raise UsageError(
            f"There is no test suite {unknown[0]!r}.", "", f"Choose from: {', '.join(suites())}."
        )
    options = (arguments or [])[len(names) :]
    command = [sys.executable, "-m", "pytest", "-n", "auto", "--dist", "loadgroup"]
    command += ["--no-loadscope-reorder", *(["--all"] if everything else []), *options]
    # Without bytecode files, each of the many processes compiles every module that it imports.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    folders = [f"tests/{name}" for name in names]
    raise typer.Exit(subprocess.run(command + folders, cwd=ROOT, env=environment).returncode)
