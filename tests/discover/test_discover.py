"""``loc discover``: its figures are correct, its page is one file, and its limits work."""

import json
import re
import shutil
from decimal import Decimal
from html import unescape

import pytest

from proto_loc import warehouse
from proto_loc.ai.discover import reading
from proto_loc.ai.discover.finding import discover
from proto_loc.errors import LocError

pytestmark = pytest.mark.xdist_group("discover")


@pytest.fixture(scope="module")
def found(platform):
    return discover()


def mart(found, name: str = "taxi_trips"):
    return next(mart for mart in found.marts if mart.model.name == name)


def column(found, name: str):
    return next(column for column in mart(found).columns if column.name == name)


def figures(version: warehouse.Version, sql: str) -> list[tuple]:
    with version.open() as con:
        return con.sql(sql).fetchall()


def test_each_metric_is_compared_with_the_version_before_and_its_segments_add_up(found):
    assert (found.version.id, found.before.id) == (2, 1)
    changes = {change.metric.name: change for change in found.changes}
    assert len(changes) >= 17
    sql = "select count(*), sum(total_amount), sum(tip_amount) from marts.fct_taxi_trips"
    ((old_trips, old_revenue, _),), ((trips, revenue, _),) = (
        figures(found.before, sql),
        figures(found.version, sql),
    )
    assert (changes["trips"].before, changes["trips"].after) == (old_trips, trips)
    assert changes["revenue"].change == revenue - old_revenue
    for name in ("trips", "revenue"):
        assert changes[name].adds_up
        for dimension in ("month", "pickup_borough", "payment_type"):
            parts = [each.change for each in changes[name].segments if each.dimension == dimension]
            assert sum(parts) == changes[name].change, (name, dimension)
    assert not changes["tip_rate"].adds_up


def test_a_finding_names_the_segment_that_drives_a_change(found):
    said = next(
        str(finding) for finding in found.findings if str(finding).startswith("Revenue rose")
    )
    by = figures(
        found.version,
        "select pickup_borough, sum(total_amount) from marts.mart_taxi_trips group by all",
    )
    old = dict(
        figures(
            found.before,
            "select pickup_borough, sum(total_amount) from marts.mart_taxi_trips group by all",
        )
    )
    share = {name: total - old.get(name, 0) for name, total in by}
    top = max(share, key=share.get)
    percent = share[top] / sum(share.values()) * 100
    assert f"pickup borough {top} makes {percent:.1f} % of the change" in said


def test_columns_are_described_as_sql_describes_them(found):
    ((nulls, median, rows),) = figures(
        found.version,
        "select 1 - count(passenger_count) / count(*), median(fare_amount), count(*) from"
        " marts.mart_taxi_trips",
    )
    assert mart(found).rows == mart(found).described == rows
    assert column(found, "passenger_count").nulls == pytest.approx(nulls, abs=1e-4)
    assert column(found, "fare_amount").quartiles[1] == pytest.approx(float(median), rel=0.05)
    counts = dict(
        figures(found.version, "select colour, count(*) from marts.mart_taxi_trips group by all")
    )
    assert dict(column(found, "colour").top) == counts
    assert sum(rows for _, _, rows in column(found, "fare_amount").bins) == pytest.approx(
        0.99 * rows, rel=0.02
    )


def test_the_week_and_what_goes_together_are_found(found):
    seasons = mart(found).seasons
    assert sum(rows for _, rows in seasons.days) == mart(found).rows
    assert 0.5 < seasons.weekly <= 1 and len(seasons.hours) > 100
    strength = {frozenset(pair[:2]): pair[2] for pair in mart(found).related}
    assert strength[frozenset({"duration_seconds", "duration_minutes"})] > 0.99
    assert strength[frozenset({"pickup_weekday", "pickup_weekday_name"})] > 0.99
    assert strength[frozenset({"colour", "pickup_weekday"})] < 0.2, "what does not go together"


@pytest.fixture
def worse(platform, data):
    """A copy with one more version.

    Half of the passenger counts are missing, a tenth of the fares is 100 times as high, and one
    day's rows are there three times.
    """
    shutil.copytree(platform / "data", data, symlinks=True)
    before = warehouse.current("prod")
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute("""
            update marts.fct_taxi_trips set passenger_count = null where trip_id % 2 = 0;
            update marts.fct_taxi_trips set fare_amount = fare_amount * 100 where trip_id % 10 = 1;
            insert into marts.fct_taxi_trips by name
            select f.* replace (f.trip_id + 10_000_000_000_000 * r.n as trip_id)
            from marts.fct_taxi_trips as f, range(1, 3) as r(n)
            where f.pickup_at::date = date '2025-02-12'
        """)
    shutil.copytree(before.folder / "dbt", session.version.folder / "dbt")
    return session.version


def test_gaps_outliers_and_days_against_the_version_before_are_found(worse):
    found = discover()
    said = "\n".join(map(str, found.findings))
    assert re.search(
        r"passenger_count is missing in \d\d\.\d % of the rows, after 1\d\.\d % in the version"
        r" before",
        said,
    )
    assert re.search(r"fare_amount lies far out in 1\d\.\d % of the rows", said)
    assert "2025-02-12 stands out" in said
    assert [day.isoformat() for day, _, _ in mart(found).seasons.standing_out] == ["2025-02-12"]


def test_nothing_is_said_of_a_version_that_is_like_the_one_before(platform, data):
    shutil.copytree(platform / "data", data, symlinks=True)
    before = warehouse.current("prod")
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute("create table marts.note as select 1 as value")
    shutil.copytree(before.folder / "dbt", session.version.folder / "dbt")
    said = [str(finding) for finding in discover().findings]
    assert [
        line
        for line in said
        if "missing" in line or "far out" in line or "rose" in line or "fell" in line
    ] == []


@pytest.mark.slow
def test_noise_of_floating_point_is_no_change_and_no_number_is_said_to_be_none(loc, platform, data):
    """Bugs: the order of a sum made a change of "3.00 → 3.00"; an infinite figure ended the report.

    The relative difference of such sums is about 1e-15.
    """
    shutil.copytree(platform / "data", data, symlinks=True)
    before = warehouse.current("prod")
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        noisy = con.execute("""
            update marts.metric_figures set figure = (figure::double * (1 + 4e-15))::varchar
            where length(figure) > 16;
            update marts.metric_figures set figure = 'inf'
            where metric = 'trips' and dimension = '';
            update marts.metric_figures set figure = (figure::decimal(18, 2) + 0.01)::varchar
            where metric = 'revenue' and dimension = '';
            select distinct metric from marts.metric_figures
            where length(figure) > 16 and dimension = ''
        """).fetchall()
    assert noisy
    shutil.copytree(before.folder / "dbt", session.version.folder / "dbt")
    done = loc("discover", "--no-narrative", "--out", data / "report.html")
    assert done.returncode == 0, done.stderr
    assert "Trips is inf: a value that it is made of is no number." in done.stdout
    page = (data / "report.html").read_text()
    changed = page[
        page.index("What the publish has changed") : page.index("Metrics that have not changed: ")
    ]
    assert [row.partition("</td>")[0] for row in changed.split("<tr><td>")[1:]] == ["Revenue"]


def test_columns_of_any_type_and_figures_that_are_no_numbers_are_described(platform, data):
    """Bug: an interval, a list, an infinite or a missing number ended the report with an error."""
    shutil.copytree(platform / "data", data, symlinks=True)
    before = warehouse.current("prod")
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute("""
            create table marts.wider as
            select loads.* exclude (n), to_seconds(i) as took, [i] as items,
                {'a': i} as pair, i::hugeint as number,
                case i when 0 then 'nan'::double when 1 then 'inf'::double
                    when 2 then '-inf'::double else i end as odd,
                if(i < 50, 'nan'::double, i) as odder, if(i < 60, 'inf'::double, i) as oddest,
                i::utinyint as small
            from (select *, row_number() over () as n from marts.mart_data_quality) as loads,
                range(120) r(i)
            where n = 1;
            drop table marts.mart_data_quality;
            alter table marts.wider rename to mart_data_quality
        """)
    shutil.copytree(before.folder / "dbt", session.version.folder / "dbt")
    quality = mart(discover(), "data_quality").columns
    kinds = {each.name: each.kind for each in quality}
    assert (kinds["took"], kinds["items"], kinds["number"], kinds["small"]) == (
        "other",
        "other",
        "number",
        "number",
    )
    odd = next(each for each in quality if each.name == "odd")
    assert sum(rows for _, _, rows in odd.bins) == pytest.approx(117, abs=2)


def test_a_large_mart_is_described_from_a_sample_which_is_the_same_each_time(platform, monkeypatch):
    monkeypatch.setattr(reading, "SAMPLE", 500)
    one, other = discover(), discover()
    assert 400 < mart(one).described < 600 < mart(one).rows
    assert (
        mart(one).described
        == mart(other).described
        == sum(rows for _, rows in column(one, "colour").top)
    )
    assert column(one, "fare_amount").bins == column(other, "fare_amount").bins
    assert sum(rows for _, rows in mart(one).seasons.days) == mart(one).rows, (
        "days are counted over all rows"
    )


def test_what_takes_too_long_or_too_much_memory_is_refused_in_a_sentence(platform, monkeypatch):
    monkeypatch.setattr(reading, "TIMEOUT", 0.2)
    slow = reading.Reading(warehouse.current("prod"))
    with pytest.raises(LocError, match="One of its queries ran for 0.2 seconds"):
        slow.rows("select count(*) from range(100000) a, range(100000) b, range(1000) c")
    slow.close()


def test_it_reads_only(platform):
    one = reading.Reading(warehouse.current("prod"))
    for sql in (
        "create table marts.x as select 1",
        "copy (select 1) to '/tmp/discover-x.csv'",
        "from read_csv('/etc/passwd')",
    ):
        with pytest.raises(Exception, match="(?i)read-only|disabled"):
            one.rows(sql)
    one.close()


def test_the_page_needs_nothing_else_and_names_the_origin_of_the_data(loc, platform, tmp_path):
    done = loc("discover", "--out", tmp_path / "report.html")
    assert done.returncode == 0, done.stderr
    assert f"report: {tmp_path / 'report.html'}" in done.stdout and "Revenue rose by" in done.stdout
    page = (tmp_path / "report.html").read_text()
    assert "Origin of the data: synthetic." in page
    assert page.count('src="data:image/png;base64,') >= 5
    assert "<script" not in page and "default-src 'none'" in page
    assert set(re.findall(r'(?:src|href)="?([^">]{5})', page)) == {"data:"}
    assert page.count("Set LOC_LLM_MODEL to a model") == 1


def test_json_is_for_programs_and_the_report_is_in_the_run_folder(loc, platform):
    done = loc("discover", "--json", "--no-narrative")
    said = json.loads(done.stdout)
    assert said["report"] == str(platform / "run/reports/discover-000002.html")
    assert (said["version"], said["before"], said["told"], said["wrong_figures"]) == (
        2,
        1,
        False,
        [],
    )
    assert said["findings"]


def test_on_a_platform_whose_first_load_has_not_run_it_says_so(loc, tmp_path):
    """Bug: the message was that version 1 has no manifest."""
    variables = {"LOC_DATA": str(tmp_path / "data"), "LOC_RUN": str(tmp_path / "run")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", variables["LOC_DATA"])
        warehouse.ensure("prod")
    done = loc("discover", **variables)
    assert (
        done.returncode == 1
        and "prod holds no data yet" in done.stderr
        and "loc first-load" in done.stderr
    )


def test_without_data_it_says_what_to_do(loc, tmp_path):
    done = loc("discover", LOC_DATA=str(tmp_path / "data"))
    assert done.returncode == 1 and "loc refresh" in done.stderr and "Traceback" not in done.stderr


def told(messages: list[dict]) -> str:
    """Answer as a model with a correct figure, a wrong one, and one that is not in the report."""
    fact = re.search(r"^\[(f\d+)\] Revenue: (\$[\d,.]+)$", messages[-1]["content"], re.MULTILINE)
    return (
        f"Revenue is {fact[2]} [{fact[1]}]. <b>It was $1.00 [{fact[1]}]</b>, and 7 boroughs lead."
    )


def test_a_models_figures_are_checked_and_those_that_do_not_check_out_are_marked(
    loc, model, platform, tmp_path
):
    server, variables = model(told)
    done = loc("discover", "--out", tmp_path / "report.html", **variables)
    assert done.returncode == 0, done.stderr
    assert "2 figures of the model do not check out; the report marks them." in done.stderr
    assert "are sent to openai/standin" in done.stderr, "that figures go to a model is announced"
    page = (tmp_path / "report.html").read_text()
    ((revenue,),) = figures(
        warehouse.current("prod"), "select sum(total_amount) from marts.fct_taxi_trips"
    )
    assert f'<span class="checked" title="Revenue">${Decimal(revenue):,.2f}</span>' in page
    assert re.findall(r"<mark[^>]*>([^<]*)</mark>", page) == ["$1.00", "7"]
    assert "1 figures checked against the data, 2 marked" in page and "<b>It" not in page
    assert len(server.requests) == 1


@pytest.mark.slow
def test_a_model_that_fails_costs_the_words_and_not_the_report(loc, model, tmp_path):
    _, variables = model([])
    done = loc("discover", "--out", tmp_path / "report.html", **variables)
    assert done.returncode == 0, done.stderr
    assert "Not told in a model's words: openai/standin" in unescape(
        (tmp_path / "report.html").read_text()
    )
    assert "note: " in done.stderr


def test_no_figure_is_sent_where_the_setting_says_so(loc, model, tmp_path):
    server, variables = model(told)
    done = loc("discover", "--out", tmp_path / "report.html", LOC_LLM_SEND_ROWS="0", **variables)
    assert done.returncode == 0 and server.requests == []
    assert "LOC_LLM_SEND_ROWS is 0" in (tmp_path / "report.html").read_text()
