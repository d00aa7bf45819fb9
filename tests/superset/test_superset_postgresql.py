"""Superset's metadata in PostgreSQL, with one setting."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import postgresql_server
from supersets import Superset

pytestmark = pytest.mark.xdist_group("superset")


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[str]:
    """The address of a PostgreSQL of one test; the password is in a file."""
    with postgresql_server(tmp_path) as address:
        yield address


@pytest.mark.slow
def test_superset_is_the_same_on_postgresql(superset, postgresql, tmp_path, port_prefix):
    own = Superset(tmp_path / "own", port_prefix, {"LOC_SUPERSET_METADATA": postgresql})
    shutil.copytree(superset.home / "data/warehouse", own.home / "data/warehouse", symlinks=True)
    try:
        assert "objects of the bundle were imported" in own.provision()
        assert "imported" not in own.provision()
        assert not own.database.exists()
        admin = own.start().log_in()
        assert admin.figures("trips") == superset.log_in().figures("trips")
        assert admin.rows("select 1 as one") == [{"one": 1}]
        assert "not allowed" in admin.refusal("select * from read_csv('/etc/passwd')")
        admin.call("POST", "dashboard/", {"dashboard_title": "Mine"})
        own.stop()
        own.provision()
        assert "Mine" in {
            item["dashboard_title"] for item in own.start().log_in().items("dashboard")
        }
    finally:
        own.stop()


@pytest.mark.parametrize(
    "address", ["mysql://root@localhost/x", "sqlite:///relative.db?x", "nonsense"]
)
def test_another_kind_of_database_is_refused_by_the_name_of_the_setting(tmp_path, address):
    own = Superset(tmp_path, "", {"LOC_SUPERSET_METADATA": address})
    said = own.provision(check=False)
    assert (
        "LOC_SUPERSET_METADATA is not usable" in said
        and "fix: " in said
        and "Traceback" not in said
    )


def test_a_database_that_does_not_answer_is_named(tmp_path):
    own = Superset(
        tmp_path, "", {"LOC_SUPERSET_METADATA": f"postgresql://superset@/postgres?host={tmp_path}"}
    )
    said = own.provision(check=False)
    assert "error: Superset's metadata cannot be reached." in said and str(tmp_path) in said
    assert "fix: " in said and "Traceback" not in said
