"""Runs what ``ask`` does with a model's answer, and asks the model if one is set.

``loc validate`` starts it in the environment ``notebooks``, and compares the figures.
"""

from pathlib import Path

from proto_loc import warehouse
from proto_loc.ai import context, llm, values
from proto_loc.ai.asking import evaluation, queries
from proto_loc.errors import LocError

MOST_ASKED = 3
"""Questions that the model is asked."""


def prove(questions: list[dict], evaluations: str) -> dict:
    """Answer questions with queries of their own, and by the model.

    Args:
        questions: each with ``question``, and with ``metric`` and ``sql``: its query in both forms.
        evaluations: the path of a file of questions; empty if there is none.

    Returns:
        ``answers``: for each question, the figure by ``metric`` and by ``sql``, each as text, or
        the reason in ``error``. ``evaluations``: their number, and the ``wrong`` ones with reasons.
        ``model``: its name, empty without one; ``why`` there is none; and its ``answers``.
    """
    answers = [_answer(question) for question in questions]
    return {
        "answers": answers,
        "evaluations": _evaluations(Path(evaluations)) if evaluations else None,
        "model": _model(questions[:MOST_ASKED]),
    }


def _answer(question: dict) -> dict:
    answer = {"question": question["question"], "error": ""}
    for form, query in (("metric", question["metric"]), ("sql", {"sql": question["sql"]})):
        try:
            rows = queries.answer_query(question["question"], query).rows
            answer[form] = str(rows[0][0]) if rows and rows[0][0] is not None else None
        except LocError as error:
            answer[form] = None
            answer["error"] = str(error)
    return answer


def _evaluations(file: Path) -> dict:
    """Compare Cube's answer to each expected query of metrics with the SQL of the definitions."""
    version = warehouse.current("prod").verify()
    reader = queries.reader_of(version)
    published = context.published(reader, version)
    items, wrong = evaluation.read(file), []
    for item in items:
        try:
            if item.kind == "sql":
                queries.answer_query(item.question, {"sql": item.expected})
                continue
            question = queries.as_question(item.expected)
            expected = values.load(reader.raw(context.sql(question, published.models)))[2]
            rows = queries.answer_query(item.question, item.expected).rows
            if why := evaluation.difference(expected, rows, item.ordered, item.tolerance):
                wrong.append([item.question, why])
        except LocError as error:
            wrong.append([item.question, str(error)])
    return {"number": len(items), "wrong": wrong}


def _model(questions: list[dict]) -> dict:
    try:
        name = llm.model().name
    except LocError as error:
        return {"name": "", "why": error.what, "fix": error.fix, "answers": []}
    answers = []
    for question in questions:
        try:
            rows = queries.ask(question["question"]).rows
            answers.append([[None if v is None else str(v) for v in row] for row in rows[:10]])
        except LocError as error:
            answers.append({"error": str(error)})
    return {"name": name, "why": "", "fix": "", "answers": answers}
