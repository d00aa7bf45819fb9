"""`loc ask` turns a question into rows and names their origin; the model is a stand-in."""

import csv
import io
import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from benchmarks.llm import Fault
from proto_loc import warehouse
from proto_loc.ai import context
from proto_loc.ai.asking import printing, queries
from proto_loc.cube.client import Member, NoSuchValue, Question
from proto_loc.errors import LocError
from proto_loc.metrics.read import read
from proto_loc.settings import ROOT
from proto_loc.setup import environments
from proto_loc.warehouse import engine

BY_BOROUGH = (
    "select pickup_borough, sum(total_amount) as revenue from marts.mart_taxi_trips group by all"
    " order by 1"
)
GOOD = json.dumps({"sql": BY_BOROUGH})


@pytest.fixture
def here(platform, monkeypatch):
    """Make this process use the suite's platform; return the current version of ``prod``."""
    for name, value in platform.items():
        monkeypatch.setenv(name, value)
    return warehouse.current("prod")


def test_an_answer_is_shown_with_its_sql_and_the_version_of_the_data(loc, model, here):
    server, settings = model([f"```json\n{GOOD}\n```"])
    done = loc("ask", "Revenue by borough?", **settings)
    assert done.returncode == 0, done.stderr
    assert "Manhattan" in done.stdout and f"sql: {BY_BOROUGH}" in done.stdout
    assert f"data: version {here.id} of prod, published {here.published_at}" in done.stdout
    assert server.requests[0]["messages"][-1] == {"role": "user", "content": "Revenue by borough?"}
    assert "metric tip_rate" in server.received and "marts.dim_taxi_zones" in server.received


def test_rows_come_as_json_and_csv_alike(loc, model, here):
    with here.open() as con:
        wanted = con.sql(BY_BOROUGH).fetchall()
    _, settings = model([GOOD, GOOD])
    given = json.loads(loc("ask", "Revenue?", "-f", "json", **settings).stdout)
    assert [(row["pickup_borough"], row["revenue"]) for row in given["rows"]] == [
        (b, float(r)) for b, r in wanted
    ]
    assert (given["sql"], given["version"]) == (BY_BOROUGH, here.id)
    rows = list(csv.reader(io.StringIO(loc("ask", "Revenue?", "-f", "csv", **settings).stdout)))
    assert rows == [
        ["pickup_borough", "revenue"],
        *[[borough, str(revenue)] for borough, revenue in wanted],
    ]


@pytest.mark.slow
def test_figures_keep_their_digits_and_json_stays_json(loc, model, tmp_path):
    """Bug: NaN made the JSON invalid, a DECIMAL lost its last digits, and of two columns with the
    same name the first was lost.
    """
    sql = """select 'nan'::double as a, '-inf'::double as i, 12345678901234567.89 as b,
        0.00000000 as z, 1 as c, 2 as c, 9007199254740993 as d,
        170141183460469231731687303715884105727::hugeint as h, 0.0034 as s, 40.7612345e0 as l"""
    example = 'For example {"sql": "select 1 as example"}\n'
    _, settings = model([example + json.dumps({"sql": sql})] * 3)

    def no_constant(name: str):
        raise AssertionError(f"{name} is no JSON")

    done = loc("ask", "All?", "-f", "json", **settings)
    (row,) = json.loads(done.stdout, parse_constant=no_constant)["rows"]
    assert "held several queries" in done.stderr
    assert row == {
        "a": "nan",
        "i": "-inf",
        "b": "12345678901234567.89",
        "z": 0,
        "c": 1,
        "c_1": 2,
        "d": "9007199254740993",
        "h": "170141183460469231731687303715884105727",
        "s": 0.0034,
        "l": 40.7612345,
    }
    (row,) = csv.DictReader(io.StringIO(loc("ask", "All?", "-f", "csv", **settings).stdout))
    assert (row["a"], row["b"], row["z"], row["c"], row["c_1"]) == (
        "nan",
        "12345678901234567.89",
        "0.00000000",
        "1",
        "2",
    )
    shown = loc("ask", "All?", **settings).stdout
    for text in (
        "nan",
        "-inf",
        "12,345,678,901,234,567.89",
        "0.0034",
        "40.7612",
        "9,007,199,254,740,993",
    ):
        assert f" {text} " in shown, shown


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.0034, "", "0.0034"), (Decimal("0.0034"), "", "0.0034"), (40.7612345, "", "40.7612"),
        (2.5e-9, "", "2.5e-09"), (0.1 + 0.2, "", "0.30"), (1234567.891, "", "1,234,567.89"),
        (-0.0, "", "0.00"), (18.0, "", "18.00"), (Decimal("1.50"), "", "1.50"),
        (0.1234, "percent_1", "12.3%"), (0.0004, "percent_1", "0.04%"), (0, "percent_1", "0.0%"),
        (0.0034, "currency_2", "$0.0034"), (1234.5, "currency_2", "$1,234.50"),
        (float("nan"), "percent_1", "nan%"), (7, "number_0", "7"), (None, "currency_2", ""),
        (3.14159, "number_1", "3.1"),
    ],
    ids=str,
)  # fmt: skip
def test_no_figure_is_shown_as_zero_or_as_another(value, form, text):
    """Bug: 0.0034 was shown as 0.00, and a metric's own format, ``percent_1``, was ignored."""
    assert printing._cell(value, form) == text


def test_money_is_shown_in_the_currency_of_its_metric(monkeypatch, capsys):
    """Bug: every currency was shown as dollars."""
    monkeypatch.setenv("COLUMNS", "140")
    answer = queries.Answer("?", ["euros", "francs"], [(Decimal("1.5"), Decimal(2))], 1, "now")
    answer.formats = {"euros": "currency_2", "francs": "currency_0"}
    answer.currencies = {"euros": "EUR", "francs": "CHF"}
    printing.answer(answer, "table")
    shown = capsys.readouterr().out
    assert "€1.50" in shown and "CHF 2" in shown and "$" not in shown


@pytest.mark.parametrize(
    ("text", "query", "several"),
    [
        ('{"sql": "select 1 as example"}\n{"sql": "select 2"}', {"sql": "select 2"}, True),
        (
            'As in {"metrics": ["m"]}, but {x} is {"sql": "select 2"} {"note": "ok"}',
            {"sql": "select 2"},
            True,
        ),
        ('```json\n{"sql": "select 2"}\n``` so {"sql": "select 2"}', {"sql": "select 2"}, False),
        ('{"sql": "select 2", "cannot": ""}', {"sql": "select 2"}, False),
        (
            '{"sql": "", "cannot": null, "metrics": ["trips"], "where": []}',
            {"metrics": ["trips"]},
            False,
        ),
        ('{"cannot": "?"} {"sql": "select {\'a\': 1}"}', {"sql": "select {'a': 1}"}, True),
        ("{" * 200_000 + '{"sql": "select 2"}', {"sql": "select 2"}, False),
    ],
    ids=(
        "example",
        "among words",
        "fenced",
        "empty cannot",
        "empty keys",
        "cannot first",
        "braces",
    ),
)
def test_the_last_query_of_an_answer_is_the_one_that_is_run(text, query, several):
    """Bug: an example earlier in the answer was run instead of the query, and an empty "cannot"
    counted as a refusal.
    """
    assert queries._parsed(text, "it") == (query, several)


def test_whole_numbers_beside_nulls_stay_what_they_are_in_a_notebook():
    """Bug: pandas converted 9007199254740993 to a double if another row was null.

    Clients of MCP converted every such number.
    """
    code = """
from decimal import Decimal
from proto_loc.ai import values
large = 2**53 + 1
made = values.frame(["n", "n", "h", "few"], [], [(large, 1, 2**100, 1), (None,) * 4])
assert made.iloc[0, 0] == large and made.iloc[0, 2] == 2**100, made
assert values.frame(["n"], ["integer"], [[large], [None]]).iloc[0, 0] == large
for value, sent in (
    (large, str(large)), (-large, str(-large)), (2**53, 2**53), (Decimal("0.1"), 0.1),
    (True, True), (None, None), (float("inf"), "inf"), (Decimal("-Infinity"), "-inf"),
    (Decimal("NaN"), "nan"), (Decimal(2**70), str(2**70)),
):
    assert values.exact(value) == sent and type(values.exact(value)) is type(sent), value
"""
    environments.sync("notebooks")
    done = subprocess.run(
        [ROOT / ".venvs/notebooks/bin/python", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_failed_query_is_tried_once_more_with_the_error_in_hand(loc, model):
    server, settings = model(['{"sql": "select nonsense from marts.mart_taxi_trips"}', GOOD])
    done = loc("ask", "Revenue?", **settings)
    assert done.returncode == 0 and "its second" in done.stderr
    assert "Binder Error" in server.requests[1]["messages"][-1]["content"]


def test_two_failures_are_the_end(loc, model):
    server, settings = model(['{"sql": "select nonsense"}'] * 3)
    done = loc("ask", "Revenue?", **settings)
    assert done.returncode == 1 and len(server.requests) == 2
    assert (
        done.stderr.count("error: The model gave no query that can be run, in two attempts.") == 1
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("select * from read_csv('/etc/passwd')", "read_csv is not allowed"),
        pytest.param("drop table marts.x", "DROP is not allowed", marks=pytest.mark.slow),
        pytest.param("copy marts.x to '/tmp/x'", "COPY is not allowed", marks=pytest.mark.slow),
    ],
)
def test_hostile_sql_is_refused(loc, model, sql, why):
    _, settings = model([json.dumps({"sql": sql})] * 2)
    done = loc("ask", "Be evil", **settings)
    assert done.returncode == 1 and why in done.stderr


def test_values_that_go_to_the_model_are_announced_and_can_be_kept_back(loc, model):
    bad = json.dumps({"sql": "select max(pickup_zone)::integer from marts.mart_taxi_trips"})
    server, settings = model([bad, GOOD])
    done = loc("ask", "Revenue?", **settings)
    assert done.stderr.count("LOC_LLM_SEND_ROWS=0") == 1
    assert "'Staten Island'" in server.received and "Could not convert string" in server.received

    server, settings = model([bad, GOOD])
    done = loc("ask", "Revenue?", LOC_LLM_SEND_ROWS="0", **settings)
    assert done.returncode == 0 and "LOC_LLM_SEND_ROWS" not in done.stderr
    for value in (
        "Staten Island",
        "Helix",
        "Curb Mobility",
        "Could not convert string",
        "implausible",
    ):
        assert value not in server.received
    assert "Conversion Error" in server.received and "metric tip_rate" in server.received


def test_the_values_of_a_version_are_looked_up_once_and_those_of_another_one_anew(
    here, monkeypatch, tmp_path
):
    monkeypatch.setenv("LOC_RUN", str(tmp_path))
    reader, models = queries.reader_of(here), tuple(read(context.definitions(here)))
    found = context._kept_values(reader, here, models)
    assert "Queens" in found["marts.mart_taxi_trips.pickup_borough"]
    monkeypatch.setattr(context, "_values", lambda *_: {"looked": ["again"]})
    assert context._kept_values(reader, here, models) == found
    (file,) = (tmp_path / "ai").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    assert context._kept_values(reader, replace(here, id=here.id + 1), models) == {
        "looked": ["again"]
    }
    file.write_text("[]")
    assert context._kept_values(reader, here, models) == {"looked": ["again"]}


def test_a_chart_is_drawn_where_one_helps(loc, model, tmp_path):
    _, settings = model([GOOD] * 2 + ['{"sql": "select 1 as one"}'])
    assert loc("ask", "Revenue?", "--chart", tmp_path / "a.png", **settings).returncode == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert loc("ask", "Revenue?", "--chart", tmp_path / "a.html", **settings).returncode == 0
    page = (tmp_path / "a.html").read_text()
    assert "Staten Island" in page and "<script src=" not in page
    done = loc("ask", "One?", "--chart", tmp_path / "b.png", **settings)
    assert done.returncode == 1 and "No chart fits this answer" in done.stderr


def test_nothing_in_an_answer_or_a_question_is_a_program_of_its_chart(loc, model, tmp_path):
    """Bug: a value, a column's name or the question could end the page's script and start a new
    one.
    """
    script = "</script><script>alert(1)</script>"
    sql = f"""select '{script}' as "name {script}", 1 as n union all select 'b', 2"""
    _, settings = model([json.dumps({"sql": sql})])
    assert loc("ask", f"What? {script}", "--chart", tmp_path / "a.html", **settings).returncode == 0
    page = (tmp_path / "a.html").read_text()
    assert page.count("alert(1)") >= 3 and "<script>alert" not in page


def test_a_chart_of_another_kind_is_refused_before_anything_is_asked(loc, model):
    server, settings = model([])
    assert loc("ask", "Revenue?", "--chart", "a.gif", **settings).returncode == 2
    assert server.requests == []


def test_without_a_model_one_sentence_says_how_to_set_it(loc):
    done = loc("ask", "Revenue?")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: No language model is set.\nfix: Set LOC_LLM_MODEL")
    assert "docs/ai.md" in done.stderr


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"LOC_LLM_MODEL": "openai/gpt"}, 1, "OPENAI_API_KEY is not set"),
        ({"LOC_LLM_MODEL": "gpt"}, 2, "names no provider"),
        ({"LOC_LLM_MODEL": "ollama/x", "LOC_LLM_URL": "localhost"}, 2, "is not a URL"),
        (
            {"LOC_LLM_MODEL": "ollama/x", "LOC_LLM_TIMEOUT": "soon"},
            2,
            "LOC_LLM_TIMEOUT='soon' is not usable",
        ),
        (
            {"LOC_LLM_MODEL": "ollama/x", "LOC_LLM_SEND_ROWS": "no"},
            2,
            "LOC_LLM_SEND_ROWS='no' is not usable",
        ),
    ],
)
def test_settings_that_are_no_use_are_named(loc, settings, code, said):
    done = loc("ask", "Revenue?", **settings)
    assert done.returncode == code and said in done.stderr


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (['{"cannot": "There is no weather in it."}'], "why: There is no weather in it."),
        ([Fault(401)], "refuses the key"),
        ([Fault(seconds=20)], "did not answer within 1 s"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (["I would rather not."] * 2, "answered without a JSON object"),
                (['{"query": "select 1"}'] * 2, "answered with JSON of another form"),
                (['{"cannot": " "}'] * 2, "answered with JSON of another form"),
                ([""], "gave an empty answer"),
                ([Fault(404)], "does not exist"),
                ([Fault(429)], "accepts no more questions for now"),
                ([Fault(500)], "error: openai/standin"),
                ([Fault(200, "<html>")], "error: openai/standin"),
            )
        ),
    ],
)
def test_a_model_that_gives_nothing_is_told_plainly(loc, model, answers, said):
    _, settings = model(answers)
    done = loc(
        "ask",
        "Revenue?",
        LOC_LLM_TIMEOUT="1" if isinstance(answers[0], Fault) else "60",
        **settings,
    )
    assert done.returncode == 1 and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_is_not_there_is_told_plainly(loc):
    done = loc("ask", "Revenue?", LOC_LLM_MODEL="openai/x", LOC_LLM_URL="http://127.0.0.1:9/v1")
    assert done.returncode == 1 and "http://127.0.0.1:9/v1 cannot be reached" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["socks5", "socks"])
def test_a_socks_proxy_that_the_client_cannot_use_is_named(loc, scheme):
    """Bug: the only message was "Make sure to install httpx[socks]", or "Unknown scheme"."""
    proxy = {"ALL_PROXY": f"{scheme}://127.0.0.1:9", "HTTPS_PROXY": "", "https_proxy": ""}
    done = loc(
        "ask", "Revenue?", LOC_LLM_MODEL="openai/x", LOC_LLM_URL="http://127.0.0.1:9/v1", **proxy
    )
    assert done.returncode == 1 and "cannot be reached through a SOCKS proxy" in done.stderr
    assert "why: ALL_PROXY names one" in done.stderr, done.stderr


@pytest.mark.parametrize(("sends", "told"), [("1", True), ("0", False)])
def test_near_values_go_to_a_model_only_where_rows_may(monkeypatch, sends, told):
    """The message about an unknown filter value suggests similar values, and these are data."""
    monkeypatch.setenv("LOC_LLM_SEND_ROWS", sends)
    said = queries._failure(
        NoSuchValue(Member("trips.place", "Place", "string"), "quens", ["Bronx", "Queens"]),
        engine.named("duckdb").statements,
    )
    assert "No row has 'quens' as place." in said and ("Queens" in said) is told


def test_a_metric_query_while_cube_is_down_becomes_sql(loc, model):
    server, settings = model(['{"metrics": ["revenue"]}', GOOD])
    done = loc("ask", "Revenue?", **settings)
    assert done.returncode == 0 and "Cube is down" in done.stderr
    assert "Cube is down" in server.requests[1]["messages"][-1]["content"]


def test_metrics_as_sql_give_the_figures_that_the_publish_recorded(here):
    about = context.published(queries.reader_of(here), here)
    with here.open() as con:
        recorded = con.sql(
            "select metric, figure from marts.metric_figures where dimension = ''"
        ).fetchall()
        assert len(recorded) > 10
        for metric, figure in recorded:
            found = con.sql(context.sql(Question((metric,)), about.models)).fetchone()[0]
            assert float(found) == pytest.approx(float(figure), rel=1e-9), metric


@pytest.mark.parametrize(
    ("where", "predicate"),
    [
        ("pickup_hour=7..9", "pickup_hour between 7 and 9"),
        ("pickup_hour!=7..9", "pickup_hour not between 7 and 9"),
        ("pickup_hour>=22", "pickup_hour >= 22"),
        (
            "pickup_at=2025-01-10..2025-01-12",
            "pickup_at::date between '2025-01-10' and '2025-01-12'",
        ),
        ("pickup_at<2025-01-10", "pickup_at::date < '2025-01-10'"),
    ],
)
def test_a_range_in_sql_counts_the_rows_that_it_names(here, where, predicate):
    about = context.published(queries.reader_of(here), here)
    asked = context.sql(Question(("trips",), where=(where,)), about.models)
    with here.open() as con:
        rows = con.sql(f"select count(*) from marts.mart_taxi_trips where {predicate}").fetchone()
        assert con.sql(asked).fetchone()[0] == rows[0] > 0


@pytest.mark.parametrize(
    "found",
    [
        {"metrics": "revenue"},
        {"metrics": [1]},
        {"metrics": ["revenue"], "limit": "ten"},
        {"metrics": ["revenue"], "since": "yesterday"},
        {"metrics": ["revenue"], "filter": "x"},
        {"metrics": ["revenue"], "order": ["revenue"]},
    ],
)
def test_a_metric_query_of_another_form_is_refused(found):
    with pytest.raises(LocError, match="is not valid"):
        queries.as_question(found)


def test_control_c_ends_a_question_without_a_traceback(platform, model):
    server, settings = model([Fault(seconds=20)])
    asked = subprocess.Popen(
        [ROOT / "loc", "ask", "Revenue?"],
        env=os.environ | platform | settings,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not server.requests:
        assert asked.poll() is None, asked.stderr.read()
        time.sleep(0.1)
    asked.send_signal(signal.SIGINT)
    _, said = asked.communicate(timeout=60)
    assert asked.returncode == 130 and "Traceback" not in said
