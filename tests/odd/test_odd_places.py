"""The whole platform works from an odd path, as any user, and with any home, locale and proxy.

It takes more than 60 s, since each test starts all services.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clone import add_shop, copy_repository, lend_superset, make_clone
from places import COMBINED, ODD_PATH, ODDITIES, Person, enter, own_scripts

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("odd"), pytest.mark.timeout(900)]

PROVED = (
    *("processes", "ingest", "audit", "figures", "datasets", "cube", "notebook", "ask"),
    *("access", "listeners", "secrets"),
)
"""Steps of ``loc validate``, all but those whose outcome is the machine's or the browser's."""

COMMANDS = (
    ("status",),
    ("db", "history"),
    ("dbt", "--", "build", "--select", "stg_orders"),
    ("db", "rollback"),  # to what was there before the data
)
"""Commands of the README."""


@pytest.fixture
def person(request: pytest.FixtureRequest, port_prefix: str, tmp_path_factory) -> Iterator[Person]:
    """A person with a clone of a shop in the place that the test's parameter names."""
    place = ODDITIES.get(request.param, COMBINED)
    with tempfile.TemporaryDirectory(prefix="loc-", ignore_cleanup_errors=True) as home:
        clone = make_clone(Path(home, place.path), port_prefix)
        folders = {"LOC_DATA": f"{clone.folder}/data", "LOC_RUN": f"{clone.folder}/.run"}
        clone.variables |= folders  # those of a clone without settings
        add_shop(clone)
        clone.loc("generate")
        clone.commit("the shop")
        lend_superset(clone, tmp_path_factory)
        with enter(clone, place) as person:
            yield person


def prove(person: Person) -> dict[str, dict]:
    """Start all services, load, and compare the figures; return those by metric."""
    done = person.loc("validate", "--json", "--leave-up", "--only", ",".join(PROVED), check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    steps = {step["name"]: step for step in report["steps"]}
    failed = [step for step in report["steps"] if step["verdict"] == "failed"]
    assert not failed and done.returncode == 0, json.dumps(failed, indent=1) + done.stderr
    assert {steps[name]["verdict"] for name in PROVED} == {"passed"}
    return report["figures"]


@pytest.mark.parametrize("person", ["all at once"], indirect=True)
def test_the_platform_works_where_everything_is_odd(person: Person):
    figures = prove(person)
    assert figures["order_count"].keys() >= {"warehouse", "Superset", "Cube", "Notebook"}
    assert set(figures["order_count"].values()) == {"180"}
    for words in COMMANDS:
        person.loc(*words)
    newest = max(path.name for path in (person.folder / "data/warehouse/prod/versions").iterdir())
    person.loc("db", "rollback", newest)
    assert person.run("sh", "loc", "--version").stdout.startswith("proto_loc ")
    assert "11 passed" in person.loc("test", "tests/unit/test_ports.py").stdout

    second = person.folder.parent / "zweite Stelle"
    elsewhere = {"LOC_DATA": f"{second}/data", "LOC_RUN": f"{second}/run"}
    person.loc("backup", second.with_suffix(".tar.zst"))
    assert person.loc("down").stdout == "Everything has ended.\n"
    person.loc("restore", second.with_suffix(".tar.zst"), **elsewhere)
    count = ("db", "shell", "-c", "select count(*) from marts.mart_orders")
    assert "180" in person.loc(*count, **elsewhere).stdout
    (person.folder / "data").chmod(0)  # what root wrote is like that for others
    refused = person.loc("db", "list", check=False)
    (person.folder / "data").chmod(0o700)
    assert refused.returncode == 1 and "permission denied" in refused.stderr
    assert "why: It belongs to another user (did root run ./loc?)" in refused.stderr
    assert f"fix: ls -ld '{person.folder}/data' says whose it is." in refused.stderr


@pytest.mark.parametrize("person", ODDITIES, indirect=True)
def test_the_platform_works_with_one_oddity(person: Person):
    assert set(prove(person)["order_count"].values()) == {"180"}
    assert [path.name for path in person.home.iterdir()] == [], "nothing outside of the clone"


def programs(environment: Path) -> dict[str, bytes]:
    """Return the commands of an environment; files ``*.py`` are of packages, as they came."""
    files = [p for p in (environment / "bin").iterdir() if p.is_file() and p.suffix != ".py"]
    scripts = {path.name: path.read_bytes() for path in files}
    return {name: text for name, text in scripts.items() if text.startswith(b"#!")}


def test_the_lent_programs_are_those_that_uv_writes(tmp_path: Path):
    clone = copy_repository(tmp_path / ODD_PATH, "5")
    own_scripts(clone.folder)
    environment = clone.folder / ".venvs/platform"
    lent = programs(environment)
    shutil.rmtree(environment)
    clone.loc("--sync", "platform", LC_ALL="C")
    assert (environment / ".stamp").exists() and programs(environment) == lent
