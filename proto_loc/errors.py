"""Failures that a person can act on."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
"""What a terminal obeys instead of showing it (escape sequences, directions of writing), or cannot be written."""


def plain(text: object) -> str:
    """Text that may come from a file, a name or another program, such that a terminal or a log line only shows it.

    Control characters but line ends and tabs are written as ``\\x1b``; what is such a text already stays as it is.
    """
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text).replace("\r\n", "\n"))


class LocError(Exception):
    """A failure in three sentences: what failed, why, and the one thing to do next.

    The CLI prints it without a traceback (``--debug`` shows one) and exits with ``exit_code``.
    Name the exact path, port, pid, row or column in the sentences; they are made :func:`plain` here.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = plain(what), plain(why), plain(fix)
        super().__init__(self.what, self.why, self.fix)

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
