"""The interface ``ask``, with a model that answers with a query of metrics.

The model's server is a stand-in that returns the query of the question. The test compares the
figures with MetricFlow's, and says nothing about a real model.
"""

import json

from questions import Question

from benchmarks.llm import standin
from doors.cube import Cube
from doors.notebook import Notebook, as_query, by_value

SETUP = """
import json, os

os.environ |= {{
    "LOC_LLM_MODEL": "openai/standin", "LOC_LLM_URL": {url!r}, "LOC_LLM_SEND_ROWS": "0"
}}
from proto_loc.ai import ask

def asked(question):
    found = ask(question)
    rows = [[None if value is None else str(value) for value in row] for row in found.rows]
    print(json.dumps([found.metric_query, found.notes, rows]))
"""


class Ask:
    """``proto_loc.ai.ask`` in a kernel."""

    needs = (Cube, Notebook)

    def __init__(self, _: Cube, notebook: Notebook) -> None:
        self.notebook = notebook
        self.model = standin(lambda messages: messages[-1]["content"].partition(": ")[2])

    def __enter__(self) -> "Ask":
        self.kernel = self.notebook.started(SETUP.format(url=self.model.__enter__().url))
        return self

    def __exit__(self, *_: object) -> None:
        self.model.__exit__(None, None, None)

    def answers(self, question: Question) -> bool:
        return True

    def answer(self, question: Question) -> dict[str | None, object]:
        query = as_query(question)
        shown = self.kernel(f"asked({f'{question}: {json.dumps(query)}'!r})")
        used, notes, rows = json.loads(shown)
        assert (used, notes) == (query, []), "it was Cube that was asked, at the first attempt"
        return by_value(rows, question)
