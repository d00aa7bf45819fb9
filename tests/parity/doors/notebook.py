"""The interface notebook: a kernel of JupyterLab queries Cube, as the shipped notebooks do."""

import json

from lab import Kernel, Lab
from questions import Between, Equals, Question, key

from doors.cube import Cube
from proto_loc.setup import environments

SETUP = """
import json
from proto_loc.cube.client import Cube, Question

cube = Cube().__enter__()
meta = cube.meta()

def rows(**asked):
    found = cube.load(Question(**asked).query(meta), meta).rows
    print(json.dumps([[None if value is None else str(value) for value in row.values()] for row in
        found]))
"""


class Notebook:
    """A kernel of the service ``jupyter``."""

    needs = (Cube,)

    def __init__(self, _: Cube) -> None:
        self.lab = Lab()

    def __enter__(self) -> "Notebook":
        environments.sync("notebooks")
        self.lab.__enter__()
        self.kernel = self.started(SETUP)
        return self

    def __exit__(self, *_: object) -> None:
        self.lab.__exit__()

    def started(self, setup: str) -> Kernel:
        """Start a new kernel and run this cell in it."""
        kernel = self.lab.kernel()
        shown = kernel(setup)
        assert shown == "", shown
        return kernel

    def answers(self, question: Question) -> bool:
        return True

    def answer(self, question: Question) -> dict[str | None, object]:
        return by_value(json.loads(self.kernel(f"rows(**{as_query(question)!r})")), question)


def as_query(question: Question) -> dict:
    """Return the question as arguments of `loc query`."""
    asked: dict = {"metrics": [question.metric]}
    if question.dimension:
        asked["dimensions"] = [
            f"{question.dimension}:{question.grain}" if question.grain else question.dimension
        ]
    match question.condition:
        case Equals(dimension, value):
            asked["where"] = [f"{dimension}={value}"]
        case Between(_, first, last):
            asked |= {"since": str(first), "until": str(last)}
    return asked


def by_value(rows: list[list[str | None]], question: Question) -> dict[str | None, object]:
    """Return the figures by the dimension's value; a month is its first day."""
    if not question.dimension:
        return {"": rows[0][0]} if rows else {}
    return {
        key(value[:10] if question.grain and value else value): figure for value, figure in rows
    }
