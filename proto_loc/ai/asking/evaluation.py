"""Measures how often a model answers correctly, with questions whose query is known.

A file of questions holds queries, not results: the expected rows are read from the published data.
Rows are compared in any order, unless the question asks for one. Columns are compared by their
values; their names and order do not matter.
"""

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

from proto_loc import warehouse
from proto_loc.ai import context, llm, values
from proto_loc.ai.asking import queries
from proto_loc.errors import LocError, UsageError

TOLERANCE = 1e-6
"""Relative difference that is accepted, as models round. A question may set its own."""
KINDS = ("metric", "sql")


@dataclass(frozen=True)
class Item:
    """One question of a set."""

    question: str
    kind: str
    """``metric`` or ``sql``: the kind of the expected query."""
    expected: dict | str
    """A query with the keys of `loc query`, or a SQL statement."""
    ordered: bool = False
    tolerance: float = TOLERANCE


@dataclass
class Judged:
    """The result of one question."""

    question: str
    kind: str
    why: str = ""
    """Why the answer is wrong; empty if it is correct."""
    gave: str = ""
    """The model's query."""


@dataclass
class Evaluation:
    """The results of a set of questions."""

    model: str
    items: list[Judged] = field(default_factory=list)

    @property
    def wrong(self) -> list[Judged]:
        return [item for item in self.items if item.why]

    @property
    def accuracy(self) -> float:
        return 1 - len(self.wrong) / len(self.items)

    @property
    def kinds(self) -> dict[str, tuple[int, int]]:
        """By kind: the number of correct answers, and of questions."""
        counts = {}
        for kind in dict.fromkeys(item.kind for item in self.items):
            of = [item for item in self.items if item.kind == kind]
            counts[kind] = (sum(not item.why for item in of), len(of))
        return counts


def read(file: Path) -> list[Item]:
    """Read the questions of a YAML file, in the form that docs/ai.md describes.

    Raises:
        UsageError: the file cannot be read, or an entry is not valid; the message names its number.
    """
    import yaml

    try:
        entries = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            f"{file} cannot be read.", f"{error}.", "Name a YAML file of questions."
        ) from error
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{file} holds no questions.", "It must be a list.", "See docs/ai.md.")
    return [_item(entry, f"{file}, question {at}") for at, entry in enumerate(entries, 1)]


def _item(entry: object, where: str) -> Item:
    if not isinstance(entry, dict) or not isinstance(entry.get("question"), str):
        raise UsageError(f"{where} has no question.", "", "See docs/ai.md.")
    kinds = [kind for kind in KINDS if kind in entry]
    if len(kinds) != 1 or (unknown := set(entry) - {"question", "ordered", "tolerance", *KINDS}):
        what = (
            f"It has {', '.join(sorted(unknown))}."
            if len(kinds) == 1
            else "It needs either `metric` or `sql`."
        )
        raise UsageError(f"{where} is not valid.", what, "See docs/ai.md.")
    (kind,) = kinds
    expected = entry[kind]
    if not isinstance(expected, dict if kind == "metric" else str):
        raise UsageError(f"{where}: `{kind}` has the wrong type.", "", "See docs/ai.md.")
    if kind == "metric":
        queries.as_question(expected)
    return Item(
        entry["question"],
        kind,
        expected,
        bool(entry.get("ordered")),
        float(entry.get("tolerance", TOLERANCE)),
    )


def evaluate(file: Path, report: Callable[[int, int, str, bool], None]) -> Evaluation:
    """Ask a set of questions, and compare each answer with the rows of the expected query.

    Raises:
        LocError: no model is set, there is no data, or an expected query does not run.
    """
    items, done = read(file), Evaluation(llm.model().name)
    version = warehouse.current("prod").verify()
    reader = queries.reader_of(version)
    published = context.published(reader, version)
    expected = []
    for item in items:
        sql = (
            item.expected
            if item.kind == "sql"
            else context.sql(queries.as_question(item.expected), published.models)
        )
        try:
            expected.append(values.load(reader.raw(sql))[2])
        except LocError as error:
            raise LocError(
                f"The expected query of {item.question!r} fails.", error.why, f"Correct {file}."
            ) from error
    for item, rows in zip(items, expected, strict=True):
        judged = Judged(item.question, item.kind)
        try:
            answer = queries.ask(item.question)
            judged.gave = answer.sql or json.dumps(answer.metric_query)
            judged.why = difference(rows, answer.rows, item.ordered, item.tolerance)
        except llm.NoModel:
            raise
        except LocError as error:
            judged.why = str(error)
        done.items.append(judged)
        report(len(done.items), len(items), item.question, not judged.why)
    return done


def difference(
    expected: list, actual: list, ordered: bool = False, tolerance: float = TOLERANCE
) -> str:
    """Say in a sentence why two sets of rows differ; empty if they are the same.

    The columns of ``actual`` may have any order, and it may have additional ones.
    """
    if len(expected) != len(actual):
        return f"{len(actual)} rows, and {len(expected)} are expected"
    if not expected:
        return ""
    wide, width = len(actual[0]), len(expected[0])
    if wide < width:
        return f"{wide} columns, and {width} are expected"
    plain_expected = [[_plain(value) for value in row] for row in expected]
    plain_actual = [[_plain(value) for value in row] for row in actual]

    def fit(own: int, at: int) -> bool:
        one, other = [[row[own]] for row in plain_expected], [[row[at]] for row in plain_actual]
        return _alike(one, other, ordered, tolerance)

    fits = [[at for at in range(wide) if fit(own, at)] for own in range(width)]
    for own, candidates in enumerate(fits):
        if not candidates:
            return (
                f"no column holds what is expected as column {own + 1}, such as {expected[0][own]}"
            )
    for picked in itertools.islice(itertools.product(*fits), 1000):
        rows = [[row[at] for at in picked] for row in plain_actual]
        if len(set(picked)) == width and _alike(plain_expected, rows, ordered, tolerance):
            return ""
    return "each column is there, but not in the same rows"


def _plain(value):
    """Convert a value for the comparison: a number to a float, a date to its midnight."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float, Decimal)):
        return float(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day).isoformat()
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _alike(expected: list[list], actual: list[list], ordered: bool, tolerance: float) -> bool:
    if not ordered:
        expected, actual = sorted(expected, key=_key), sorted(actual, key=_key)
    return all(
        _same(one, other, tolerance)
        for a, b in zip(expected, actual, strict=True)
        for one, other in zip(a, b, strict=True)
    )


def _key(row: list) -> tuple:
    """Sort key with exact values first, so that tiny differences of numbers do not matter."""
    exact = tuple((str(type(value)), str(value)) for value in row if not isinstance(value, float))
    return exact, tuple(value for value in row if isinstance(value, float))


def _same(one, other, tolerance: float) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=1e-9) or (
            math.isnan(one) and math.isnan(other)
        )
    return type(one) is type(other) and one == other
