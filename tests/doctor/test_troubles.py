"""Every trouble that ``loc doctor`` names is made for real by a test."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import troubles

from proto_loc import doctor, services
from proto_loc.docs import troubleshooting
from proto_loc.settings import ROOT

FILES = sorted((ROOT / "tests").rglob("test_*.py"))
SERVICES_IN_FIX = re.compile(r"loc (?:up (?:-d )?--only|restart|logs) ([a-z][a-z, -]*)")
"""The names in a command for services; one that only a machine knows is in capitals."""
LEAST = 25
"""Number of troubles that the platform promises to find."""


def marks_in(path: Path) -> Iterator[tuple[str, str]]:
    """The check and the symptom of each mark ``trouble`` in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.trouble":
            check, symptom = (argument.value for argument in node.args)
            yield check, symptom


def marked_tests(path: Path) -> Iterator[ast.FunctionDef]:
    """The tests of a file that make a trouble."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and any(
            "mark.trouble" in ast.unparse(decorator) for decorator in node.decorator_list
        ):
            yield node


def test_each_check_and_each_symptom_has_a_test_that_makes_the_trouble():
    """The fixture in conftest.py fails a test with such a mark if doctor names another trouble."""
    made = {mark for path in FILES for mark in marks_in(path)}
    problems = {(problem.check, problem.symptom) for problem in troubleshooting.problems()}
    assert problems - made == set(), "no test makes these troubles"
    assert made - problems == set(), "no check has these troubles any more"
    assert {check for check, _ in made} == set(doctor.CHECKS), "a check names no trouble"
    assert len(problems) >= LEAST and len({symptom for _, symptom in problems}) >= LEAST


def test_every_service_in_the_command_of_a_fix_exists():
    """Bug: the fix for little memory named a process that there is not."""
    names = {
        name
        for problem in troubleshooting.problems()
        for text in SERVICES_IN_FIX.findall(problem.fix)
        for name in re.split("[, ]+", text.strip(", "))
    }
    assert {"dagster-web", "superset-provision", "cube"} <= names
    assert names - services.DECLARED.keys() == set()


def test_no_test_of_a_trouble_replaces_a_function():
    """Such a test moves a path at most, which is a constant: it makes the trouble itself."""
    replaced = [
        f"{path.name}, line {call.lineno}"
        for path in FILES
        for test in marked_tests(path)
        for call in ast.walk(test)
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".setattr")
        if not ast.unparse(call.args[1]).strip("'\"").isupper()
    ]
    assert replaced == []


def test_a_test_that_makes_another_trouble_fails():
    trouble = ("space", "Set-up, a load or a publish stops for want of space")
    troubles.SEEN.clear()
    with pytest.raises(AssertionError, match="want of space"):
        troubles.check({trouble})
    troubles.SEEN.add(trouble)
    troubles.check({trouble})
