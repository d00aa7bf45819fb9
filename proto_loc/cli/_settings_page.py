"""Generates the table of settings in ``docs/settings.md``."""

import re

from proto_loc import files
from proto_loc.settings import ROOT, guide

PAGE = ROOT / "docs/settings.md"


def expected() -> str:
    """Return the page's text with the generated table; unchanged if the page has no marker."""
    text = PAGE.read_text() if PAGE.exists() else ""
    return re.sub(
        r"(?<=^<!-- settings: )([^\n]*\n).*?(?=^<!-- end -->$)",
        lambda match: match[1] + guide(),
        text,
        flags=re.MULTILINE | re.DOTALL,
    )


def agrees() -> bool:
    return not PAGE.exists() or PAGE.read_text() == expected()


def write() -> list[str]:
    """Update the page; return one line if it has changed, else an empty list."""
    if agrees():
        return []
    files.replace(PAGE, expected())
    return ["docs/settings.md: changed"]
