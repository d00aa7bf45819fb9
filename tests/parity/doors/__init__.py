"""The doors that are compared with MetricFlow; a new one is a module and a line here.

A door is a context manager on the published ``prod``. Its ``answer`` returns the figures by the
dimension's value (``questions.key``; an empty text without a dimension), as numbers or numeric
text; an entry is missing or None where there is no figure. ``answers`` tells whether the door can
answer a question. A door that needs others lists their classes in ``needs``, and receives them.
"""

from contextlib import AbstractContextManager
from typing import Protocol

from questions import Question


class Door(AbstractContextManager, Protocol):
    """What a module of this package offers."""

    def answers(self, question: Question) -> bool: ...

    def answer(self, question: Question) -> dict[str | None, object]: ...
