"""`loc ask --evaluate` scores recorded answers; the tests do not measure a real model."""

import json
from datetime import date, datetime
from decimal import Decimal

import pytest

from proto_loc import warehouse
from proto_loc.ai import context
from proto_loc.ai.asking import evaluation, queries
from proto_loc.cli.ask import QUESTIONS
from proto_loc.errors import UsageError

A = [("Queens", 10), ("Bronx", 20)]


@pytest.mark.parametrize(
    ("found", "ordered"),
    [
        (A, True),
        (A[::-1], False),
        ([(10, "Queens"), (20, "Bronx")], True),
        ([("Queens", Decimal("10.0000001")), ("Bronx", 20.0)], False),
        ([("Queens", 1, 10), ("Bronx", 2, 20)], True),
    ],
)
def test_the_same_rows_are_right(found, ordered):
    assert evaluation.difference(A, found, ordered) == ""


@pytest.mark.parametrize(
    ("found", "ordered", "why"),
    [
        (A[::-1], True, "no column holds"),
        (A[:1], False, "1 rows, and 2 are expected"),
        ([("Queens", 20), ("Bronx", 10)], False, "not in the same rows"),
        ([("Queens", 10.01), ("Bronx", 20)], False, "column 2"),
        ([("Queens",), ("Bronx",)], False, "1 columns, and 2 are expected"),
        ([("Queens", "10"), ("Bronx", "20")], False, "column 2"),
        ([("Queens", None), ("Bronx", 20)], False, "column 2"),
        ([], False, "0 rows"),
    ],
)
def test_other_rows_are_wrong(found, ordered, why):
    assert why in evaluation.difference(A, found, ordered)


def test_a_day_and_its_midnight_are_the_same():
    assert evaluation.difference([(date(2025, 1, 1),)], [(datetime(2025, 1, 1),)]) == ""


def test_an_answer_without_rows_is_right_where_none_are_expected():
    assert evaluation.difference([], []) == ""


@pytest.fixture
def recorded(platform, monkeypatch):
    """For each shipped question, the correct answer in the form that a model returns."""
    for name, value in platform.items():
        monkeypatch.setenv(name, value)
    version = warehouse.current("prod")
    models = context.published(queries.reader_of(version), version).models
    return {
        item.question: json.dumps(
            {
                "sql": item.expected
                if item.kind == "sql"
                else context.sql(queries.as_question(item.expected), models)
            }
        )
        for item in evaluation.read(QUESTIONS)
    }


def test_the_questions_that_ship_are_many_and_of_both_kinds():
    items = evaluation.read(QUESTIONS)
    assert len(items) >= 30 and len({item.question for item in items}) == len(items)
    assert min([item.kind for item in items].count(kind) for kind in evaluation.KINDS) >= 10


def test_right_and_wrong_recorded_answers_are_told_apart(loc, model, recorded):
    """Three answers are wrong: a different figure, a query that fails twice, and no
    query at all.
    """
    names = list(recorded)
    wrong = {
        names[0]: '{"sql": "select count(*) + 1 as trips from marts.mart_taxi_trips"}',
        names[1]: '{"sql": "select nonsense"}',
        names[-1]: "I do not know.",
    }
    server, settings = model(lambda messages: (recorded | wrong)[messages[1]["content"]])
    done = loc("ask", "--evaluate", "--format", "json", "--minimum", "0.9", **settings)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {item["question"] for item in found["failures"]} == set(wrong)
    assert found["accuracy"] == pytest.approx(1 - 3 / len(names))
    assert sum(kind["right"] for kind in found["kinds"].values()) == len(names) - 3
    assert len(server.requests) == len(names) + 2  # two fail and are sent again


def test_below_the_minimum_the_exit_code_is_1_and_failures_are_listed(loc, model, tmp_path):
    file = tmp_path / "mine.yml"
    file.write_text("- question: How many?\n  sql: select count(*) from marts.mart_taxi_trips\n")
    _, settings = model(['{"sql": "select 0 as n"}'])
    done = loc("ask", "--evaluate", file, "--minimum", "0.5", **settings)
    assert done.returncode == 1
    assert "wrong: How many?" in done.stdout and "openai/standin: 0 of 1 (0%)" in done.stdout


def test_claims_which_an_evaluation_would_not_heed_are_refused(loc, model):
    server, settings = model([])
    done = loc("ask", "--evaluate", "--claims", '{"boroughs": ["Queens"]}', **settings)
    assert done.returncode == 2 and "--evaluate and --claims cannot be combined" in done.stderr
    assert not server.requests


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("a: 1", "holds no questions"),
        ("- sql: select 1", "question 1 has no question"),
        (
            "- question: a\n  sql: select 1\n  metric: {metrics: [trips]}",
            "either `metric` or `sql`",
        ),
        ("- question: a\n  sql: select 1\n  expects: 5", "It has expects"),
        ("- question: a\n  metric: {metrics: trips}", "The query's 'metrics' is not valid"),
    ],
)
def test_a_file_that_is_no_set_of_questions_is_refused(tmp_path, text, said):
    file = tmp_path / "mine.yml"
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        evaluation.read(file)
