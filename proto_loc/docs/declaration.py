"""Describes the declaration of a source, from the classes that a source uses."""

import ast
import inspect
import re
import textwrap
from dataclasses import is_dataclass

from proto_loc.sources import Table
from proto_loc.sources.dlt import Code, DltSource, DltTable, Rest, Sql
from proto_loc.sources.files import FileSource
from proto_loc.sources.formats import Format

CLASSES = (FileSource, Table, Format, DltSource, DltTable, Sql, Rest, Code)
"""The classes of a declaration, in the order of the page."""


def page() -> str:
    """A section of Markdown for each class, with a table of its arguments."""
    sections = []
    for kind in CLASSES:
        rows = fields(kind) if is_dataclass(kind) else arguments(kind)
        lines = [f"## `{kind.__name__}`", "", _prose(inspect.getdoc(kind)), ""]
        lines += [f"From `{kind.__module__}`.", ""]
        lines += ["| argument | type | default | meaning |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
        sections.append("\n".join(lines))
    return "\n" + "\n\n".join(sections) + "\n\n"


def fields(kind: type) -> list[tuple[str, str, str, str]]:
    """Name, type, default and meaning of each field of a dataclass; the meaning is the text that
    follows it in the code.
    """
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    rows = []
    for node, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            meaning = _prose(following.value.value) if is_text else ""
            default = _code(_default(node.value)) if node.value else "required"
            rows.append((f"`{node.target.id}`", _code(node.annotation), default, meaning))
    return rows


def arguments(kind: type) -> list[tuple[str, str, str, str]]:
    """Name, type, default and meaning of each argument of a class; the meaning is in the section
    ``Args`` of its constructor.
    """
    text = inspect.getdoc(kind.__init__).partition("Args:\n")[2].split("\n\n")[0]
    meanings = {
        name: _prose(meaning)
        for name, meaning in re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    }
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind.__init__))).body
    names = tree.args.args[1:]
    defaults = [None] * (len(names) - len(tree.args.defaults)) + tree.args.defaults
    return [
        (
            f"`{name.arg}`",
            _code(name.annotation),
            _code(default) if default else "required",
            meanings.get(name.arg, ""),
        )
        for name, default in zip(names, defaults, strict=True)
    ]


def _default(node: ast.expr) -> ast.expr:
    """The default itself, where the code says ``field(default_factory=...)``."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "field":
        return ast.Call(node.keywords[0].value, [], [])
    return node


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(node: ast.expr) -> str:
    return f"`{ast.unparse(node)}`"


def _prose(text: str) -> str:
    """A docstring as Markdown in one line."""
    text = re.sub(r":\w+:`(?:~?[\w.]+\.)?(\w+)`", r"`\1`", " ".join(text.split()))
    return text.replace("``", "`")
