"""The archive of an earlier release can be restored by this one.

``release-0.1.0.tar.zst`` is what version 0.1.0 wrote: two loads, Superset's metadata with roles and
the admin, four runs of Dagster of which three were in progress, and a notebook. Add the archive of
each later release; no archive is ever made again by newer code.
"""

import shutil
import sqlite3
from pathlib import Path

import pytest

from proto_loc import warehouse
from proto_loc.backup import make, restore
from proto_loc.backup.plan import Terms
from proto_loc.settings import settings
from proto_loc.warehouse import store

ARCHIVES = sorted(Path(__file__).parent.glob("release-*.tar.zst"))


def test_each_archive_is_small():
    assert ARCHIVES and max(path.stat().st_size for path in ARCHIVES) < 200_000


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.name)
def test_an_archive_of_an_earlier_release_is_restored(empty, path, tmp_path):
    empty.use()
    archive = shutil.copy(path, tmp_path)
    made = restore.restore(Path(archive), Terms()).manifest
    assert path.name == f"release-{made.releases['proto_loc']}.tar.zst"
    assert (empty.orders(), empty.total()) == ([1, 2, 3], 3)
    for database in store.DATABASES:
        for verdict in warehouse.verify(database, store.versions(database)):
            assert verdict.state == "whole" or verdict.id < warehouse.current(database).id
    assert (empty.notebooks / "work/Ünï code.ipynb").read_text() == "{}"
    with sqlite3.connect(settings().data / "superset/superset.db") as con:
        assert ("admin",) in con.execute("select username from ab_user").fetchall()
    con.close()
    with sqlite3.connect(settings().data / "dagster/history/runs.db") as con:
        statuses = con.execute("select status from runs order by status").fetchall()
    con.close()
    assert [status for (status,) in statuses] == ["CANCELED", "CANCELED", "SUCCESS", "SUCCESS"]
    empty.load(4, partition="2025-03")
    assert empty.orders() == [1, 2, 3, 4]
    make.backup(tmp_path / "again.tar.zst", make.Wish(), who="test")
