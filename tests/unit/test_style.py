"""Tests of the style: linter, formatter, variable names, import rules."""

import ast
import builtins
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from proto_loc import fork_file
from proto_loc.settings import ROOT

PROGRAMS = Path(sys.executable).parent
PRODUCT = [
    path
    for folder in ("proto_loc", "pipelines", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "node_modules" not in path.parts
]
VAGUE = [
    *("about", "each", "found", "given", "held", "left"),
    *("more", "now", "said", "there", "told", "wanted"),
]
CEILING = 0.01
"""Share of variable names that may be vague."""
BINARIES = {
    "docs/images/dashboard.png",  # the picture of the README
    "tests/backup/release-0.1.0.tar.zst",  # what that release wrote: test_release.py restores it
}
"""Binary files in git, each with a reason."""


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_is_content(command):
    done = subprocess.run(
        [PROGRAMS / "ruff", *command, "--no-cache", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_import_rules_hold():
    """The layers in pyproject.toml hold, and there is no import cycle between files or folders."""
    done = subprocess.run(
        [PROGRAMS / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_names_are_nouns_of_the_field():
    """The names are those of variables, parameters and loop targets; `found` and `told`
    are vague.
    """
    names = Counter(name for path in PRODUCT for name in bound(ast.parse(path.read_text())))
    vague = {name: names[name] for name in VAGUE if names[name]}
    assert sum(vague.values()) <= CEILING * names.total(), vague


def bound(tree: ast.AST):
    """Yield the names that a file binds, without leading and trailing underscores."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id.strip("_")
        elif isinstance(node, ast.arg):
            yield node.arg.strip("_")


def test_no_module_is_named_like_the_standard_library_or_a_builtin():
    taken = sys.stdlib_module_names | set(dir(builtins))
    names = {path: path.parent.name if path.stem == "__init__" else path.stem for path in PRODUCT}
    assert [str(path) for path, name in names.items() if name in taken] == []


def test_every_binary_in_git_is_listed():
    """Bug: a chart that a benchmark drew was in the repository for weeks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    paths = [path for path in listed.stdout.split("\0") if (ROOT / path).is_file()]
    assert paths, "git lists nothing"
    assert {path for path in paths if b"\0" in (ROOT / path).read_bytes()} == BINARIES


OURS = ("dbt/models", "dbt/snapshots", "dbt/tests") if fork_file.name() == "proto_loc" else ()
"""Folders of the demonstration; a fork writes its models as it likes."""
MODELS = [
    path
    for folder in (*OURS, "tests/platform/shop/dbt")
    for path in sorted((ROOT / folder).rglob("*.sql"))
]
READS = re.compile(r"\{\{ (?:ref|source)\(.*?\) \}\}")
IMPORT = re.compile(rf"^\w+ as \(\n\n    select \* from {READS.pattern}\n\n\)", re.MULTILINE)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_sql_imports_then_reasons_then_selects_from_final(path: Path):
    """The order is import CTEs, logic CTEs, `final`, so that the inputs of a model are
    at its top.
    """
    comments = r"\{\{\s*config\(.*?\)\s*\}\}$|\{%-? set .*?%\}|\{#.*?#\}|^--[^\n]*$"
    text = re.sub(comments, "", path.read_text(), flags=re.DOTALL | re.MULTILINE).strip()
    assert text.startswith("with ") and text.endswith("\n)\n\nselect * from final"), text
    text = text.removeprefix("with ")
    assert len(READS.findall(text)) == len(IMPORT.findall(text)), "read outside of an import CTE"
    names = re.findall(r"^(\w+) as \($", text, re.MULTILINE)
    imports = [match[0].split()[0] for match in IMPORT.finditer(text)]
    assert names[: len(imports)] == imports and names[-1] == "final" and len(set(names)) > 1


def test_the_readme_names_at_most_six_links():
    assert len(re.findall(r"\]\(|<https?:", (ROOT / "README.md").read_text())) <= 6


def test_no_test_imports_conftest_which_is_another_one_where_several_suites_run():
    """All conftest modules have the same name, and pytest's last loaded one is imported."""
    importing = [
        path.name
        for path in (ROOT / "tests").rglob("*.py")
        if "\nfrom conftest " in path.read_text()
    ]
    assert importing == []
