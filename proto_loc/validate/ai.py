"""Step on the AI: what it answers is what the warehouse has, with a model if one is set."""

import json
import os
import subprocess
from collections.abc import Iterator

from proto_loc.doctor.finding import Finding, ok
from proto_loc.errors import LocError
from proto_loc.metrics.expressions import render
from proto_loc.settings import ROOT, environment_folder
from proto_loc.setup import environments
from proto_loc.sql import identifier
from proto_loc.validate import figures
from proto_loc.validate.doors import has_figures, measured, unasked
from proto_loc.validate.proof import Proof, fail, skip

EVALUATIONS = ROOT / "evaluations/questions.yml"
TIMEOUT = 600.0


def asked(proof: Proof) -> Iterator[Finding]:
    """Run queries as `loc ask` runs those of a model, and ask the model if one is set."""
    if not has_figures(proof) or "cube" not in proof.ready:
        yield unasked(proof, "cube", "Cube")
        return
    questions, keys = [], []
    for model in measured(proof):
        table = identifier(model.schema, model.table)
        for metric in model.metrics:
            if (model.name, metric.name, "", "") not in proof.expected.figures:
                continue
            keys.append((model.name, metric.name, "", ""))
            sql = f"select {render(metric.expression)} as figure from {table}"
            text = f"What is {metric.label} in total, over all rows?"
            query = {"metrics": [f"{model.name}.{metric.name}"]}
            questions.append({"question": text, "metric": query, "sql": sql})
    proof.say("queries as a language model writes them")
    has_evaluations = EVALUATIONS.exists() and bool(EVALUATIONS.read_text().strip())
    done = _run(questions, str(EVALUATIONS) if has_evaluations else "")
    for form, words in (("metric", "by metrics"), ("sql", "by SQL, through the guard")):
        shown = {key: answer[form] for key, answer in zip(keys, done["answers"], strict=True)}
        errors = [answer["error"] for answer in done["answers"] if answer["error"]]
        wrong = figures.differences(
            proof.expected, shown, {(model.name, "") for model in measured(proof)}
        )
        if wrong:
            why = errors[0] if errors else figures.listed(wrong)
            yield fail(f"`loc ask` does not give the warehouse's figures {words}.", why)
        else:
            yield ok(f"`loc ask` gives the same {len(shown)} figures {words}")
    if form := done["evaluations"]:
        if form["wrong"]:
            question, why = form["wrong"][0]
            yield fail(
                f"{len(form['wrong'])} of {form['number']} queries of {EVALUATIONS} do not give"
                " what the definitions say.",
                f"{question} {why}",
                "Correct the file: `loc ask --evaluate` compares a model with it.",
            )
        else:
            yield ok(f"{form['number']} expected queries of evaluations/questions.yml run")
    yield from _by_model(proof, done["model"], keys, questions)


def _by_model(proof: Proof, model: dict, keys: list, questions: list) -> Iterator[Finding]:
    if not model["name"]:
        yield skip(f"No model was asked: {model['why']}", "", model["fix"])
        return
    totals = {}
    for key, question, answer in zip(keys, questions, model["answers"], strict=False):
        if isinstance(answer, dict):
            yield fail(f"{model['name']} did not answer: {question['question']}", answer["error"])
            continue
        expected = proof.expected.figures[key]
        exact = key[:2] not in proof.expected.inexact
        cells = [cell for row in answer for cell in row if cell is not None]
        if any(figures.same(expected, cell, exact=exact) for cell in cells):
            totals[key[1]] = expected
            yield ok(f"{model['name']}: {question['question']} {expected}")
        else:
            yield fail(
                f"{model['name']} answers another figure: {question['question']}",
                f"It gives {', '.join(cells[:3]) or 'nothing'}, and the warehouse has {expected}.",
                "Try another model, or see how it does: `loc ask --evaluate`, docs/ai.md.",
            )
    proof.record("Model", totals)


def _run(questions: list[dict], evaluations: str) -> dict:
    """Run :mod:`proto_loc.ai.asking.proving` in the environment ``notebooks``.

    Raises:
        LocError: it failed.
    """
    environments.sync("notebooks")
    options = json.dumps({"questions": questions, "evaluations": evaluations})
    python = environment_folder("notebooks") / "bin/python"
    done = subprocess.run(
        [python, "-P", "-m", "proto_loc.ai", "prove", options],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["It says nothing."]
        raise LocError(
            "The queries of `loc ask` cannot be run.",
            lines[0].removeprefix("error: "),
            "Run it by hand to see more: loc ask 'QUESTION'",
        )
    return json.loads(done.stdout.splitlines()[-1])
