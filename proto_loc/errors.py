"""Errors that tell a person what failed, why, and how to fix it."""

import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

SOURCES = Path(__file__).resolve().parent.parent / "pipelines"
"""The folder of the sources, which are the user's own code."""

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
"""Escape sequences, marks of text direction and other characters that a terminal hides."""


def plain(text: object) -> str:
    """Escape control characters in text that comes from a file, a name or a program.

    They become text such as ``\\x1b``. Line ends and tabs stay, and so does escaped text.
    """
    return _CONTROL.sub(
        lambda match: match[0].encode("unicode_escape").decode(), str(text).replace("\r\n", "\n")
    )


class PlainWriter:
    """A text stream that writes exactly to a file or pipe, and :func:`plain` to a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(plain(text) if self.stream.isatty() else text)


class LocError(Exception):
    """A failure in three sentences: what failed, why, and the one thing to do next.

    The CLI prints it without a traceback (``--debug`` shows one) and exits with ``exit_code``.
    Name the exact path, port, pid, row or column. The sentences are made :func:`plain` here.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = plain(what), plain(why), plain(fix)
        super().__init__(self.what, self.why, self.fix)

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.fix) if part)

    def said(self) -> str:
        """The message for a person, one sentence a line: ``error:``, ``why:``, ``fix:``."""
        parts = (("error", self.what), ("why", self.why), ("fix", self.fix))
        return "\n".join(f"{label}: {text}" for label, text in parts if text)

    def __reduce__(self):
        return type(self), (self.what, self.why, self.fix)


class UsageError(LocError):
    """The command line or a setting is wrong; nothing was done."""

    exit_code = 2


def of_file(error: OSError) -> LocError:
    """Explain an error of the system that names a file; the last sentence has no full stop."""
    why, fix = "It was renamed, removed or locked meanwhile, or its disk is full.", "Mend that"
    if isinstance(error, PermissionError):
        why = "It belongs to another user (did root run ./loc?), or its mode forbids it."
        parents = [path for path in Path(error.filename).parents if os.path.exists(path)]
        closed = next((p for p in parents if not os.access(p, os.X_OK)), error.filename)
        fix = f"ls -ld '{closed}' says whose it is. Be that user, or chown it"
    return LocError(f"{error.filename} cannot be used: {str(error.strerror).lower()}.", why, fix)


def disk_is_full(error: object) -> bool:
    """Whether the text of an error says that a disk or quota is full; DuckDB gives no errno."""
    words = ("No space left on device", "Disk quota exceeded", "database or disk is full")
    return any(phrase in str(error) for phrase in words)


class SourceError(LocError):
    """The code of a source raised an unexpected exception, which its owner has to fix."""


def of_source(error: BaseException, folder: Path = SOURCES) -> SourceError | None:
    """Describe a failure in the code of ``folder`` by file and line; None for other failures."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        frames = [
            (frame.filename, frame.lineno, frame.line)
            for frame in traceback.extract_tb(cause.__traceback__)
        ]
        if isinstance(cause, SyntaxError):
            frames.append((cause.filename or "", cause.lineno, cause.text or ""))
        for file, number, line in reversed(frames):
            if Path(file).is_relative_to(folder):
                return SourceError(
                    f"{file}, line {number}: {type(cause).__name__}: {cause}".rstrip(": "),
                    f"The source's own code failed, at `{(line or '').strip()}`.",
                    "Mend that line, then run the command again; the published data is unchanged.",
                )
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print a failure of the block on stderr and exit with its exit code."""
    try:
        yield
    except LocError as error:
        print(error.said(), file=sys.stderr)
        sys.exit(error.exit_code)
