"""The command line as a whole: help everywhere, failures in plain sentences, and a quick start."""

import subprocess
import sys

import pytest
import typer

from proto_loc import cli, warehouse
from proto_loc.errors import LocError, UsageError

HEAVY = ("dagster", "dbt", "duckdb", "pandas", "psutil", "pytest", "sqlalchemy", "starlette", "httpx", "yaml")


def walk(command, path=()):
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


COMMANDS = dict(walk(cli.command()))


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "loc")
def test_everything_has_help(path, capsys):
    command = COMMANDS[path]
    assert command.help, "the command has no help"
    assert [p.name for p in command.params if not getattr(p, "help", "") and p.name != "help"] == []
    assert cli.main([*path, "--help"]) == 0
    assert "Usage: loc" in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    code = f"import sys; from proto_loc.cli import main; main(['--help']); print(set({HEAVY}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.fixture
def failing(monkeypatch):
    """Makes the command line one that fails with the given exception."""

    def give(error):
        app = typer.Typer(pretty_exceptions_enable=False)
        app.callback()(cli._root)

        @app.command()
        def fail():
            raise error

        monkeypatch.setattr(cli, "command", lambda: typer.main.get_command(app))

    return give


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (LocError("It broke.", "Rust.", "Mend it."), 1, "error: It broke.\nwhy: Rust.\nfix: Mend it.\n"),
        (UsageError("Wrong.", "", "Do it right."), 2, "error: Wrong.\nfix: Do it right.\n"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Exit(3), 3, ""),
    ],
)
def test_failures_are_plain(failing, capsys, error, code, said):
    failing(error)
    assert cli.main(["fail"]) == code
    assert capsys.readouterr().err == said


def test_defect_is_one_line_unless_debug(failing, capsys):
    failing(ZeroDivisionError("division by zero"))
    assert cli.main(["fail"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ZeroDivisionError: division by zero\n")
    assert "--debug" in said and "Traceback" not in said
    assert cli.main(["--debug", "fail"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["nosuch"], ["--nosuch"], ["test", "nosuch"], ["setup", "nosuch"]])
def test_wrong_usage(arguments, capsys):
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert "nosuch" in said and "Traceback" not in said


def test_closed_pipe_is_silent():
    command = f"'{sys.executable}' -m proto_loc.cli --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""


def test_list_shows_what_it_can_where_one_database_is_damaged(data, capsys):
    for database in ("raw", "prod"):
        warehouse.ensure(database)
    manifest = warehouse.current("raw").folder / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("{")
    assert cli.main(["db", "list"]) == 1
    said = capsys.readouterr()
    assert "damaged" in said.out and "set-up" in said.out
    assert "manifest.json is missing or damaged" in said.err


def test_options_of_the_sample_are_refused_with_files(data, tmp_path, capsys):
    assert cli.main(["load", str(tmp_path / "a.csv"), "--rows", "10"]) == 2
    assert "--rows and --seed are of the sample" in capsys.readouterr().err
