"""A backup of a running stack, restored on another path with other ports, goes on as the first did.

It takes more than 60 s, since it starts all services twice, on a small domain.
"""

import json
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from clone import Clone, add_shop, ignore_tools, lend_superset, lend_tools, make_clone

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("backup-stack"), pytest.mark.timeout(900)]


@pytest.fixture
def shop(port_prefix: str, tmp_path_factory) -> Iterator[Clone]:
    """A clone with the shop, whose services run."""
    with tempfile.TemporaryDirectory(prefix="loc-") as home:
        clone = make_clone(Path(home), port_prefix)
        add_shop(clone)
        folder = Path(home, "archives")
        folder.mkdir()
        with (clone.folder / "fork.toml").open("a") as file:
            file.write(f'[backup]\nfolder = "{folder}"\ncron = "0 3 * * *"\ntime_zone = "UTC"\n')
        clone.loc("generate")
        clone.commit("the shop")
        lend_superset(clone, tmp_path_factory)
        clone.loc("up", "-d")
        try:
            yield clone
        finally:
            clone.loc("down")


def restored(shop: Clone, home: Path, prefix: str) -> Clone:
    """Make a second clone, in a path with a space and with other ports."""
    home = home / "a second place"
    (home / "platform").mkdir(parents=True)
    shop.run("git", "clone", "--quiet", shop.folder, home / "clone")
    lend_tools(home / "clone")
    ignore_tools(home / "clone")
    variables = {
        "LOC_DATA": str(home / "platform/data"),
        "LOC_RUN": str(home / "platform/run"),
        "LOC_PORT_PREFIX": prefix,
    }
    return Clone(home / "clone", variables)


def runs(clone: Clone) -> dict[str, str]:
    """Return the status of each run in Dagster's history."""
    path = Path(clone.variables["LOC_DATA"], "dagster/history/runs.db")
    with sqlite3.connect(path) as con:
        rows = con.execute("select run_id, status from runs").fetchall()
    con.close()
    return dict(rows)


def dashboards(clone: Clone) -> set[str]:
    """Return the titles of Superset's dashboards, as its server lists them for the admin."""
    password = Path(clone.variables["LOC_RUN"], "secrets/superset-admin").read_text().strip()
    url = f"http://127.0.0.1:{clone.variables['LOC_PORT_PREFIX']}8088"
    account = {"username": "admin", "password": password, "provider": "db"}
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as person:
        token = person.post("/api/v1/security/login", json=account).json()["access_token"]
        person.headers["Authorization"] = f"Bearer {token}"
        listed = person.get("/api/v1/dashboard/").raise_for_status().json()["result"]
    return {item["dashboard_title"] for item in listed}


def test_a_backup_of_a_running_stack_goes_on_elsewhere(shop, tmp_path, module_port_prefix):
    figures = (
        "select product, count(*), sum(amount) from marts.mart_orders group by all order by all"
    )
    expected = shop.published(figures)
    work = shop.folder / "notebooks/work"
    work.mkdir(parents=True, exist_ok=True)
    (work / "mine.ipynb").write_text("{}")

    def refresh() -> None:
        for _ in range(2):
            shop.loc("refresh", "--force")

    writer = threading.Thread(target=refresh)
    writer.start()
    made = [
        json.loads(shop.loc("backup", tmp_path / f"{number}.tar.zst", "--json").stdout)
        for number in range(3)
    ]
    writer.join()
    assert [record["missing"] for record in made] == [[], [], []]
    clone = restored(shop, tmp_path, module_port_prefix)
    clone.loc("restore", tmp_path / "2.tar.zst")
    assert clone.published(figures) == expected
    assert (clone.folder / "notebooks/work/mine.ipynb").read_text() == "{}"
    history = runs(clone)
    assert history.items() <= {**runs(shop), **history}.items() and len(history) >= 2
    assert not {"STARTED", "STARTING", "QUEUED"} & set(history.values())
    clone.loc("db", "verify", "--all")
    clone.loc("up", "-d")
    try:
        assert dashboards(clone) == dashboards(shop)
        clone.loc("refresh")
        assert clone.published(figures) == expected
        assert {"STARTED", "QUEUED"}.isdisjoint(runs(clone).values())
        doctor = json.loads(clone.loc("doctor", "--json", check=False).stdout)
        wrong = [item for item in doctor if item["status"] == "fail"]
        assert wrong == []
    finally:
        clone.loc("down")
