"""``ask``: turns a question into one query of metrics or SQL, and runs it."""

import itertools
import json
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from proto_loc import warehouse
from proto_loc.ai import context, llm, prompts, values
from proto_loc.ai.sql_reader import SqlReader
from proto_loc.ai.text import clean
from proto_loc.cube.client import ALL_ROWS, Cube, Question
from proto_loc.cube.client import Answer as Measured
from proto_loc.errors import LocError, UsageError
from proto_loc.settings import settings
from proto_loc.warehouse.engine import Statements

TIMEOUT = 30.0
"""Seconds that a query may run."""
MOST_READ = 100_000
"""Number of characters at the end of a model's answer that are read."""
TEXTS = ("since", "until", "order")
LISTS = ("metrics", "dimensions", "where")


@dataclass
class Answer:
    """The rows of an answer, and where they come from."""

    question: str
    columns: list[str]
    rows: list[tuple]
    version: int
    """The version of ``prod`` that was read."""
    published_at: str
    """UTC, ISO 8601."""
    sql: str = ""
    """The statement that was run; empty for a query of metrics."""
    metric_query: dict | None = None
    """The query that was sent to Cube, with the keys of `loc query`."""
    truncated: bool = False
    notes: list[str] = field(default_factory=list)
    formats: dict[str, str] = field(default_factory=dict)
    """The format of each metric's column: ``percent_1``, ``currency_2``."""
    currencies: dict[str, str] = field(default_factory=dict)
    """The currency of each metric's column: ``EUR``."""

    @property
    def table(self):
        """The rows as a pandas DataFrame; integers stay exact, also in a column with nulls."""
        return values.frame(self.columns, [], self.rows)

    @property
    def chart(self):
        """The rows as an Altair chart, or None if no chart fits them."""
        from proto_loc.ai.asking import chart

        return chart.of(self)

    def _repr_html_(self) -> str:
        from html import escape

        asked = self.sql or json.dumps(self.metric_query)
        lines = [f"Version {self.version} of {self.published_at}", *self.notes]
        table, notes = self.table.to_html(index=False), escape(". ".join(lines))
        return f"{table}<pre>{escape(asked)}</pre><p>{notes}</p>"


def ask(question: str, claims: Mapping = ALL_ROWS) -> Answer:
    """Answer a question in plain words from the published data.

    Raises:
        LocError: no model is set, two answers of the model failed, or there is no data.
    """
    if not question.strip():
        raise prompts.no_question()
    asked = llm.model()
    llm.warm()
    version = warehouse.current("prod").verify()
    reader = reader_of(version)
    published = context.published(reader, version, claims)
    cube = cube_is_up()
    if published.values:
        llm.announce(
            "The different values of some columns, and what an error of the database quotes,"
        )
    messages = [
        {"role": "system", "content": prompts.ask(published, cube)},
        {"role": "user", "content": question},
    ]
    for attempt in (1, 2):
        text = llm.complete(messages)
        try:
            query, several = _parsed(text, asked.name)
            answer = _run(question, query, published, reader, cube)
            if several:
                answer.notes.append(
                    "The model's answer held several queries; this is the last of them"
                )
            if attempt == 2:
                answer.notes.append("The model's first query failed; this is its second")
            return answer
        except Cannot:
            raise
        except LocError as error:
            if attempt == 2:
                raise LocError(
                    "The model gave no query that can be run, in two attempts.",
                    f"{error.what.rstrip('.')}: {error.why}" if error.why else error.what,
                    "Ask differently, or try another model; `loc query` needs no model.",
                ) from error
            messages += [
                {"role": "assistant", "content": text},
                {"role": "user", "content": _failure(error, version.keeper.statements)},
            ]
    raise AssertionError("not reached")


def answer_query(question: str, query: dict, claims: Mapping = ALL_ROWS) -> Answer:
    """Run a query of the form that a model answers with, as :func:`ask` runs a model's.

    Args:
        query: the keys of `loc query`, or ``{"sql": ...}``.

    Raises:
        LocError: the query is refused or fails, or there is no data.
    """
    version = warehouse.current("prod").verify()
    reader = reader_of(version)
    published = context.published(reader, version, claims)
    return _run(question, query, published, reader, cube_is_up())


class Cannot(LocError):
    """The model says that the data cannot answer the question."""


def reader_of(version: warehouse.Version) -> SqlReader:
    """The reader of a published version, cached for the next question."""
    return _reader(version.database, version.id, version.folder)


@lru_cache(maxsize=2)
def _reader(database: str, version_id: int, _: Path) -> SqlReader:
    version = warehouse.find(database, version_id)
    reader = SqlReader(version.keeper.reader(version, schema="marts"), TIMEOUT, context.ROWS)
    reader.start()
    return reader


def cube_is_up() -> bool:
    """Whether a process listens on Cube's port."""
    with closing(socket.socket()) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", settings().port("cube"))) == 0


def _failure(error: LocError, statements: Statements) -> str:
    """Write the message that tells the model why its query failed.

    If no values may be sent, the message leaves out the values that the engine quotes.
    """
    why = error.why
    if not llm.sends_rows():
        why = statements.without_values(why)
    return f"That failed. {error.what} {why}\nCorrect it, and answer with one JSON object again."


def _parsed(text: str, name: str) -> tuple[dict, bool]:
    """Return the last valid JSON object in a model's answer, and whether other objects differ.

    Models think aloud and give examples, so the last object is the answer. Empty keys are dropped.

    Raises:
        LocError: no object has one of the forms that the prompt asks for.
        Cannot: the model says that it has no answer.
    """
    objects = [
        {key: value for key, value in item.items() if not _blank(value)}
        for item in _objects(text[-MOST_READ:])
    ]
    if not objects:
        shown = " ".join(text.split())[:200]
        raise LocError(f"{name} answered without a JSON object.", f"It answered: {shown!r}.", "")
    answers = [item for item in objects if _is_text(item.get("cannot")) or _is_query(item)]
    if not answers:
        keys = ", ".join(objects[-1])[:200] or "all empty"
        raise LocError(f"{name} answered with JSON of another form.", f"Its keys are: {keys}.", "")
    answer = answers[-1]
    if _is_text(answer.get("cannot")):
        raise Cannot(
            f"{name} finds no answer in the data.",
            clean(answer["cannot"])[:500],
            "Ask for what the marts hold.",
        )
    return answer, any(item != answer for item in answers)


def _objects(text: str) -> list[dict]:
    """Every top-level JSON object in a text."""
    decoder, objects, at = json.JSONDecoder(), [], text.find("{")
    while at >= 0:
        try:
            item, end = decoder.raw_decode(text, at)
            objects.append(item)
        except (ValueError, RecursionError):
            end = at + 1
        at = text.find("{", end)
    return objects


def _blank(value: object) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_query(item: dict) -> bool:
    return bool(item.get("metrics")) or _is_text(item.get("sql"))


def _run(
    question: str, query: dict, published: context.Published, reader: SqlReader, cube: bool
) -> Answer:
    if query.get("metrics"):
        if not cube:
            raise LocError("Metrics cannot be queried.", "Cube is down.", "Answer with SQL.")
        return _metrics(question, query, published.claims)
    sql = query["sql"].strip().rstrip(";").strip()
    columns, _, rows, truncated = values.load(context.run(reader, sql, published))
    version = published.version
    rows = [tuple(row) for row in rows]
    answer = Answer(question, _distinct(columns), rows, version.id, version.published_at, sql=sql)
    answer.truncated = truncated
    if not cube and any(model.metrics for model in published.models):
        answer.notes.append(
            "Cube is down, so the model wrote SQL; start it for the agreed metrics: ./loc up -d"
        )
    return answer


def _distinct(names: list[str]) -> list[str]:
    """Column names without duplicates: the second ``n`` becomes ``n_1``, as in DuckDB."""
    distinct: list[str] = []
    for name in names:
        numbered = (f"{name}_{at}" for at in itertools.count(1))
        distinct.append(
            name
            if name not in distinct
            else next(candidate for candidate in numbered if candidate not in {*distinct, *names})
        )
    return distinct


def as_question(query: dict) -> Question:
    """Turn a query of metrics, from a model or a file, into a question to Cube.

    Raises:
        UsageError: a key is unknown, or its value has the wrong type.
    """
    lists = {name: query.get(name) or [] for name in LISTS}
    texts = {name: query.get(name) or "" for name in TEXTS}
    limit = query.get("limit") or context.ROWS
    wrong = [
        name
        for name, value in lists.items()
        if not (isinstance(value, list) and all(isinstance(item, str) for item in value))
    ]
    wrong += [name for name, value in texts.items() if not isinstance(value, str)]
    wrong += [] if type(limit) is int and limit > 0 else ["limit"]
    wrong += sorted(set(query) - {*LISTS, *TEXTS, "limit"})
    for name in ("since", "until"):
        try:
            if name not in wrong and texts[name]:
                datetime.strptime(texts[name], "%Y-%m-%d")
        except ValueError:
            wrong.append(name)
    if wrong:
        raise UsageError(
            f"The query's {wrong[0]!r} is not valid.",
            f"It is {query.get(wrong[0])!r}.",
            "Correct it.",
        )
    return Question(
        **{name: tuple(value) for name, value in lists.items()},
        **texts,
        limit=min(limit, context.ROWS),
    )


def measured(question: Question, claims: Mapping = ALL_ROWS) -> tuple[Measured, warehouse.Version]:
    """Ask Cube; return its answer, and the version that it read.

    Raises:
        LocError: Cube is down, or refuses the question.
    """
    with Cube(claims) as cube:
        meta = cube.meta()
        query = question.query(meta)
        for _ in range(3):
            before = warehouse.current("prod")
            answer = cube.load(query, meta)
            if warehouse.current("prod").id == before.id:
                break
            time.sleep(
                1
            )  # a version was published meanwhile: ask again, to name the version that is read
    return answer, before


def _metrics(question: str, query: dict, claims: Mapping) -> Answer:
    measured_answer, version = measured(as_question(query), claims)
    columns = measured_answer.columns
    times = [column.kind == "time" for column in columns]
    rows = [
        tuple(
            datetime.fromisoformat(value) if is_time and isinstance(value, str) else value
            for value, is_time in zip(row.values(), times, strict=True)
        )
        for row in measured_answer.rows
    ]
    names = [column.short for column in columns]
    answer = Answer(question, names, rows, version.id, version.published_at)
    answer.metric_query = {name: value for name, value in query.items() if value}
    answer.formats = {column.short: column.format for column in columns if column.format}
    answer.currencies = {column.short: column.currency for column in columns}
    answer.truncated = len(rows) >= context.ROWS
    return answer
