"""Tests of the documentation: its commands run, and it has every command and setting."""

import ast
import contextlib
import os
import re
import shlex
import subprocess
from dataclasses import fields, is_dataclass
from pathlib import Path

import duckdb
import pytest
from samples import copy_sample
from typer import BadParameter, Exit
from typer.main import get_command

import benchmarks.__main__
from proto_loc.cli import command
from proto_loc.docs import declaration, references, troubleshooting
from proto_loc.doctor import CHECKS
from proto_loc.settings import PORTS, ROOT, Settings, port_setting
from proto_loc.setup.node import program

GUIDES = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *GUIDES]
OF_THE_PROJECT = [
    ROOT / name for name in ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md")
]

CONTENT = (".github", "cube", "dbt", "evaluations", "notebooks", "pipelines", "superset")
CONTINUES = {"quickstart.md": "README.md"}
"""Pages whose commands run on the platform of another page, after its own, unless it has them."""

NOT_RUN = {
    "./loc test": "this is it",
    "./loc lock": "test_lock.py checks the locks; compiling them here would change the repository",
}
IN_A_CLONE = {"tutorial.md": "tests/source/test_tutorial.py runs it where it may write files"}


def blocks(page: Path) -> list[str]:
    """Return the commands of a page's console blocks, in order."""
    found = re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [line[2:] for block in found for line in block.splitlines() if line.startswith("$ ")]


def commands(page: Path) -> list[str]:
    """Return the commands to run for a page, with those of the pages that continue it."""
    lines = [line for line in blocks(page) if not line.startswith(tuple(NOT_RUN))]
    for name, first in CONTINUES.items():
        if page == ROOT / first:
            lines += [line for line in blocks(ROOT / "docs" / name) if line not in lines]
    return lines


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if commands(page) and page.name not in (*CONTINUES, *IN_A_CLONE)],
    ids=lambda page: page.name,
)
def test_every_command_runs_in_the_order_of_the_page(
    page, data, port_prefix, monkeypatch, tmp_path_factory
):
    """Each page has its own empty platform.

    If a page does not load data itself, the platform has a sample.
    """
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    lines = commands(page)
    if lines and lines[0] not in ("./loc refresh", "./loc up -d"):
        copy_sample(data.parent, tmp_path_factory)
    try:
        for line in lines:
            done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
    finally:
        subprocess.run([ROOT / "loc", "down"], check=True, capture_output=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_its_options_exist(page):
    """This is the cheap part of running them: the shell and ``loc`` take each line as it is.

    It reads the blocks that no test runs, too, such as those that need a model or a network.
    """
    others = re.findall(r"^\./loc .*", page.read_text(), re.MULTILINE)
    for line in [*blocks(page), *others]:
        subprocess.run(["bash", "-n", "-c", line], check=True)
        for words in simple_commands(line):
            if words[0] == "./loc":
                check_arguments(command(), words[1:])


def simple_commands(line: str) -> list[list[str]]:
    """Return the words of each command of a line, split at ``&&``, ``|`` and ``;``."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    commands = [[]]
    for word in lexer:
        if set(word) <= set("&|;"):
            commands.append([])
        else:
            commands[-1].append(word)
    return [words for words in commands if words]


def check_arguments(tree, words: list[str]) -> None:
    """Parse the arguments as ``loc`` does, and run nothing.

    Raises:
        Exception: an option or a value that the command does not take.
        AssertionError: no command has this name.
    """
    while hasattr(tree, "commands") and words and not words[0].startswith("-"):
        name, *words = words
        assert name in tree.commands, f"no command {name!r}: {sorted(tree.commands)}"
        tree = tree.commands[name]
    with contextlib.suppress(Exit):  # after --help
        context = tree.make_context(tree.name, words)
        if tree.name == "bench":
            check_arguments(get_command(benchmarks.__main__.app), context.args)


def test_a_command_that_does_not_exist_is_seen():
    for line in ("./loc loda x", "./loc db history --datbase raw", "./loc bench pipelines"):
        with pytest.raises((AssertionError, BadParameter.__base__)):  # click's UsageError
            check_arguments(command(), simple_commands(line)[0][1:])
    assert simple_commands("cd a && ./loc x | head -1") == [
        ["cd", "a"],
        ["./loc", "x"],
        ["head", "-1"],
    ]


def test_the_python_of_the_warehouse_page_runs(data, tmp_path_factory):
    copy_sample(data.parent, tmp_path_factory)
    (code,) = re.findall(
        r"^```python\n(.*?)^```$",
        (ROOT / "docs/warehouse.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    exec(compile(code, "docs/warehouse.md", "exec"), {})


def test_the_ways_of_other_tools_open_the_published_file_and_cannot_write_it(
    data, tmp_path_factory
):
    """Bug: the guide said "any tool can open the file", but most tools need a read-only option."""
    copy_sample(data.parent, tmp_path_factory)
    file = subprocess.run(
        [ROOT / "loc", "db", "path"], capture_output=True, text=True, check=True
    ).stdout.strip()
    told = dict(
        re.findall(
            r"^\| ([^|]+) \| .*?`([^`]+)`", (ROOT / "docs/warehouse.md").read_text(), re.MULTILINE
        )
    )
    told = {tool: way.replace("FILE", file) for tool, way in told.items()}
    count, write = (
        "select count(*) > 0 from prod.marts.mart_taxi_trips",
        "create table prod.main.x as select 1",
    )
    with eval(told["Python"], {"duckdb": duckdb}) as python:
        assert python.sql(count).fetchall() == [(True,)]
        with pytest.raises(duckdb.Error, match="read-only"):
            python.sql(write)
    with duckdb.connect() as session:
        session.sql(told["any DuckDB session, SQL"])
        assert session.sql(count).fetchall() == [(True,)]
    line = told["DuckDB's command line"]
    shell = ["bash", "-c", f'{line} -csv -noheader -c "$1"', "-"]
    path = {"PATH": f"{ROOT}/.venvs/platform/bin:/usr/bin:/bin"}
    assert (
        subprocess.run([*shell, count], env=path, capture_output=True, text=True).stdout == "true\n"
    )
    assert (
        "read-only"
        in subprocess.run([*shell, write], env=path, capture_output=True, text=True).stderr
    )
    node = f"""const {{ DuckDBInstance }} = require("@duckdb/node-api");
        {told["Node"]}.then((db) => db.connect()).then((c) => c.run(process.argv[1]))
          .catch((e) => console.log(e.message))"""
    for sql, said in ((count, ""), (write, "read-only")):
        done = subprocess.run(
            [program(), "-e", node, sql],
            cwd=ROOT / "proto_loc/cube/server",
            capture_output=True,
            text=True,
        )
        assert (said in done.stdout) and bool(done.stdout) == bool(said), done.stdout + done.stderr


def test_the_readme_is_short_and_names_both_commands():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert blocks(ROOT / "README.md")[:2] == ["./loc up -d", "./loc test"]


@pytest.mark.parametrize("page", [*GUIDES, *OF_THE_PROJECT[1:]], ids=lambda page: page.name)
def test_the_first_line_of_a_page_says_whom_it_is_for(page):
    title, first, *_ = page.read_text().split("\n\n", 2)
    assert title.startswith("# ") and "\n" not in title
    assert first.startswith(("*For ", "For ")), f"{page.name} begins with: {first}"


def test_the_references_are_made_from_the_code(tmp_path, monkeypatch):
    made = references.parts(command())
    assert references.outdated(made) == {}
    assert {
        name
        for page in references.PAGES.glob("*.md")
        for name in re.findall(r"^<!-- (\w+): ", page.read_text(), re.MULTILINE)
    } == set(made)
    monkeypatch.setattr(references, "PAGES", tmp_path)
    page = tmp_path / "settings.md"
    page.write_text((ROOT / "docs/settings.md").read_text().replace("| 600 |", "| 601 |"))
    assert references.write(made) == ["docs/settings.md: changed"]
    assert "| 600 |" in page.read_text() and references.write(made) == []


def test_the_reference_of_commands_has_every_command():
    text = (ROOT / "docs/commands.md").read_text()
    for name, entry in command().commands.items():
        for path in [name, *(f"{name} {sub}" for sub in getattr(entry, "commands", ()))]:
            assert f"# `./loc {path}`\n" in text, path
    assert "LOW..HIGH" in text and "$ " not in text


def test_the_example_of_a_declaration_is_a_source():
    text = (ROOT / "docs/declaration.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(compile(code, "docs/declaration.md", "exec"), names)
    (orders,) = names["SOURCE"].tables
    assert (names["SOURCE"].name, orders.name, orders.key) == ("shop", "orders", ("order_id",))
    assert "amount" in orders.columns and orders.partition_column == "ordered_on"


def test_every_argument_of_a_declaration_is_described():
    for kind in declaration.CLASSES:
        rows = (declaration.fields if is_dataclass(kind) else declaration.arguments)(kind)
        assert rows and [row[0] for row in rows if not row[3]] == [], kind


def test_every_problem_of_doctor_is_listed_by_its_symptom():
    problems = troubleshooting.problems()
    assert {problem.check for problem in problems} == set(CHECKS), "a check finds no problem"
    page = (ROOT / "docs/troubleshooting.md").read_text()
    for problem in problems:
        assert f"### {problem.symptom}\n" in page and problem.what in page
        assert any(map(str.islower, problem.what)), problem


def test_every_setting_is_documented_and_every_documented_one_exists():
    documented = set(re.findall(r"`(LOC_[A-Z0-9_]+)`", (ROOT / "docs/settings.md").read_text()))
    # `loc` sets these for dbt, its services and programs. They are not settings of a user.
    internal = {
        "LOC_TESTS_PLATFORM",
        "LOC_SESSION",
        "LOC_SECRET_FILE",
        "LOC_SECRET_FILE_ADMIN",
        "LOC_SERVICE",
        "LOC_VERDICTS",
        "LOC_SECRET_NAME",
        "LOC_RUN_ID",
        "LOC_LOG_FIRST",
        *("LOC_METRICFLOW_FILE", "LOC_METRICFLOW_OUTPUT"),
        *("LOC_TRINO_ADDRESS", "LOC_TRINO_CATALOGUE", "LOC_TRINO_CERTIFICATE"),
        *("LOC_TRINO_S3_KEY", "LOC_TRINO_S3_SECRET"),
    }
    files = [
        ROOT / "loc",
        *(
            p
            for folder in ("proto_loc", "pipelines", "superset", "tests")
            for p in (ROOT / folder).rglob("*.py")
        ),
    ]
    used = {
        name
        for file in files
        for name in re.findall(r"""["'{]?\b(LOC_[A-Z0-9_]+[A-Z])\b""", file.read_text())
    }
    used |= {f"LOC_{field.name.upper()}" for field in fields(Settings)}
    used |= {port_setting(service) for service in PORTS}
    assert documented == used - internal


def test_every_command_is_documented():
    pages = " ".join(page.read_text() for page in PAGES)
    root = command()
    names = [
        f"{name} {sub}" if hasattr(root.commands[name], "commands") else name
        for name in root.commands
        for sub in getattr(root.commands[name], "commands", [""])
    ]
    names += [f"bench {name}" for name in get_command(benchmarks.__main__.app).commands]
    assert [name for name in names if not re.search(rf"\bloc {name}\b", pages)] == []


def promises() -> list[tuple[str, str, str]]:
    """Return the promises of docs/tests.md: the promise, a part of its tests, when that part
    runs.
    """
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs/tests.md").read_text().splitlines()
        if line.startswith("| ")
    ]
    found = []
    for promise, tests, runs in rows[1:]:
        parts, times = tests.split("; "), runs.split("; ")
        assert len(times) in (1, len(parts)), promise
        found += [(promise, *pair) for pair in zip(parts, times * len(parts), strict=False)]
    return found


def times_of(file: Path) -> set[str]:
    """Return when the tests of a file run: ``always``, ``--all``."""
    text = file.read_text()
    decorators = {
        node.name: [ast.unparse(each) for each in node.decorator_list]
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    slow = {name for name, its in decorators.items() if "pytest.mark.slow" in its}
    return {
        *(["always"] if decorators.keys() - slow else []),
        *(["--all"] if "mark.slow" in text else []),
    }


def test_every_promise_has_its_tests_and_they_run_when_it_says():
    """A part without a file is of the files of the part before; a job is of a workflow."""
    files: list[Path] = []
    for promise, part, runs in promises():
        assert runs in ("always", "--all"), promise
        if named := [ROOT / name for name in re.findall(r"`(tests/[^`]+)`", part)]:
            files = [
                file
                for path in named
                for file in ([path] if path.suffix else sorted(path.glob("test_*.py")))
            ]
        assert files and all(file.is_file() for file in files), (promise, part)
        for path in named:
            of_path = [file for file in files if file == path or path in file.parents]
            assert runs in set().union(*map(times_of, of_path)), (promise, path, runs)
        jobs = re.findall(r"job \*([^*]+)\*", part)
        workflows = "".join(path.read_text() for path in (ROOT / ".github/workflows").iterdir())
        assert all(f"name: {job}" in workflows or f"  {job}:" in workflows for job in jobs), part


@pytest.mark.parametrize("page", [*PAGES, *OF_THE_PROJECT], ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    """A guide names files of the content, and links none: a fork removes them."""
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target
        part = target.removeprefix("../").split("/")[0]
        assert page not in GUIDES or part not in CONTENT, target


def test_commands_are_plain_enough_to_copy():
    for page in PAGES:
        for line in blocks(page):
            assert shlex.split(line)[0] in ("./loc", "cd"), line
    assert os.access(ROOT / "loc", os.X_OK)
