"""Fixtures: a Superset for the whole suite, and copies of a provisioned one to change."""

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from samples import copy_superset
from supersets import Person, Superset, copied

from proto_loc import warehouse
from proto_loc.settings import ROOT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the first test of a new clone the time to install Superset and to publish a sample."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of a Superset, provisioned before the first publish.

    Do not change them: tests use copies.
    """
    home = tmp_path_factory.mktemp("provisioned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        copy_superset(tmp_path_factory)
        warehouse.ensure("prod")
    Superset(home, "").provision()
    return home


@pytest.fixture(scope="session")
def superset(provisioned: Path, session_port_prefix: str) -> Iterator[Superset]:
    """A server that was up before its sample was published.

    Do not change it: tests share it.
    """
    home = Path(tempfile.mkdtemp(prefix="loc-", dir="/tmp"))  # a socket's path may have 107 bytes
    copied(provisioned, home)
    served = Superset(home, session_port_prefix, {"LOC_QUERY_TIMEOUT": "5"})
    try:
        served.start()
        admin = served.log_in()
        with ThreadPoolExecutor(
            8
        ) as pool:  # the first queries arrive at the same time, in both processes
            first = pool.map(
                lambda _: admin.sql("select count(*) from marts.mart_taxi_trips"), range(8)
            )
        served.before = (admin.chart("trips"), *first)
        served.loc("load", "sample", "--rows", "5000", "--direct")
        yield served
    finally:
        served.stop()
        shutil.rmtree(home)


@pytest.fixture
def inside(superset: Superset, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process uses the data and run folder of the shared server."""
    monkeypatch.setenv("LOC_DATA", str(superset.home / "data"))
    monkeypatch.setenv("LOC_RUN", str(superset.home / "run"))


@pytest.fixture(scope="module")
def admin(superset: Superset) -> Person:
    """The browser session of the admin, one for a module: a log-in takes two seconds."""
    return superset.log_in()


@pytest.fixture
def unserved(provisioned: Path, tmp_path: Path) -> Superset:
    """A Superset for one test, without a port: provisioned, with no published data,
    never started.
    """
    return Superset(copied(provisioned, tmp_path / "own"), "")


@pytest.fixture
def own(provisioned: Path, tmp_path: Path, port_prefix: str) -> Iterator[Superset]:
    """A Superset for one test: provisioned, with no published data, not started yet."""
    mine = Superset(copied(provisioned, tmp_path / "own"), port_prefix)
    try:
        yield mine
    finally:
        mine.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the files that provisioning reads, which a test may change."""
    copy = tmp_path / "superset"
    shutil.copytree(ROOT / "superset/bundle", copy / "bundle")
    shutil.copy(ROOT / "superset/roles.yaml", copy)
    return copy
