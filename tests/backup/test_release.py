"""The archives of earlier releases can be restored by this one, and its own by the next.

``release-0.1.0.tar.zst`` is what version 0.1.0 wrote: two loads, Superset's metadata with roles and
the admin, four runs of Dagster of which three were in progress, and a notebook. No archive is ever
made again by newer code. The workflow *Release* sets ``THIS_RELEASE`` to a folder, where the last
test leaves this release's own archive for the release's page; CI fetches that of the last release
from there, and names its folder in ``LAST_RELEASE``.
"""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from histories import dagster
from samples import copy_superset

from proto_loc import warehouse
from proto_loc.backup import make, restore
from proto_loc.backup.plan import Terms
from proto_loc.settings import settings
from proto_loc.warehouse import store

FOLDERS = (Path(__file__).parent, *filter(None, [os.environ.get("LAST_RELEASE")]))
ARCHIVES = [path for folder in FOLDERS for path in sorted(Path(folder).glob("release-*.tar.zst"))]


def check(path: Path, place, tmp_path: Path) -> None:
    """Restore an archive into an empty platform, and check that the platform can go on."""
    place.use()
    made = restore.restore(Path(shutil.copy(path, tmp_path)), Terms()).manifest
    assert path.name == f"release-{made.releases['proto_loc']}.tar.zst"
    assert (place.orders(), place.total()) == ([1, 2, 3], 3)
    for database in store.DATABASES:
        for verdict in warehouse.verify(database, store.versions(database)):
            assert verdict.state == "whole" or verdict.id < warehouse.current(database).id
    assert (place.notebooks / "work/Ünï code.ipynb").read_text() == "{}"
    with sqlite3.connect(settings().data / "superset/superset.db") as con:
        assert ("admin",) in con.execute("select username from ab_user").fetchall()
    con.close()
    with sqlite3.connect(settings().data / "dagster/history/runs.db") as con:
        statuses = con.execute("select status from runs order by status").fetchall()
    con.close()
    assert [status for (status,) in statuses] == ["CANCELED", "CANCELED", "SUCCESS", "SUCCESS"]
    place.load(4, partition="2025-03")
    assert place.orders() == [1, 2, 3, 4]
    make.backup(tmp_path / "again.tar.zst", make.Wish(), who="test")


def test_each_archive_is_small():
    assert ARCHIVES and max(path.stat().st_size for path in ARCHIVES) < 200_000


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.name)
def test_an_archive_of_an_earlier_release_is_restored(empty, path, tmp_path):
    check(path, empty, tmp_path)


def test_the_archive_of_this_release_is_restored(platform, empty, tmp_path, tmp_path_factory):
    """So whatever the next release has to restore could be restored once."""
    copy_superset(tmp_path_factory)
    dagster("make")
    folder = Path(os.environ.get("THIS_RELEASE") or tmp_path)
    path = folder / f"release-{make.releases()['proto_loc']}.tar.zst"
    made = make.backup(path, make.Wish(), who="test")
    assert made.missing == () and made.bytes < 200_000
    check(path, empty, platform.home)
