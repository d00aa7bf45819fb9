"""The interfaces that are compared with MetricFlow, one module each. The code calls each a door.

A door is a context manager on the published ``prod``. Its method ``answers`` says whether it can
answer a question. Its method ``answer`` returns a figure per value of the dimension
(``questions.key``; an empty text if the question has no dimension). A figure is a number or numeric
text. If there is no figure, the entry is missing or None. A door that needs other doors lists their
classes in ``needs``, and receives them.
"""

from contextlib import AbstractContextManager
from typing import Protocol

from questions import Question


class Door(AbstractContextManager, Protocol):
    """The methods of an interface, which each module of this package implements."""

    def answers(self, question: Question) -> bool: ...

    def answer(self, question: Question) -> dict[str | None, object]: ...
