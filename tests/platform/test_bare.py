"""A platform without content starts, and says what to do."""

import json
from pathlib import Path

import pytest
from clone import Clone, lend_superset
from words import domain_words

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    "command", [("refresh", "--direct"), ("first-load", "--wait", "0"), ("generate",)]
)
def test_a_platform_without_a_source_passes_and_says_what_to_do(bare: Clone, command):
    done = bare.loc(*command)
    if command != ("generate",):
        assert "pipelines/" in done.stdout + done.stderr
    assert domain_words(done.stdout + done.stderr) == []


def test_its_definitions_are_in_order(bare: Clone):
    bare.loc("generate", "--check")


def test_a_load_of_a_source_that_is_absent_names_what_is_there(bare: Clone):
    done = bare.loc("load", "shop", check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "pipelines/" in done.stderr


def test_its_state_says_how_to_add_a_source(bare: Clone):
    state = json.loads(bare.loc("status", "--json", check=False).stdout)
    assert state["steps"] == ["./loc source add NAME --csv 'FILES'"] and state["tables"] == []
    assert {problem["part"] for problem in state["problems"]} <= {"services", "machine"}


def test_superset_is_provisioned_without_a_dashboard(bare: Clone, tmp_path_factory):
    lend_superset(bare, tmp_path_factory)
    bare.loc("exec", "superset-provision")


LEFT_OUT = "Left out, as the demonstration is not here: "


def test_its_suites_are_collected_without_those_of_the_demonstration(bare: Clone):
    """Tests that need the demonstration's data cannot be imported without it."""
    options = ("-q", "--collect-only", "-p", "no:cacheprovider")
    done = bare.python("-m", "pytest", *options, "tests", check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert LEFT_OUT in done.stdout
    files = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    suites = {Path(file).parent.name for file in files}
    assert suites >= {"ai", "ask", "chaos", "ci", "cube", "dagster", "nix", "platform", "unit"}
    assert "tests/ai/test_chat.py" not in files and "superset" not in suites


@pytest.mark.parametrize("suite", [pytest.param("unit", marks=pytest.mark.slow), "parity"])
def test_its_tests_pass_or_say_what_they_lack(bare: Clone, suite: str):
    """The test runs the fast ones. The parity suite has no questions, because there are
    no metrics.
    """
    names = ("compose_file", "cube_client", "file_source", "files", "style")
    paths = [f"tests/unit/test_{name}.py" for name in names]
    paths = paths if suite == "unit" else [f"tests/{suite}"]
    done = bare.python("-m", "pytest", "-q", "-p", "no:cacheprovider", *paths, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert LEFT_OUT in done.stdout
