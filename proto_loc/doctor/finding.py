"""The result of a check."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Finding:
    """One result of a check, in the three sentences of :class:`proto_loc.errors.LocError`."""

    status: str
    """``ok``, ``warn`` or ``fail``; of `loc doctor --fix` also ``done``, for a repair, and of `loc
    validate` ``skip``, for what was not checked."""
    what: str
    why: str = ""
    fix: str = ""
    symptom: str = ""
    """What a person sees because of it: the heading under which docs/troubleshooting.md, which
    :mod:`proto_loc.docs.troubleshooting` makes from the code of the checks, lists the problem."""
    repair: Callable[[], str] | None = field(default=None, compare=False, repr=False)
    """Does what ``fix`` says and returns it as a sentence; None where that could lose something or
    needs a decision. It raises LocError or OSError if it cannot."""

    def fields(self) -> dict[str, str]:
        """Its texts by name, for JSON."""
        return {name: text for name, text in asdict(self).items() if name != "repair"}


def ok(what: str) -> Finding:
    """A finding without a problem."""
    return Finding("ok", what)
