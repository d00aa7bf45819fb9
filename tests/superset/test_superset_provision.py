"""Provisioning makes Superset match the files, and keeps what people change."""

import io
import shutil
import sqlite3
import stat
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import yaml
from supersets import Person, Superset, dashboard

from proto_loc import warehouse
from proto_loc.settings import ROOT

pytestmark = pytest.mark.xdist_group("superset-provision")


def edit(file: Path, **changes: object) -> dict:
    """Change keys of a YAML file; return its new content."""
    content = yaml.safe_load(file.read_text()) | changes
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return content


def add_chart(folder: Path, name: str) -> dict:
    """Add a chart to the bundle that is on no dashboard; return the content of its file."""
    trips = next(path for path in sorted((folder / "bundle/charts").glob("*.yaml")))
    file = folder / "bundle/charts" / f"{name}.yaml"
    shutil.copy(trips, file)
    return edit(
        file, slice_name=name, uuid=f"00000000-0000-4000-8000-{abs(hash(name)) % 10**12:012d}"
    )


def held(superset: Superset) -> dict[str, list]:
    """Return all rows that provisioning may write."""
    tables = (
        "dbs",
        "tables",
        "table_columns",
        "sql_metrics",
        "slices",
        "dashboards",
        "dashboard_slices",
        "ab_user",
        "ab_role",
        "ab_permission_view_role",
        "row_level_security_filters",
        "rls_filter_tables",
        "rls_filter_roles",
        "loc_notes",
    )
    with closing(sqlite3.connect(superset.database)) as con:
        return {
            table: con.execute(f"select * from {table} order by 1, 2").fetchall()
            for table in tables
        }


def test_to_provision_again_changes_nothing(unserved):
    before = held(unserved)
    assert before["slices"] and before["dashboards"] and before["row_level_security_filters"]
    said = unserved.provision()
    assert "imported" not in said and "is provisioned" in said
    assert held(unserved) == before


def test_the_metadata_is_private_and_in_write_ahead_mode(own):
    own.start().log_in()
    found = [path for path in (own.home / "data/superset").iterdir() if path.is_file()]
    assert own.database in found
    assert [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert stat.S_IMODE((own.home / "data/superset").stat().st_mode) == 0o700
    for folder in ("cache/data", "cache/catalogue"):
        assert stat.S_IMODE((own.home / "run/superset" / folder).stat().st_mode) == 0o700
    with closing(sqlite3.connect(own.database)) as con:
        assert con.execute("pragma journal_mode").fetchone() == ("wal",)
    assert own.password() not in own.log()


def test_what_a_person_makes_survives_restarts_a_new_provision_and_a_publish(own, monkeypatch):
    monkeypatch.setenv("LOC_DATA", str(own.home / "data"))
    monkeypatch.setenv("LOC_RUN", str(own.home / "run"))
    admin = own.start().log_in()
    database = admin.item("database", database_name="prod")["id"]
    dataset = admin.call(
        "POST",
        "dataset/",
        {
            "database": database,
            "schema": "marts",
            "table_name": "mine",
            "sql": "select 1 as x",
            "template_params": None,
        },
    )["id"]
    chart = admin.call(
        "POST",
        "chart/",
        {
            "slice_name": "My chart",
            "viz_type": "table",
            "datasource_id": dataset,
            "datasource_type": "table",
            "params": '{"viz_type": "table", "all_columns": ["x"]}',
        },
    )["id"]
    made = dashboard(admin, "My dashboard", chart)
    managed = admin.items("chart")[-1]["id"]
    admin.call("POST", "saved_query/", {"label": "My query", "sql": "select 1", "db_id": database})

    def seen(person: Person) -> list:
        changing = {
            "changed_on_delta_humanized",
            "changed_on_humanized",
            "created_on_humanized",
            "created_on_delta_humanized",
        }
        answers = [
            person.call("GET", path)["result"]
            for path in (
                f"dashboard/{made}",
                f"dashboard/{made}/charts",
                f"chart/{chart}",
                f"dataset/{dataset}",
            )
        ]
        return [
            (
                {key: value for key, value in answer.items() if key not in changing}
                if isinstance(answer, dict)
                else answer
            )
            for answer in answers
        ]

    before = seen(admin)
    for number in range(2):
        own.stop()
        assert (
            "SIGABRT" not in own.log()
        )  # a worker that was forked with threads of DuckDB would abort when it ends
        if number == 1:
            own.provision()
        own.start()
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute(
            "create schema if not exists marts; create table marts.answer as select 42 as value"
        )
    admin = own.log_in()
    assert seen(admin) == before
    assert admin.rows("select * from marts.answer") == [{"value": 42}]
    assert admin.items("saved_query")[0]["label"] == "My query"
    assert admin.call("GET", f"chart/{managed}")


@pytest.mark.slow
def test_a_file_that_changes_changes_what_came_from_it_and_nothing_else(own, folder):
    chart = add_chart(folder, "Before")
    own.provision(folder=folder)
    edit(folder / "bundle/charts/Before.yaml", slice_name="After")
    said = own.provision(folder=folder)
    assert "1 of the" in said
    admin = own.start().log_in()
    names = [item["slice_name"] for item in admin.items("chart")]
    assert "After" in names and "Before" not in names and chart["slice_name"] == "Before"


@pytest.mark.slow
def test_what_leaves_the_bundle_goes_unless_a_person_changed_it_or_uses_it(own, folder):
    for name in ("Gone", "Changed", "Used"):
        add_chart(folder, name)
    own.provision(folder=folder)
    admin = own.start().log_in()
    ids = {item["slice_name"]: item["id"] for item in admin.items("chart")}
    admin.call("PUT", f"chart/{ids['Changed']}", {"slice_name": "Changed by me"})
    made = dashboard(admin, "Mine, with a chart of the bundle", ids["Used"])
    for name in ("Gone", "Changed", "Used"):
        (folder / f"bundle/charts/{name}.yaml").unlink()
    said = own.provision(folder=folder)
    assert "The chart 'Gone' left the bundle, and is removed." in said
    assert (
        "The chart 'Changed by me' left the bundle, and stays: it was changed in Superset." in said
    )
    assert "The chart 'Used' left the bundle, and stays: it is used in Superset." in said
    names = {item["slice_name"] for item in admin.items("chart")}
    assert {"Changed by me", "Used"} <= names and "Gone" not in names
    assert [
        chart["slice_name"] for chart in admin.call("GET", f"dashboard/{made}/charts")["result"]
    ] == ["Used"]
    assert "left the bundle" not in own.provision(folder=folder)


def test_what_a_person_changed_in_the_bundle_stays_and_is_named_until_it_is_dropped(own, folder):
    admin = own.start().log_in()
    item = admin.item("dashboard", slug="taxi-overview")
    admin.call("PUT", f"dashboard/{item['id']}", {"dashboard_title": "My overview"})
    edit(folder / "bundle/dashboards/taxi_overview.yaml", dashboard_title="Their overview")
    said = own.provision(folder=folder)
    assert (
        "The dashboard 'My overview' was changed in Superset since it came from the bundle: it"
        " stays so." in said
    )
    assert admin.item("dashboard", slug="taxi-overview")["dashboard_title"] == "My overview"
    assert "1 of the" in own.provision("--overwrite", folder=folder)
    assert admin.item("dashboard", slug="taxi-overview")["dashboard_title"] == "Their overview"
    assert "was changed" not in own.provision(folder=folder)


@pytest.mark.slow
def test_to_look_at_an_object_or_import_it_again_is_no_change(own):
    """Pages save a chart's query and a dashboard's colours by themselves.

    Bug: after an import of Superset's own export, every chart and dashboard "was changed in
    Superset".
    """
    admin = own.start().log_in()
    chart = admin.items("chart")[0]["id"]
    admin.call(
        "PUT",
        f"chart/{chart}",
        {"query_context": '{"queries": []}', "query_context_generation": True},
    )
    item = admin.item("dashboard", slug="taxi-overview")["id"]
    admin.call(
        "PUT",
        f"dashboard/{item}/colors?mark_updated=false",
        {"map_label_colors": {"Cash": "#ff0000"}},
    )
    assert "was changed" not in own.provision()
    exported = admin.get("/api/v1/assets/export/").content
    answer = admin.post("/api/v1/assets/import/", files={"bundle": ("all.zip", resorted(exported))})
    assert answer.status_code == 200, answer.text
    said = own.provision()
    assert "was changed" not in said and "imported" not in said
    admin.call("PUT", f"dashboard/{item}", {"dashboard_title": "My overview"})
    assert "The dashboard 'My overview' was changed in Superset" in own.provision()


def resorted(exported: bytes) -> bytes:
    """Return the same export with sorted keys, as another tool writes it."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(exported)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            new.writestr(name, yaml.safe_dump(yaml.safe_load(old.read(name)), sort_keys=True))
    return made.getvalue()


@pytest.mark.slow
def test_what_a_person_deletes_of_the_bundle_comes_back_whole(own):
    admin = own.start().log_in()
    before = admin.call("GET", "dashboard/taxi-overview/charts")["result"]
    (chart,) = (
        item["id"] for item in before if item["slice_name"] == "Trips"
    )  # the chart is on no other dashboard
    admin.call("DELETE", f"chart/{chart}")
    said = own.provision()
    assert "2 of the" in said  # the chart, and the dashboard that contains its id
    found = admin.call("GET", "dashboard/taxi-overview/charts")["result"]
    assert len(found) == len(before)
    position = admin.call("GET", "dashboard/taxi-overview")["result"]["position_json"]
    assert all(f'"chartId": {item["id"]}' in position for item in found)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        pytest.param(
            "charts/trips.yaml",
            {"dataset_uuid": "00000000-0000-4000-8000-000000000001"},
            "refers to a dataset",
            id="no such dataset",
        ),
        pytest.param(
            "charts/trips.yaml",
            {"viz_type": None},
            "charts/trips.yaml",
            id="no kind of chart",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "datasets/taxi_trips.yaml",
            {"database_uuid": "00000000-0000-4000-8000-000000000001"},
            "refers to a database",
            id="no such database",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "metadata.yaml",
            {"type": "Chart"},
            "metadata.yaml",
            id="another kind of bundle",
            marks=pytest.mark.slow,
        ),
        pytest.param("charts/trips.yaml", "slice_name: [", "charts/trips.yaml", id="no YAML"),
    ],
)
def test_a_bundle_that_is_not_sound_is_refused_whole(unserved, folder, file, change, said):
    target = folder / "bundle" / file
    if isinstance(change, str):
        target.write_text(change)
    else:
        edit(target, **change)
    edit(folder / "bundle/dashboards/taxi_overview.yaml", dashboard_title="Never")
    before = held(unserved)
    answer = unserved.provision(folder=folder, check=False)
    assert (
        "error: " in answer and "fix: " in answer and said in answer and "Traceback" not in answer
    ), answer
    assert held(unserved) == before


def test_roles_and_rules_are_brought_back_and_a_person_s_own_role_stays(own, folder):
    admin = own.start().log_in()
    role = admin.item("security/roles", name="Viewer")["id"]
    before = admin.call("GET", f"security/roles/{role}/permissions/")["result"]
    admin.call(
        "POST",
        f"security/roles/{role}/permissions",
        {"permission_view_menu_ids": [before[0]["id"]]},
    )
    admin.call("POST", "security/roles/", {"name": "Mine"})
    clauses = {rule["name"]: rule["clause"] for rule in admin.items("rowlevelsecurity")}
    assert clauses == {
        "mart_taxi_trips: nothing without boroughs": "1 = 0",
        "mart_taxi_trips: boroughs of Queens": "\"pickup_borough\" IN ('Queens')",
    }
    for rule in admin.items("rowlevelsecurity"):
        admin.call("PUT", f"rowlevelsecurity/{rule['id']}", {"clause": "1 = 1"})
    own.provision()
    after = admin.call("GET", f"security/roles/{role}/permissions/")["result"]
    assert {item["id"] for item in after} == {item["id"] for item in before}
    assert "Mine" in {item["name"] for item in admin.items("security/roles")}
    assert {r["name"]: r["clause"] for r in admin.items("rowlevelsecurity")} == clauses
    (folder / "roles.yaml").write_text("{}\n")
    own.provision(folder=folder)
    assert [rule["clause"] for rule in admin.items("rowlevelsecurity")] == ["1 = 0"]


@pytest.mark.slow
def test_a_new_password_file_is_a_new_password_and_a_person_s_own_one_stays(own):
    admin = own.start().log_in()
    admin.call("PUT", "me/", {"password": "a person's own choice"})
    own.provision()
    own.log_in(password="a person's own choice")
    (own.home / "run/secrets/superset-admin").unlink()
    assert "The password of admin is that of" in own.provision()
    own.log_in()
    answer = Person(own.url).submit("admin", "a person's own choice")
    assert "/login" in answer.headers["location"]


@pytest.mark.slow
def test_the_key_is_rotated(own):
    admin = own.start().log_in()
    database = admin.item("database", database_name="prod")["id"]
    admin.call(
        "PUT",
        f"database/{database}",
        {"masked_encrypted_extra": '{"connect_args": {"kept": "secret-text"}}'},
    )
    own.stop()
    stored = "select encrypted_extra from dbs"
    with closing(sqlite3.connect(own.database)) as con:
        (before,) = con.execute(stored).fetchone()
    key = own.home / "run/secrets/superset"
    old = key.read_text()
    key.unlink()
    said = own.provision(check=False)
    assert (
        "error: Superset's metadata holds secrets of another key." in said
        and "Traceback" not in said
    )
    Path(f"{key}.previous").write_text(old)
    Path(f"{key}.previous").chmod(0o600)
    assert "encrypted with the new key" in own.provision()
    assert key.read_text() != old and not Path(f"{key}.previous").exists()
    with closing(sqlite3.connect(own.database)) as con:
        assert con.execute(stored).fetchone() != (before,)
    own.start()
    assert admin.get("/api/v1/me/").status_code == 401
    found = own.log_in().call("GET", f"database/{database}/connection")["result"]
    assert "connect_args" in found["masked_encrypted_extra"]  # the value was decrypted, then masked
    assert "new key" not in own.provision()


@pytest.mark.slow
def test_two_that_provision_at_once_do_not_disturb_each_other(unserved):
    unserved.database.unlink()
    command = [ROOT / "loc", "superset", "provision"]
    started = [
        subprocess.Popen(
            command,
            env=unserved.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=200)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert sum("objects of the bundle were imported" in text for text in said) == 1


def test_behind_a_proxy_cookies_are_for_https_alone_and_its_name_is_answered(own):
    own.more["LOC_SUPERSET_ADDRESS"] = "https://bi.example.org"
    own.start()
    headers = {
        "host": "bi.example.org",
        "x-forwarded-proto": "https",
        "origin": "https://bi.example.org",
    }
    with httpx.Client(base_url=own.url, trust_env=False, headers=headers) as browser:
        answer = browser.get("/login/")
        assert answer.status_code == 200
        (cookie,) = [
            value
            for value in answer.headers.get_list("set-cookie")
            if value.startswith("loc_superset_")
        ]
        assert "Secure" in cookie and "HttpOnly" in cookie
        assert "max-age" in answer.headers["strict-transport-security"]
        assert browser.get("/health", headers={"host": "other.example.org"}).status_code == 400
        assert (
            browser.get("/health", headers={"origin": "https://other.example.org"}).status_code
            == 403
        )


def test_the_folder_superset_does_not_hide_apache_superset():
    code = "import superset; print(superset.__file__)"
    for python, found in (
        (ROOT / ".venvs/superset/bin/python", "site-packages"),
        (sys.executable, "None"),
    ):
        done = subprocess.run(
            [python, "-c", code],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(ROOT)},
        )
        assert found in done.stdout, done.stderr


def test_it_is_up_where_nothing_was_ever_published(own):
    """Not even the empty first version exists, as after the loss of a disk."""
    shutil.rmtree(own.home / "data/warehouse")
    admin = own.start().log_in()
    for answer in (admin.chart("trips"), admin.sql("select 1")):
        assert (
            400 <= answer.status_code < 500
            and "no data yet" in answer.text
            and "Traceback" not in answer.text
        )
    assert admin.get("/superset/dashboard/taxi-overview/").status_code == 200
