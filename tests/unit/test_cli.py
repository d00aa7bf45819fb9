"""Tests of the command line: help of every command, error messages, quick start."""

import os
import pty
import subprocess
import sys
from datetime import datetime

import pytest
import typer

import benchmarks.__main__
from proto_loc import cli, errors, warehouse
from proto_loc.cli import pipeline
from proto_loc.errors import LocError, UsageError
from proto_loc.refresh import job
from proto_loc.warehouse import lake

HEAVY = (
    "dagster",
    "dbt",
    "duckdb",
    "pandas",
    "psutil",
    "pytest",
    "sqlalchemy",
    "starlette",
    "httpx",
    "yaml",
)


def walk(command, path=()):
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


COMMANDS = dict(walk(cli.command())) | dict(
    walk(typer.main.get_command(benchmarks.__main__.app), ("bench",))
)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "loc")
def test_everything_has_help(path, capfd):
    command = COMMANDS[path]
    assert command.help, "the command has no help"
    assert [p.name for p in command.params if not getattr(p, "help", "") and p.name != "help"] == []
    assert cli.main([*path, "--help"]) == 0
    assert "Usage: loc" in capfd.readouterr().out


def test_help_imports_nothing_heavy():
    code = (
        f"import sys; from proto_loc.cli import main; main(['--help']); print(set({HEAVY}) &"
        " set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.fixture
def failing(monkeypatch):
    """Makes the command line raise the given exception."""

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
        (
            LocError("It broke.", "Rust.", "Mend it."),
            1,
            "error: It broke.\nwhy: Rust.\nfix: Mend it.\n",
        ),
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


@pytest.mark.parametrize(
    "arguments", [["nosuch"], ["--nosuch"], ["test", "nosuch"], ["setup", "nosuch"]]
)
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
    assert "--rows and --seed are for the sample" in capsys.readouterr().err
    assert cli.main(["load", "sample", "--replace"]) == 2
    assert "--replace is for files" in capsys.readouterr().err


def test_a_load_without_verdicts_counts_neither_as_accepted_nor_as_rejected(data, capsys):
    """Fault: the last table showed 0 accepted and 0 rejected rows for such a load.

    Its rows also made the share of rejected rows smaller. A load of a table of rejects that has no
    row is left out.
    """
    loads = [
        lake.Load(
            n,
            "shop",
            name,
            "2025-02",
            "file",
            name,
            rows,
            1,
            f"{name}.csv",
            None,
            datetime(2025, 3, 1),
        )
        for n, name, rows in ((1, "orders", 100), (2, "stores", 900), (3, "orders_rejects", 0))
    ]
    with warehouse.write("prod", who="test") as session:
        session.facts = {"outcomes": {"1": {"accepted": 90, "no price": 10}}}
    pipeline._close(job.Refreshed(session.version, True, loads=loads))
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
    ]
    numbers = {row[0]: row[5:] for row in rows if len(row) == 8}
    assert numbers == {
        "orders.csv": ["100", "90", "10"],
        "stores.csv": ["900", "not audited", ""],
        "total": ["1,000", "90", "10"],
    }
    assert ["no price", "10", "10.00%"] in rows


HOSTILE = "a\x1b]0;mine\x07\x1b[2J\x9b31m\rb\u202ec\udcff"
SHOWN = r"a\x1b]0;mine\x07\x1b[2J\x9b31m\rb\u202ec\udcff"


def test_no_text_reaches_a_terminal_or_the_log_as_what_it_obeys(failing, capsys, tmp_path):
    """Fault: bytes of files, names and messages of other programs were printed raw.

    A terminal may obey such text, and clear the screen. The test covers an error, a defect, a
    table, the log, and the description of a progress bar.
    """
    for error in (LocError(HOSTILE, HOSTILE, HOSTILE), ValueError(HOSTILE)):
        failing(error)
        for options in ([], ["--debug"]):
            assert cli.main([*options, "fail"]) == 1
            said = capsys.readouterr().err
            assert SHOWN in said and said.replace("\n", "").isprintable()
    code = f"""
import logging
from proto_loc.cli import _console
hostile = {HOSTILE!r}
table = _console.table(hostile, "name")
table.add_row(hostile)
_console.show_log()
_console.out.print(table)
_console.out.print(hostile, markup=False)
logging.getLogger("proto_loc.x").warning("%s", hostile)
with _console.progress() as report:
    report(hostile, hostile, 1, 1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count(SHOWN) == 3 and done.stderr.count(r"\x1b[2J\x9b31m") == 2
    assert (done.stdout + done.stderr).replace("\n", "").isprintable()
    assert [len(line) for line in done.stdout.splitlines() if "│" in line] == [len(SHOWN) + 4], (
        "columns are aligned"
    )


def test_a_log_and_csv_are_plain_on_a_terminal_and_exact_in_a_pipe(data):
    path = data.parent / "run" / "logs" / "cube.log"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a\x1b[2Jb\n")
    write = (
        "import csv, sys; from proto_loc.errors import PlainWriter; "
        f"csv.writer(PlainWriter(sys.stdout)).writerow([{HOSTILE[:9]!r}])"
    )
    for command in (["-m", "proto_loc.cli", "logs", "cube"], ["-c", write]):
        exact = subprocess.run([sys.executable, *command], capture_output=True, check=True).stdout
        ours, theirs = pty.openpty()
        subprocess.run([sys.executable, *command], stdout=theirs, check=True)
        os.close(theirs)
        shown = os.read(ours, 1000)
        os.close(ours)
        assert b"\x1b" in exact and b"\x1b" not in shown and b"\\x1b" in shown


def test_a_fault_in_a_source_names_its_file_and_line(failing, capsys):
    """Fault: the message of an exception in a user's own loader was "a defect of proto_loc"."""
    loader = (
        errors.SOURCES / "shop" / "load.py"
    )  # only a name for the traceback: the file does not exist
    for text, said in (
        ("\n\nraise KeyError('price')", ("line 3: KeyError: 'price'", "")),
        ("\n{}[1]\n", ("line 2: KeyError: 1", "")),
        ("x = 1\ndef (", ("line 2: SyntaxError", "at `def (`")),
        ("import duckdb\nduckdb.sql('selec 1')", ("line 2: ParserException", "")),
        (
            "import nosuchmodule",
            ("line 1: ModuleNotFoundError: No module named 'nosuchmodule'", ""),
        ),
    ):
        with pytest.raises(Exception) as caught:
            exec(compile(text, str(loader), "exec"), {})
        failing(caught.value)
        assert cli.main(["fail"]) == 1
        shown = capsys.readouterr().err
        assert (
            shown.startswith(f"error: {loader}, {said[0]}")
            and said[1] in shown
            and "defect" not in shown
        )
        assert "Traceback" not in shown


def test_a_file_that_cannot_be_used_is_no_defect_of_ours(failing, capsys):
    """Bug: if the data folder was renamed or removed, the message was "a defect of proto_loc"."""
    failing(FileNotFoundError(2, "No such file or directory", "/gone/prod.duckdb"))
    assert cli.main(["fail"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "error: /gone/prod.duckdb cannot be used: no such file or directory.\nwhy: "
    )
    assert "defect" not in said
