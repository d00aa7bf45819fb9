"""The result of a check."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One result of a check, in the three sentences of :class:`proto_loc.errors.LocError`."""

    status: str
    """``ok``, ``warn`` or ``fail``."""
    what: str
    why: str = ""
    fix: str = ""


def ok(what: str) -> Finding:
    """A finding without a problem."""
    return Finding("ok", what)
