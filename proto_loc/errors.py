"""Failures that a person can act on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class LocError(Exception):
    """A failure in three sentences: what failed, why, and the one thing to do next.

    The CLI prints it without a traceback (``--debug`` shows one) and exits with ``exit_code``.
    Name the exact path, port, pid, row or column in the sentences.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what, why, fix)
        self.what, self.why, self.fix = what, why, fix

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.fix) if part)

    def said(self) -> str:
        """The sentences as a person reads them, one a line: ``error:``, ``why:``, ``fix:``."""
        parts = (("error", self.what), ("why", self.why), ("fix", self.fix))
        return "\n".join(f"{label}: {text}" for label, text in parts if text)

    def __reduce__(self):
        return type(self), (self.what, self.why, self.fix)


class UsageError(LocError):
    """The command line or a setting is wrong; nothing was done."""

    exit_code = 2


@contextmanager
def said_at_exit() -> Iterator[None]:
    """Around what a program does: a failure is said on stderr, and the program ends with its exit code."""
    try:
        yield
    except LocError as error:
        print(error.said(), file=sys.stderr)
        sys.exit(error.exit_code)
