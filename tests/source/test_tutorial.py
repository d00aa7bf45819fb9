"""The tutorial's commands work in a clone without the demonstration, in the order of the page.

The tests take two minutes, because each command builds and publishes a project.
"""

import re
from pathlib import Path

import pytest
from clone import Clone

from proto_loc.settings import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("source"), pytest.mark.timeout(600)]

PAGE = (ROOT / "docs/tutorial.md").read_text()
COMMANDS = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)


def test_every_command_of_the_tutorial_works(fork: Clone):
    assert len(COMMANDS) == 7
    for line in COMMANDS:
        done = fork.run("bash", "-c", line, check=False)
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"


def test_the_mart_has_the_rows_and_the_names_of_both_tables(fork: Clone):
    ((rows, shops),) = fork.published(
        "select count(*), count(distinct mechanic_shop) from marts.mart_workshop_repairs"
    )
    assert (rows, shops) == (72, 3)
    figures = dict(
        fork.published("select metric, figure from marts.metric_figures where dimension = ''")
    )
    assert figures["workshop_repairs_count"] == "72"
    assert set(figures) == {
        "workshop_repairs_count", "workshop_repairs_total_parts_cost", "parts_per_repair",
    }  # fmt: skip


def test_the_generated_files_the_dashboards_and_the_style_are_in_order(fork: Clone):
    assert "the dashboards agree with the datasets" in fork.loc("generate", "--check").stdout
    fork.commit("the workshop")  # the tests of the style read what git lists
    paths = ["tests/unit/test_style.py", "tests/source/test_texts.py"]
    done = fork.python("-m", "pytest", "-q", "-p", "no:cacheprovider", *paths, check=False)
    assert done.returncode == 0, done.stdout[-5000:]


def test_a_source_in_use_is_not_removed(fork: Clone):
    done = fork.loc("source", "remove", "workshop", "--yes", check=False)
    assert done.returncode == 1 and "workshop is still in use" in done.stderr
    assert "shops" in done.stderr
    assert fork.git("status", "--porcelain") == ""


def test_a_removed_source_leaves_nothing_but_the_copies_of_its_files(fork: Clone):
    """Only the metrics, which a metric was added to, differ from what was written."""
    for line in re.findall(r"^(rm .*)$", PAGE, re.MULTILINE):
        fork.run("bash", "-c", line)
    done = fork.loc("source", "remove", "workshop", "--yes")
    assert "mart_workshop_repairs.metrics.yml was changed since it was written" in done.stdout
    assert done.stdout.count("was changed") == 1
    assert fork.git("diff", "--name-only", "HEAD~1") == ""
    assert "There is no source yet" in fork.loc("source", "list").stdout
    tables = "select count(*) from duckdb_tables() where schema_name <> 'main'"
    assert fork.published(tables) == [[0]]


def test_a_build_that_fails_leaves_no_file_no_load_and_no_view(fork: Clone, tmp_path: Path):
    """The rows of two files have one key, which only the models' test can see."""
    for day in (1, 2):
        (tmp_path / f"visits-2025-01-0{day}.csv").write_text("id,name\n1,a\n")
    before = fork.git("status", "--porcelain")
    options = ("--csv", f"{tmp_path}/visits-*.csv", "--key", "visits=id", "--yes")
    done = fork.loc("source", "add", "visits", *options, check=False)
    assert done.returncode == 1 and "The models do not pass on dev" in done.stderr, done.stderr
    assert "unique_stg_visits__visits_id" in done.stderr and "Traceback" not in done.stderr
    assert fork.git("status", "--porcelain") == before
    program = (
        "from proto_loc import warehouse; from proto_loc.warehouse import lake\n"
        "print(len(lake.loads()), [name for name in warehouse.current('raw').columns()"
        " if name.startswith('visits')])"
    )
    assert fork.python("-c", program).stdout.split("\n")[-2] == "0 []"
