"""Writes the generated parts of the pages in ``docs/``.

Such a part stands between two comments, ``<!-- NAME: ... -->`` and ``<!-- end -->``; the rest of a
page is written by hand.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from typer.cli import get_docs_for_click

from proto_loc import files, settings
from proto_loc.docs import declaration, troubleshooting

PAGES = settings.ROOT / "docs"


def parts(tree) -> dict[str, Callable[[], str]]:
    """The makers of all parts, by name.

    Args:
        tree: the commands, as :func:`proto_loc.cli.command` gives them.
    """
    return {
        "settings": settings.guide,
        "commands": partial(commands, tree),
        "declaration": declaration.page,
        "troubleshooting": troubleshooting.page,
    }


def commands(tree) -> str:
    """A section of Markdown for each command, by Typer's own generator of documentation."""
    with tree.context_class(tree, info_name="loc") as context:
        text = get_docs_for_click(obj=tree, ctx=context, name="./loc")
    text = text[text.index("\n## ") :]  # without the list of all, which cuts sentences off
    text = re.sub(r"^\*\*Commands\*\*:\n\n(?:\* .*\n)+\n?", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\* `(?:-h, )?--help`: .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\*\*Options\*\*:\n\n(?=\n|#|\Z)", "", text, flags=re.MULTILINE)
    text = re.sub(r"\*\*Usage\*\*:\n\n```console\n\$ (.*)\n```", r"`\1`", text)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n\n"


def outdated(made: Mapping[str, Callable[[], str]]) -> dict[Path, str]:
    """The pages whose generated part differs, with the text that they should have."""
    texts = {}
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text()
        new = re.sub(
            r"(^<!-- (\w+): [^\n]*-->\n).*?(?=^<!-- end -->$)",
            lambda match: match[1] + made[match[2]]() if match[2] in made else match[0],
            text,
            flags=re.MULTILINE | re.DOTALL,
        )
        if new != text:
            texts[page] = new
    return texts


def write(made: Mapping[str, Callable[[], str]]) -> list[str]:
    """Update the pages; return a line for each that has changed."""
    texts = outdated(made)
    for page, text in texts.items():
        files.replace(page, text)
    return [f"docs/{page.name}: changed" for page in texts]
