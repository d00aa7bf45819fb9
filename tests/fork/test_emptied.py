"""``loc demo remove`` on a platform with data leaves an empty one that says what to do first."""

import re
from pathlib import Path

import pytest
from clone import Clone, copy_repository
from samples import copy_sample
from words import domain_words

pytestmark = pytest.mark.xdist_group("fork")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, module_port_prefix: str) -> Clone:
    """A copy of this repository with a published sample, as before the removal."""
    home = tmp_path_factory.mktemp("demo")
    clone = copy_repository(home, module_port_prefix)
    copy_sample(home / "platform", tmp_path_factory)
    return clone


@pytest.fixture(scope="module")
def emptied(platform: Clone) -> str:
    """The output of the removal, on a platform with a changed file."""
    changed = platform.folder / "notebooks/explore_trips.ipynb"
    changed.write_text(changed.read_text() + "\n")
    landing = Path(platform.variables["LOC_DATA"], "landing")
    landing.mkdir()
    (landing / "left.csv").write_text("a\n1\n")
    refused = platform.loc("demo", "remove", "--yes", check=False)
    assert refused.returncode == 2 and "notebooks/explore_trips.ipynb" in refused.stderr
    assert (platform.folder / "pipelines/taxi").exists(), "nothing is removed before the answer"
    return platform.loc("demo", "remove", "--yes", "--changed", "remove").stdout


@pytest.mark.timeout(300)
def test_the_platform_is_empty_afterwards(platform: Clone, emptied: str):
    assert "changed by you: notebooks/explore_trips.ipynb" in emptied
    assert "retired: " in emptied, emptied
    assert "marts.fct_taxi_trips" in emptied
    assert "stays in data/landing/: left.csv;" in emptied
    assert Path(platform.variables["LOC_DATA"], "landing/left.csv").exists()
    assert not any((platform.folder / "dbt/models").glob("**/*"))
    assert [path.name for path in (platform.folder / "notebooks").glob("*.ipynb")] == [
        "start_here.ipynb"
    ]
    tables = "select count(*) from duckdb_tables() where database_name = current_database()"
    assert platform.published(tables) == [[0]]
    loads = "from proto_loc.warehouse import lake; print(len(lake.loads()))"
    assert platform.python("-c", loads).stdout == "0\n"
    again = platform.loc("demo", "remove", "--yes", check=False)
    assert again.returncode == 2 and "not here any more" in again.stderr


def test_commands_say_what_to_do_first(platform: Clone, emptied: str):
    for command in (("refresh",), ("first-load", "--wait", "0"), ("status",)):
        done = platform.loc(*command, check=False)
        assert "loc source add" in done.stdout + done.stderr, command
        assert domain_words(done.stdout + done.stderr) == []
    platform.loc("generate", "--check")


def test_pages_say_what_to_do_first_and_no_link_is_broken(platform: Clone, emptied: str):
    folder = platform.folder
    dashboard = folder / "superset/bundle/dashboards/start_here.yaml"
    notebook = folder / "notebooks/start_here.ipynb"
    for page in (dashboard, notebook):
        assert "loc source add" in page.read_text() and domain_words(page.read_text()) == []
    for page in [folder / "README.md", *folder.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_notebook_of_an_empty_platform_runs(platform: Clone, emptied: str):
    done = platform.run(
        platform.folder / ".venvs/notebooks/bin/jupyter-nbconvert",
        *("--to", "notebook", "--execute", "--stdout", "notebooks/start_here.ipynb"),
    )
    assert "CatalogException" not in done.stdout and "current_date" in done.stdout


def test_a_model_that_reads_what_would_go_stops_the_removal(platform: Clone, emptied: str):
    platform.git("checkout", "--quiet", "HEAD", "--", ".")
    own = platform.folder / "dbt/models/marts/mine.sql"
    own.write_text("select * from {{ ref('mart_taxi_trips') }}\n")
    done = platform.loc("demo", "remove", "--yes", check=False)
    assert (
        done.returncode == 1 and "mine.sql" in done.stderr and "Nothing was removed" in done.stderr
    )
    assert (platform.folder / "dbt/models/marts/mart_taxi_trips.sql").exists()
    own.unlink()
