"""The doors that are held to MetricFlow's answers; a new one is a module here and a line in
``DOORS``.

A door is a context manager, open on the published ``prod`` while tests ask it. Its ``answer`` gives
the figures by the dimension's value (``questions.key``; the empty text where there is no
dimension), as numbers or as text that is one; no entry, or None, where there is no figure.
``answers`` says whether it can be asked a question at all. A door that stands on others names their
classes in ``needs``; it is made with them, open.
"""

from contextlib import AbstractContextManager
from typing import Protocol

from questions import Question


class Door(AbstractContextManager, Protocol):
    """What a module of this package offers."""

    def answers(self, question: Question) -> bool: ...

    def answer(self, question: Question) -> dict[str | None, object]: ...
