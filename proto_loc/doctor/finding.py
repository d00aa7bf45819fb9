"""The result of a check."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One result of a check, in the three sentences of :class:`proto_loc.errors.LocError`."""

    status: str
    """``ok``, ``warn`` or ``fail``; in `loc validate` also ``skip``, for what was not checked."""
    what: str
    why: str = ""
    fix: str = ""
    symptom: str = ""
    """What a person sees because of it: the heading under which docs/troubleshooting.md, which
    :mod:`proto_loc.docs.troubleshooting` makes from the code of the checks, lists the problem."""


def ok(what: str) -> Finding:
    """A finding without a problem."""
    return Finding("ok", what)
