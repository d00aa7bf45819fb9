"""How long Superset keeps its logs, and which of its files can be deleted."""

import shutil
import sqlite3
from contextlib import closing

import pytest

pytestmark = pytest.mark.xdist_group("superset-provision")


@pytest.mark.slow
def test_what_may_go_at_any_time_may(own):
    """Bug: without the counts of log-ins, each log-in showed an error page until the next start."""
    admin = own.start().log_in()
    shutil.rmtree(own.home / "run/superset")
    for person in (admin, own.log_in()):
        own.log_in()
        assert "no data yet" in person.chart("trips").text
        assert person.call("GET", "dashboard/taxi-overview/charts")["result"]
    assert "FileNotFoundError" not in own.log()


@pytest.mark.slow
def test_what_superset_writes_down_is_kept_for_so_many_days(own):
    admin = own.start().log_in()
    admin.rows("select 1 as old")
    admin.rows("select 1 as new")
    admin.call(
        "POST",
        "saved_query/",
        {"label": "Kept", "sql": "select 1 as old", "db_id": admin.items("database")[0]["id"]},
    )
    with closing(sqlite3.connect(own.database)) as con, con:
        con.execute("update query set changed_on = '2020-01-01 00:00:00' where sql like '%old'")
        con.execute("insert into logs (action, dttm) values ('old', datetime('now', '-50 days'))")
    seen = lambda: (  # noqa: E731
        [each["sql"] for each in admin.items("query")],
        [each["action"] for each in admin.items("log") if each["action"] == "old"],
    )
    own.provision()
    assert seen() == (["select 1 as new"], ["old"])
    own.more["LOC_SUPERSET_HISTORY"] = "40"
    own.provision()
    assert seen() == (["select 1 as new"], [])
    assert [each["label"] for each in admin.items("saved_query")] == ["Kept"]
