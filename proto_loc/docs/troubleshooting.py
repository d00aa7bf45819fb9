"""Lists the problems that ``loc doctor`` finds, by symptom, from the code of its checks.

The texts are those of the calls of :class:`proto_loc.doctor.finding.Finding`: a name in them, such
as a path, is written in capitals, and what only a machine can say as three dots.
"""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass

from proto_loc.doctor import CHECKS


@dataclass(frozen=True)
class Problem:
    """One problem of a check; its texts may be empty."""

    check: str
    symptom: str
    what: str
    why: str
    fix: str
    is_repaired: bool
    """Whether ``loc doctor --fix`` repairs it."""


def problems() -> list[Problem]:
    """The problems of all checks, in the order of the checks."""
    return [problem for name, check in CHECKS.items() for problem in _problems(name, check)]


def page() -> str:
    """A section of Markdown for each symptom."""
    by_symptom: dict[str, list[Problem]] = {}
    for problem in problems():
        by_symptom.setdefault(problem.symptom, []).append(problem)
    lines = []
    for symptom, alike in by_symptom.items():
        lines += [f"### {symptom}", ""]
        for problem in alike:
            why = f" {problem.why}" if problem.why else ""
            fix = f" **Do**: {problem.fix}" if problem.fix else ""
            by_itself = ""
            if problem.is_repaired and "--fix" not in problem.fix:
                by_itself = " (`./loc doctor --fix` does it)"
            lines += [f"- *{problem.check}*: {problem.what}{why}{fix}{by_itself}"]
        lines.append("")
    return "\n" + "\n".join(lines)


def _problems(name: str, check: Callable) -> list[Problem]:
    """The problems of a check: its calls of ``Finding`` with the status ``warn`` or ``fail``."""
    (function,) = ast.parse(inspect.getsource(check)).body
    calls = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding"
    ]
    result = []
    for call in sorted(calls, key=lambda node: node.lineno):
        (symptom,) = [word.value.value for word in call.keywords if word.arg == "symptom"]
        what, why, fix = ([_text(node, function) for node in call.args[1:]] + ["", ""])[:3]
        if not any(map(str.islower, what)):  # the message is made elsewhere
            purpose = inspect.getdoc(check).replace("``", "`")
            what = f"The message says what is wrong, and what to do. This check: {purpose}"
        is_repaired = any(word.arg == "repair" for word in call.keywords)
        why, fix = (text if text != "…" else "" for text in (why, fix))
        result.append(Problem(name, symptom, what, why, fix, is_repaired))
    return result


def _text(node: ast.expr, function: ast.FunctionDef) -> str:
    """The text of an expression, as far as the code determines it."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part, function) for part in parts)
        case ast.FormattedValue(value=ast.Name(id=name) as variable):
            text = _text(variable, function)
            if any(map(str.isalpha, text)) and not text.startswith(("…/", "….")):
                return text
            return "CLONE" if name == "ROOT" else name.upper()
        case ast.BinOp(left=left, right=right):
            return _text(left, function) + _text(right, function)
        case ast.BoolOp(values=[*_, last]) | ast.IfExp(orelse=last):
            return _text(last, function)
        case ast.Name(id=name):
            values = [
                item.value
                for item in ast.walk(function)
                if isinstance(item, ast.Assign) and getattr(item.targets[0], "id", "") == name
            ]
            return next(filter(None, (_text(value, function) for value in values)), "…")
    return "…"
